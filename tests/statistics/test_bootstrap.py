import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import InputError
from steelyard.statistics import bootstrap


def generator(seed=0):
    return np.random.default_rng(seed)


@given(st.integers(0, 10_000), st.integers(20, 3000), st.floats(-1, 1))
@settings(max_examples=20, deadline=None)
def test_studentised_p_value_of_a_normal_mean_is_near_students(seed, n, shift):
    sample = generator(seed).normal(shift * n**-0.5, 1, n)
    p = bootstrap.StudentisedMean(sample[:, None], generator(1)).p_value(np.ones(1))
    exact = stats.ttest_1samp(sample, 0, alternative="less").pvalue
    if sample.mean() < 0:
        assert p == pytest.approx(exact, abs=0.03)
    else:
        assert p == 1.0


@given(st.floats(0.1, 10))
@settings(max_examples=10, deadline=None)
def test_studentised_p_value_does_not_depend_on_the_unit(scale):
    sample = generator().exponential(1, (80, 1)) - 1.2
    p = [bootstrap.StudentisedMean(sample * factor, generator(3)).p_value(np.ones(1)) for factor in (1, scale)]
    assert p[0] == pytest.approx(p[1], abs=1e-3)


def test_weights_give_the_same_as_the_weighted_sample():
    columns = generator().normal(0, 1, (150, 3)) - [0.1, 0, 0]
    weights = np.array([1.0, -0.3, 0.5])
    together = bootstrap.StudentisedMean(columns, generator(2)).p_value(weights)
    alone = bootstrap.StudentisedMean((columns @ weights)[:, None], generator(2)).p_value(np.ones(1))
    assert together == pytest.approx(alone, abs=1e-12)


def test_one_rare_loss_makes_the_studentised_test_careful():
    gains = np.full((200, 1), -0.001)
    gains[0] = 0.1
    assert bootstrap.StudentisedMean(gains, generator()).p_value(np.ones(1)) > 0.3


def test_equal_seeds_give_equal_p_values():
    sample = generator().normal(-0.1, 1, (500, 1))
    twice = [bootstrap.StudentisedMean(sample, generator(5)).p_value(np.ones(1)) for _ in range(2)]
    assert twice[0] == twice[1]


def test_unseen_is_the_chance_of_no_event():
    assert bootstrap.unseen(299, 0.01) == pytest.approx(0.0495, abs=1e-4)
    assert bootstrap.unseen(10, 2.0) == 0.0


def test_bca_p_value_of_a_mean_is_near_scipys_limit():
    sample = generator(4).exponential(1, 300)
    test = bootstrap.bca(lambda rows: sample[rows].mean(), np.zeros(300, dtype=np.int64), generator(), 5000)
    interval = stats.bootstrap(
        (sample,), np.mean, confidence_level=0.9, method="BCa", n_resamples=9999, rng=generator(9)
    ).confidence_interval
    assert test(interval.high) == pytest.approx(0.05, abs=0.012)
    assert test(sample.mean()) == 1.0
    assert test(sample.mean() + 1) < 0.001


def test_bca_p_value_falls_as_the_threshold_grows():
    sample = generator(4).exponential(1, 100)
    test = bootstrap.bca(lambda rows: np.median(sample[rows]), np.zeros(100, dtype=np.int64), generator(), 500)
    p = [test(float(t)) for t in np.linspace(0, 3, 60)]
    assert all(a >= b for a, b in itertools.pairwise(p))


def test_strata_keep_their_sizes():
    strata = np.array([2] * 5 + [0] * 20 + [7])
    seen = []
    bootstrap.percentile_interval(lambda rows: seen.append(np.bincount(strata[rows])) or 0.0, strata, generator(), 20)
    assert all(np.array_equal(each, np.bincount(strata)) for each in seen)


def test_percentile_interval_of_a_mean_is_near_the_normal_one():
    sample = generator().normal(0, 1, 2000)
    low, high = bootstrap.percentile_interval(
        lambda rows: sample[rows].mean(), np.zeros(2000, dtype=np.int64), generator(), 1000
    )
    error = sample.std() / 2000**0.5
    assert (low, high) == pytest.approx((sample.mean() - 1.96 * error, sample.mean() + 1.96 * error), abs=0.3 * error)


def test_percentile_interval_without_any_figure_is_unknown():
    assert bootstrap.percentile_interval(lambda rows: np.nan, np.zeros(5, dtype=np.int64), generator(), 10) is None


def test_jackknife_error_of_a_mean_is_its_standard_error():
    sample = generator().normal(0, 1, 5000)
    error = bootstrap.jackknife_error(lambda rows: sample[rows].mean(), np.zeros(5000, dtype=np.int64))
    assert error == pytest.approx(5000**-0.5, rel=0.25)


def test_one_unit_is_refused_in_a_sentence():
    with pytest.raises(InputError) as caught:
        bootstrap.StudentisedMean(np.zeros((1, 1)), generator())
    assert str(caught.value) == "a studentised bootstrap needs at least 2 units, got 1."
