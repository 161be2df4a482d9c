"""Regressions find laws that are known, and know where they end."""

import numpy as np
import pytest

from steelyard.measure.predicted.regression import fit_rates, fit_regression, matern


def law(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two microseconds, a nanosecond a product, and a third more where a size is odd."""
    size = np.exp(rng.uniform(np.log(1e3), np.log(1e6), count))
    odd = rng.integers(0, 2, count).astype(float)
    seconds = (2e-6 + 1e-9 * size) * (1 + odd / 3)
    return np.c_[np.ones(count), size], np.c_[np.log(size), odd], seconds


def test_rates_of_an_exact_law_are_found() -> None:
    work = np.c_[np.ones(50), np.linspace(1e3, 1e6, 50)]
    assert fit_rates(work, work @ [2e-6, 1e-9]) == pytest.approx([2e-6, 1e-9], rel=1e-6)


def test_what_the_rates_miss_is_learned() -> None:
    rng = np.random.default_rng(1)
    work, features, seconds = law(rng, 300)
    noisy = seconds * np.exp(0.02 * rng.standard_normal(300))
    found = fit_regression(work, features, noisy, 0)
    new_work, new_features, truth = law(rng, 200)
    error = np.abs(found.predict(new_work, new_features) - np.log(truth))
    assert np.median(error) < 0.03
    assert np.quantile(error, 0.95) < 0.1


def test_far_outside_the_trend_of_the_rates_goes_on() -> None:
    work, features, seconds = law(np.random.default_rng(2), 300)
    found = fit_regression(work, features, seconds, 0)
    far = found.predict(np.array([[1.0, 1e8]]), np.array([[np.log(1e8), 0.0]]))
    assert np.exp(far[0]) == pytest.approx(0.1, rel=0.35)


def test_excess_is_nothing_inside_and_the_logarithm_of_the_overshoot_outside() -> None:
    work, features, seconds = law(np.random.default_rng(3), 100)
    found = fit_regression(work, features, seconds, 0)
    assert not found.excess(features).any()
    outside = np.array([[found.high[0] + np.log(2), 0.0]])
    assert found.excess(outside) == pytest.approx([np.log(2)])


def test_one_interrupted_clock_changes_little() -> None:
    work, features, seconds = law(np.random.default_rng(4), 200)
    disturbed = seconds.copy()
    disturbed[7] *= 1000
    kept = fit_regression(work, features, seconds, 0).predict(work, features)
    moved = fit_regression(work, features, disturbed, 0).predict(work, features)
    assert np.median(np.abs(kept - moved)) < 0.05


def test_few_samples_have_their_rates_alone() -> None:
    work, features, seconds = law(np.random.default_rng(5), 6)
    found = fit_regression(work, features, seconds, 0)
    assert not len(found.weights)
    assert np.isfinite(found.predict(work, features)).all()


def test_covariance_is_one_at_no_distance_and_falls() -> None:
    points = np.array([[0.0], [0.5], [3.0]])
    found = matern(points, points)
    assert np.diag(found) == pytest.approx([1.0, 1.0, 1.0])
    assert found[0, 1] > found[0, 2] > 0
