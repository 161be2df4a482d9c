"""The law recovers what data were made by, and the growth keeps its constraint."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from steelyard.statistics import scaling
from steelyard.statistics.scaling import (
    PUBLISHED,
    Law,
    Response,
    Way,
    fit,
    growth_of,
    ladder,
    mean_of,
    resampled,
    shares,
)

EXPONENTS = np.array(list(PUBLISHED.values()))
GRID = np.log2(list(itertools.product((1, 2, 3, 4), (4, 8, 16, 32), (14, 18, 22, 28))))
NONE = np.zeros((len(GRID), 0))
weights = st.lists(
    st.lists(st.floats(0, 2), min_size=4, max_size=4).filter(lambda each: sum(each) > 0.1), min_size=3, max_size=3
)


def loss(scales, powers, sizes):
    """The logarithm of an error that falls with each knob by a power law of its own."""
    return np.log(0.02) + (np.asarray(sizes) * 2.0 ** (-np.asarray(powers) * scales)).sum(axis=-1)


def truth(powers, sizes, base):
    """The best shares by a general solver, which shares no code with ours."""
    found = optimize.minimize(
        lambda parts: loss(base + parts / EXPONENTS, powers, sizes),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda parts: parts.sum() - 1},
        tol=1e-12,
    )
    return found.x


CASES = {
    "depth and resolution": ((1.0, 0.7, 1.0), (0.8, 3.0, 20.0)),
    "all three": ((1.0, 1.0, 0.6), (1.0, 9.0, 9.0)),
    "width alone": ((0.5, 0.5, 0.5), (0.01, 9.0, 0.01)),
}


@pytest.mark.parametrize(("powers", "sizes"), CASES.values(), ids=CASES)
def test_known_factors_are_recovered_without_noise(powers, sizes):
    base = np.log2([2, 8, 18])
    found = fit(GRID, loss(GRID, powers, sizes), None, NONE)
    assert found.r_squared > 0.999
    growth = growth_of(found.law, base, EXPONENTS)
    np.testing.assert_allclose(2**growth, 2 ** (truth(powers, sizes, base) / EXPONENTS), atol=0.06)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("powers", "sizes"), CASES.values(), ids=CASES)
def test_known_factors_lie_in_the_intervals_with_noise(powers, sizes, seed):
    """Noise of 3 % of the error, as another seed of training would bring; intervals are of 95 %, with some room."""
    base = np.log2([2, 8, 18])
    noisy = loss(GRID, powers, sizes) + np.random.default_rng(seed).normal(0, 0.03, len(GRID))
    found = fit(GRID, noisy, None, NONE)
    laws = resampled(found, GRID, NONE, None, seed=0, draws=80)
    growth = growth_of(mean_of(laws), base, EXPONENTS)
    each = np.stack([growth_of(law, base, EXPONENTS) for law in laws])
    expected = 2 ** (truth(powers, sizes, base) / EXPONENTS)
    low, high = np.percentile(2**each, [2.5, 97.5], axis=0)
    assert np.all((low - 0.06 <= expected) & (expected <= high + 0.06))
    assert math.isclose(float(np.prod((2**growth) ** EXPONENTS)), 2.0, rel_tol=1e-9)


@given(weights, st.lists(st.floats(-2, 2), min_size=3, max_size=3))
def test_the_constraint_holds_whatever_the_law(rows, base):
    law = Law(0.0, np.array(rows), np.zeros(3))
    parts = shares(law, np.array(base), EXPONENTS)
    assert parts.min() >= 0
    assert math.isclose(parts.sum(), 1.0)


@given(weights)
def test_no_other_division_of_the_grid_gains_more(rows):
    law = Law(0.0, np.array(rows), np.zeros(3))
    best = law((shares(law, np.zeros(3), EXPONENTS) / EXPONENTS)[None, :])[0]
    for parts in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0.5, 0.5, 0), (0.34, 0.32, 0.34), (0.2, 0.4, 0.4)):
        assert best <= law((np.array(parts) / EXPONENTS)[None, :])[0] + 1e-9


@given(weights, st.floats(-3, 3), st.floats(0.01, 2))
def test_a_law_falls_with_every_knob_by_ever_less(rows, start, step):
    law = Law(0.0, np.array(rows), np.zeros(3))
    at = np.full((3, 3), start)
    at[:, 1] += np.array([0, 1, 2]) * step
    first, second, third = law(at)
    assert first >= second >= third
    assert first - second >= second - third - 1e-9


def test_a_knob_that_harms_does_not_grow():
    responses = loss(GRID, (1.0, 1.0, 1.0), (0.0, 3.0, 0.0)) + 0.2 * GRID[:, 0]
    growth = growth_of(fit(GRID, responses, None, NONE).law, np.log2([2, 8, 18]), EXPONENTS)
    np.testing.assert_allclose(2**growth, [1, math.sqrt(2), 1])


def test_further_knobs_shift_the_level_alone():
    kernel = (np.arange(len(GRID)) % 2).astype(float)[:, None]
    plain = loss(GRID, (1.0, 1.0, 0.6), (1.0, 9.0, 9.0))
    found = fit(GRID, plain - 0.3 * kernel[:, 0], None, kernel)
    assert found.levels[1] == pytest.approx(-0.3, abs=0.01)
    np.testing.assert_allclose(found.law(GRID), fit(GRID, plain, None, NONE).law(GRID), atol=0.01)


def test_a_point_known_badly_counts_little():
    plain = loss(GRID, (1.0, 1.0, 0.6), (1.0, 9.0, 9.0))
    wrong, spreads = plain.copy(), np.full(len(GRID), 0.01)
    wrong[5], spreads[5] = wrong[5] + 2, 5.0
    weighted, even = fit(GRID, wrong, spreads, NONE), fit(GRID, wrong, None, NONE)
    assert np.abs(weighted.fitted - plain)[6:].max() < 0.02 < np.abs(even.fitted - plain).max()


def test_resampling_is_the_same_for_the_same_seed():
    found = fit(GRID, loss(GRID, (1, 1, 1), (1, 9, 9)) + np.sin(np.arange(len(GRID))) / 9, None, NONE)
    one, same, other = (resampled(found, GRID, NONE, None, seed=seed, draws=2)[0].weights for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_cost_tells_its_exponents():
    costs = 1e-5 * 2 ** (GRID @ np.array([0.8, 1.6, 0.0]))
    np.testing.assert_allclose(scaling.elasticities(GRID, costs, NONE), [0.8, 1.6, 0.0], atol=1e-9)


def test_knobs_that_move_in_step_are_not_told_apart():
    assert scaling.is_told_apart(GRID, NONE)
    assert not scaling.is_told_apart(np.log2([[1, 4], [2, 8], [4, 16]]), np.zeros((3, 0)))
    # What another knob explains as well can't be told either.
    assert not scaling.is_told_apart(np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([[0.0], [0.0], [1.0], [1.0]]))


@pytest.mark.parametrize(
    ("losses", "is_log"), [([-0.9, -1.0, -0.2], True), ([0.5, 2.0, 30.0], True), ([-3.0, 2.0, 5.0], False)]
)
def test_a_response_goes_there_and_back(losses, is_log):
    losses = np.array(losses)
    response = Response.of(losses)
    assert response.is_log == is_log
    back = response.backward(response.forward(losses))
    # No error at all counts as half of the least.
    np.testing.assert_allclose(back, np.where(losses == -1.0, -0.95, losses))


knobs = st.lists(st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True).map(sorted), min_size=1, max_size=3)


@settings(max_examples=60)
@given(knobs, st.data())
def test_ladders_rise_and_hold_the_base_and_both_ends(choices, data):
    base = [data.draw(st.sampled_from(each)) for each in choices]
    parts = np.array([data.draw(st.floats(0, 1)) for _ in choices]) + 1e-3
    found = ladder(choices, base, parts / parts.sum(), EXPONENTS[: len(choices)])
    rungs = list(found.values())
    assert list(found) == sorted(found)
    assert [choices[at][place] for at, place in enumerate(found[0])] == base
    assert rungs[0] == (0,) * len(choices)
    assert rungs[-1] == tuple(len(each) - 1 for each in choices)
    assert len(set(rungs)) == len(rungs)
    for before, after in itertools.pairwise(rungs):
        assert all(a <= b for a, b in zip(before, after, strict=True))


def test_each_rung_doubles_the_cost_until_the_ends():
    choices = [[1, 2, 4], [2, 4, 8, 16, 32, 64], [8, 16]]
    assert ladder(choices, (2, 8, 8), (0.0, 1.0, 0.0), (1, 1, 1)) == {
        # Width has come to its end, so depth takes over.
        -3: (0, 0, 0),
        -2: (1, 0, 0),
        -1: (1, 1, 0),
        0: (1, 2, 0),
        1: (1, 3, 0),
        2: (1, 4, 0),
        3: (1, 5, 0),
        # Depth and resolution share what is left; half a doubling of each rounds to where they were.
        5: (2, 5, 1),
    }


def test_a_way_alone_ends_with_its_knob():
    way = Way(np.zeros(2), -np.ones(2), np.ones(2), np.array([0.0, 1.0]), np.array([1.0, 2.0]), is_alone=True)
    assert [each.tolist() for each in way.walk(up=True)] == [[0.0, 0.5], [0.0, 1.0]]
    together = Way(np.zeros(2), -np.ones(2), np.ones(2), np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert [each.tolist() for each in together.walk(up=True)][-1] == [1.0, 1.0]
