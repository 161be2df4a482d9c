import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.select.rungs import ALLOWANCE, LEAST, SPAN, Errors, Learned, Rung, rungs
from steelyard.tasks.metrics import METRICS

ERRORS = Errors(METRICS["accuracy"], 100)
errors = st.floats(1e-3, 1.0)
pairs = st.lists(st.tuples(errors, errors), min_size=LEAST, max_size=20).map(
    lambda found: tuple(sorted(((begun, min(begun, final)) for begun, final in found), reverse=True))
)


def learned(*levels, final=None, is_cut=False):
    """A training with an error by epoch from the first on."""
    least = min(levels)
    return Learned(tuple(range(1, len(levels) + 1)), levels, least if final is None else final, is_cut)


@given(pairs, errors)
def test_whatever_the_others_could_still_have_come_to_is_never_out_of_reach(found, bound):
    rung = Rung(4, found)
    for begun, final in found:
        if final <= bound:
            assert begun <= rung.needed(bound)


@given(pairs, errors, errors)
def test_more_is_needed_for_a_better_end(found, one, other):
    rung = Rung(4, found)
    low, high = sorted((one, other))
    assert rung.needed(low) <= rung.needed(high)


@given(pairs, errors)
def test_a_training_goes_on_exactly_while_its_best_end_is_within_the_bound(found, bound):
    rung = Rung(4, found)
    needed = rung.needed(bound)
    for share in (0.5, 0.99, 1.01, 2.0):
        error = share * needed
        if share > 1:
            assert error * rung.progress(error) >= bound * (1 - 1e-9)
        else:
            assert error * rung.progress(error) <= bound * (1 + 1e-9)


@given(pairs, errors)
def test_a_training_that_has_reached_the_bound_goes_on(found, bound):
    assert Rung(4, found).needed(bound) >= bound * ALLOWANCE * (1 - 1e-9)


def test_progress_is_told_by_those_that_stood_no_better_than_half_the_error():
    worst = [(0.4, 0.3)] * LEAST
    rung = Rung(4, (*worst, (0.05, 0.005)))
    assert rung.progress(0.05 * SPAN) == pytest.approx(0.1 / ALLOWANCE)
    assert rung.progress(0.05 * SPAN + 1e-9) == pytest.approx(0.75 / ALLOWANCE)
    assert rung.progress(math.inf) == pytest.approx(0.75 / ALLOWANCE)


def test_rungs_double_and_need_trainings_that_went_beyond_them():
    long = [learned(*[0.5] * 9) for _ in range(LEAST)]
    assert [each.epoch for each in rungs(long)] == [2, 4, 8]
    assert [each.epoch for each in rungs([*long[1:], learned(*[0.5] * 8)])] == [2, 4]
    assert rungs(long[1:]) == ()
    assert rungs([]) == ()


def test_a_training_that_time_ended_tells_of_its_first_half_alone():
    cut = learned(*[0.5] * 9, is_cut=True)
    assert (cut.at(4), cut.at(5)) == (0.5, None)


def test_curves_are_told_as_the_least_error_so_far():
    curve = {"epoch": [1, 2, 3], "valid_quality": [0.5, 0.4, 0.8]}
    best = Learned.of(curve, ERRORS, keeps_last=False, is_cut=False)
    assert best.errors == pytest.approx((0.51, 0.51, 0.21))
    assert best.final == pytest.approx(0.21)
    assert (best.at(2), best.at(3)) == (pytest.approx(0.51), None)
    kept = Learned.of({**curve, "valid_quality": [0.5, 0.8, 0.4]}, ERRORS, keeps_last=True, is_cut=False)
    assert kept.final == pytest.approx(0.61)


def test_metrics_without_a_best_value_tell_no_error():
    assert Errors(METRICS["rmse"], 10).of(2.5) == 2.5
    assert ERRORS.of(math.nan) is None
    assert Learned.of({}, ERRORS, keeps_last=False, is_cut=False) is None
    assert (
        Learned.of(
            {"epoch": [1], "valid_quality": [-math.inf]}, Errors(METRICS["rmse"], 9), keeps_last=False, is_cut=False
        )
        is None
    )


@given(st.floats(0, 1))
def test_errors_and_qualities_are_each_others_inverse(quality):
    for name in ("accuracy", "rmse"):
        scale = Errors(METRICS[name], 50)
        assert scale.quality(scale.of(quality)) == pytest.approx(quality)
