import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import InputError
from steelyard.statistics.spread import spread

FIGURES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


@given(FIGURES)
def test_intervals_hold_their_figure(values):
    found = spread(values)
    assert found.mean_low <= found.mean <= found.mean_high
    assert 0 <= found.sd_low <= found.sd <= found.sd_high
    assert found.n == len(values)


@given(FIGURES, st.floats(-100, 100), st.floats(0.1, 10))
def test_a_shift_moves_the_mean_alone_and_a_factor_stretches_both(values, shift, factor):
    one, other = spread(values), spread([factor * value + shift for value in values])
    assert other.mean == pytest.approx(factor * one.mean + shift, abs=1e-6)
    assert other.sd == pytest.approx(factor * one.sd, abs=1e-6)
    assert other.sd_high == pytest.approx(factor * one.sd_high, rel=1e-6, abs=1e-5)


def test_the_intervals_are_those_of_normal_theory():
    values = [0.9, 0.92, 0.95]
    found = spread(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean_low, found.mean_high) == pytest.approx((low, high))
    sd = np.std(values, ddof=1)
    assert found.sd_low == pytest.approx(sd * math.sqrt(2 / stats.chi2.ppf(0.975, 2)))
    assert found.sd_high == pytest.approx(sd * math.sqrt(2 / stats.chi2.ppf(0.025, 2)))


def test_two_figures_say_little_of_a_deviation():
    found = spread([0.0, 1.0])
    assert found.sd_high / found.sd == pytest.approx(31.9, abs=0.05)


def test_equal_figures_have_no_spread():
    found = spread([0.5, 0.5, 0.5])
    assert (found.sd, found.sd_low, found.sd_high) == (0, 0, 0)
    assert (found.mean_low, found.mean_high) == (0.5, 0.5)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
def test_too_few_figures_are_refused(values):
    with pytest.raises(InputError) as caught:
        spread(values)
    assert str(caught.value) == f"'values' must be two or more finite numbers, got {values!r}."
