"""Expected gain of hypervolume: laws, and another way to the same number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from steelyard.select.pareto import hypervolume, non_dominated
from steelyard.strategies.gain import expected_gain, free_boxes, undominated

CORNER = {1: np.array([1.0]), 2: np.array([1.0, 2.0]), 3: np.array([1.0, 2.0, 1.5])}


@st.composite
def tables(draw):
    """Known points, candidates' means and a reference point; some points lie beyond it, some are equal."""
    width, rows = draw(st.sampled_from([1, 2, 3])), draw(st.integers(0, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    known = np.round(rng.random((rows, width)) * 2.2, 1)
    return known, np.round(rng.random((5, width)) * 2.2, 1), CORNER[width]


def gain_of(point, known, corner):
    return hypervolume(np.vstack([known, point]), corner) - (hypervolume(known, corner) if len(known) else 0.0)


@given(tables())
def test_a_certain_point_gains_the_hypervolume_that_it_adds(table):
    known, means, corner = table
    expected = [gain_of(point, known, corner) for point in means]
    np.testing.assert_allclose(expected_gain(means, np.zeros_like(means), known, corner), expected, atol=1e-12)


@given(tables())
def test_a_certain_point_that_is_dominated_gains_nothing(table):
    known, _, corner = table
    if len(known):
        gains = expected_gain(known + 0.1, np.zeros_like(known), known, corner)
        np.testing.assert_allclose(gains, 0.0, atol=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_exact_gain_is_that_of_monte_carlo(width):
    """The gain is the integral, over what no known point dominates, of the chance that the candidate dominates it."""
    rng = np.random.default_rng(width)
    known, corner = 0.5 + rng.random((6, width)), CORNER[width]
    means, deviations = rng.random((3, width)), 0.05 + 0.3 * rng.random((3, width))
    low, drawn = -2.0, 40_000
    places = low + (corner - low) * rng.random((drawn, width))
    free = ~np.any(np.all(known[None] <= places[:, None], axis=2), axis=1)
    chance = np.prod(ndtr((places[:, None] - means) / deviations), axis=2) * free[:, None]
    volume = np.prod(corner - low)
    error = volume * chance.std(axis=0) / np.sqrt(drawn)
    assert np.all(np.abs(volume * chance.mean(axis=0) - expected_gain(means, deviations, known, corner)) < 4 * error)


@given(tables(), st.floats(0.01, 1.0))
@settings(max_examples=50)
def test_a_better_mean_never_gains_less(table, step):
    known, means, corner = table
    deviations = np.full_like(means, 0.2)
    better = expected_gain(means - step, deviations, known, corner)
    assert np.all(better >= expected_gain(means, deviations, known, corner) - 1e-12)


@given(tables())
def test_boxes_fill_what_no_point_dominates_and_do_not_overlap(table):
    known, _, corner = table
    lows, highs = free_boxes(known, corner)
    whole = float(np.prod(corner + 1.0))
    volume = np.prod(highs - np.maximum(lows, -1.0), axis=1).sum()
    np.testing.assert_allclose(volume + (hypervolume(known, corner) if len(known) else 0.0), whole)


@given(tables())
def test_the_undominated_are_those_of_the_front_each_once(table):
    known, means, _ = table
    points = np.vstack([known, means])
    kept = points[undominated(points)]
    front = np.unique(points[non_dominated(points)], axis=0)
    np.testing.assert_array_equal(np.unique(kept, axis=0), front)
    assert len(kept) == len(front)


def test_a_large_table_is_worked_through_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    known, means = rng.random((20, 3)), rng.random((50, 3))
    deviations = np.full_like(means, 0.1)
    whole = expected_gain(means, deviations, known, CORNER[3])
    monkeypatch.setattr("steelyard.strategies.gain.CHUNK", 100)
    np.testing.assert_allclose(expected_gain(means, deviations, known, CORNER[3]), whole)
