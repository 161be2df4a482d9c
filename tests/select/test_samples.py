import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import InputError
from steelyard.select.samples import discordance, provable_floor, samples_needed
from steelyard.statistics.trinomial import p_value


def exact_power(n, share, epsilon):
    """The chance of a proof with no true drop: every number of gains, the most losses that still pass beside it."""
    each = share / 2
    total = 0.0
    for c in range(int(stats.binom.ppf(1e-5, n, each)), int(stats.binom.ppf(1 - 1e-5, n, each)) + 1):
        passing, failing = -1, n - c + 1
        while failing - passing > 1:
            b = (passing + failing) // 2
            passing, failing = (b, failing) if p_value(b, c, n, epsilon) <= 0.05 else (passing, b)
        if passing >= 0:
            total += stats.binom.pmf(c, n, each) * stats.binom.cdf(passing, n - c, each / (1 - each))
    return total


@given(st.floats(0.001, 0.2), st.floats(0.5, 0.999), st.floats(0, 0.3))
def test_nothing_is_provable_with_fewer_rows_than_needed(epsilon, confidence, share):
    needed = samples_needed(epsilon, confidence, share, 0.0)
    assert provable_floor(needed, confidence) <= epsilon * (1 + 1e-9)


@given(st.floats(0.001, 0.2), st.floats(0.01, 0.3), st.floats(-0.01, 0.01))
def test_more_room_needs_fewer_rows(epsilon, share, drop):
    needed = samples_needed(epsilon, 0.95, share, drop)
    if needed is None:
        assert drop >= epsilon
    else:
        assert samples_needed(epsilon * 1.5, 0.95, share, drop) <= needed
        assert samples_needed(epsilon, 0.99, share, drop) >= needed


@pytest.mark.parametrize(
    ("epsilon", "share", "rows", "exact"),
    [
        (0.01, 0.01, 619, 806),
        (0.01, 0.02, 1237, 1359),
        (0.01, 0.05, 3092, 3195),
        (0.01, 0.10, 6183, 6200),
        (0.02, 0.05, 773, 819),
        (0.02, 0.10, 1546, 1590),
    ],
)
def test_rows_by_the_formula_and_how_far_they_fall_short_of_the_exact_test(epsilon, share, rows, exact):
    assert samples_needed(epsilon, 0.95, share, 0.0) == rows
    assert rows <= exact


def test_the_exact_test_needs_the_rows_that_the_design_names():
    assert exact_power(806, 0.01, 0.01) == pytest.approx(0.8, abs=0.03)


def test_rounding_makes_no_drop_larger_than_the_discordance(votes):
    differs, lost = discordance(*votes(177, 3, 0))
    assert differs == lost == 3 / 180
    assert samples_needed(0.05, 0.95, differs, lost) is not None


def test_drop_as_large_as_permitted_is_never_provable():
    assert samples_needed(0.01, 0.95, 0.05, 0.01) is None
    assert samples_needed(0.0, 0.95, 0.0, 0.0) is None


def test_without_discordance_the_floor_decides():
    assert samples_needed(0.01, 0.95, 0.0, 0.0) == math.ceil(math.log(0.05) / math.log(0.99)) == 299
    assert provable_floor(299, 0.95) < 0.01 < provable_floor(298, 0.95)


def test_discordance_and_drop_are_counted(votes):
    assert discordance(*votes(90, 6, 3, 1)) == pytest.approx((0.09, 0.03))
    assert discordance(*(np.asarray(each) for each in votes(5, 0, 0))) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: samples_needed(1.0, 0.95, 0.1, 0.0),
            "'epsilon' must lie in [0, 1) and 'confidence' in (0, 1), got 1.0 and 0.95.",
        ),
        (
            lambda: samples_needed(0.1, 0.95, 0.1, 0.2),
            "'discordance' must lie in [0, 1] and be at least the size of the drop, got 0.1 and 0.2.",
        ),
        (lambda: provable_floor(0, 0.95), "'n' must be at least 1 and 'confidence' in (0, 1), got 0 and 0.95."),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message
