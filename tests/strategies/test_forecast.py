"""Forecasts: estimates are corrected by the error that was observed, and the error is told."""

import numpy as np

from steelyard.strategies.forecast import MOST_POINTS, Evidence, error_of_estimates, forecast

RNG = np.random.default_rng(0)
FEATURES = RNG.random((400, 2))
TRUTH = np.column_stack([FEATURES.sum(axis=1), FEATURES[:, 0]])


def evidence(known, estimates=None, knows_costs=True):
    rows = np.asarray(known, dtype=np.int64)
    error = None if estimates is None else error_of_estimates(estimates[rows], TRUTH[rows, 0], np.nanstd(estimates))
    costs = TRUTH[:, 1:] if knows_costs else None
    return Evidence(FEATURES, rows, TRUTH[rows], costs, estimates, np.array([3.0, 2.0]), error)


def test_without_pairs_estimates_are_believed_with_an_error_of_half_their_spread():
    error = error_of_estimates(np.zeros(0), np.zeros(0), spread=0.2)
    assert (error.slope, error.offset, error.pairs) == (1.0, 0.0, 0)
    assert error.deviation == 0.1


def test_many_pairs_tell_slope_offset_and_error():
    estimates = np.linspace(0, 1, 500)
    truths = 0.5 * estimates + 3 + 0.05 * np.random.default_rng(0).standard_normal(500)
    error = error_of_estimates(estimates, truths)
    np.testing.assert_allclose([error.slope, error.offset, error.deviation], [0.5, 3.0, 0.05], rtol=0.05)
    assert error.pairs == 500


def test_two_pairs_move_the_belief_only_part_of_the_way():
    error = error_of_estimates(np.array([0.0, 1.0]), np.array([0.0, 3.0]), spread=1.0)
    assert 1.0 < error.slope < 2.0


def test_what_is_missing_is_no_pair():
    error = error_of_estimates(np.array([0.1, np.nan, 0.3]), np.array([0.1, 0.2, np.nan]))
    assert error.pairs == 1
    assert np.isfinite(error.deviation)


def test_equal_estimates_leave_a_finite_error():
    error = error_of_estimates(np.full(5, 0.3), np.linspace(0, 1, 5))
    assert 0.1 < error.deviation < 1.0


def test_good_estimates_make_the_forecast_sharper():
    known, rows = np.arange(20), np.arange(100, 200)
    good = forecast(evidence(known, TRUTH[:, 0] + 0.001 * RNG.standard_normal(400)), rows)
    bad = forecast(evidence(known, RNG.standard_normal(400)), rows)
    assert np.abs(good.means[:, 0] - TRUTH[rows, 0]).max() < 0.05
    assert np.median(good.deviations[:, 0]) < np.median(bad.deviations[:, 0])


def test_a_missing_estimate_is_predicted_with_more_error():
    estimates = np.where(np.arange(400) == 100, np.nan, TRUTH[:, 0] + 0.1)
    told = forecast(evidence([0, 1], estimates), np.array([100, 101]))
    assert told.deviations[0, 0] > told.deviations[1, 0]
    assert abs(told.means[0, 0] - TRUTH[100, 0]) < 0.2


def test_known_costs_are_told_exactly_and_others_predicted():
    rows = np.arange(50, 60)
    exact = forecast(evidence(np.arange(30)), rows)
    np.testing.assert_array_equal(exact.means[:, 1], TRUTH[rows, 1])
    np.testing.assert_array_equal(exact.deviations[:, 1], 0.0)
    guessed = forecast(evidence(np.arange(30), knows_costs=False), rows)
    np.testing.assert_allclose(guessed.means[:, 1], TRUTH[rows, 1], atol=0.1)
    assert np.all(guessed.deviations > 0)


def test_what_is_believed_of_pending_ones_is_their_forecast():
    before = evidence(np.arange(20))
    rows = np.array([50, 60])
    after = before.with_believed(rows)
    np.testing.assert_array_equal(after.known[-2:], rows)
    np.testing.assert_array_equal(after.objectives[-2:], forecast(before, rows).means)
    assert before.with_believed(rows[:0]) is before


def test_of_many_known_ones_some_are_enough():
    known = np.arange(MOST_POINTS + 100)
    told = forecast(evidence(known), np.array([399]))
    np.testing.assert_allclose(told.means[0, 0], TRUTH[399, 0], atol=0.05)
