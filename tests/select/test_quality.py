import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import DataError, MeasurementError
from steelyard.select.quality import drop, drop_error, loss, quality_interval, right, strata
from steelyard.tasks.metrics import METRICS

LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
figures = st.floats(0.01, 100)


@given(figures, figures, st.booleans())
@LAW
def test_drop_is_positive_exactly_when_the_candidate_is_worse(accuracy, rmse, reference, candidate, relative):
    assert (drop(accuracy, reference, candidate, relative=relative) > 0) == (candidate < reference)
    assert (drop(rmse, reference, candidate, relative=relative) > 0) == (candidate > reference)


@given(figures, figures, figures)
@LAW
def test_relative_drop_does_not_depend_on_the_unit(rmse, reference, candidate, unit):
    plain = drop(rmse, reference, candidate, relative=True)
    assert drop(rmse, unit * reference, unit * candidate, relative=True) == pytest.approx(plain, abs=1e-9)


@given(st.integers(1, 60), st.integers(0, 60))
@LAW
def test_accuracy_has_the_exact_interval(accuracy, votes, hits, misses):
    outputs, _, targets = votes(hits, 0, 0, misses)
    quantity = quality_interval(accuracy, outputs, targets, seed=0)
    exact = stats.binomtest(hits, hits + misses).proportion_ci(0.95)
    assert (quantity.low, quantity.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert quantity.n == hits + misses


def test_loss_is_lower_for_the_better(accuracy, rmse):
    assert loss(accuracy, 0.9) < loss(accuracy, 0.8)
    assert loss(rmse, 0.1) < loss(rmse, 0.2)


def test_perfect_reference_does_not_make_drops_infinite_where_there_is_a_floor(rmse):
    assert drop(rmse, 0.0, 1e-5, relative=True, floor=1e-3) == pytest.approx(0.01)
    assert drop(rmse, 0.0, 1e-5, relative=True) == math.inf
    assert drop(rmse, 0.0, 0.0, relative=True) == 0.0
    assert drop(rmse, math.inf, math.inf, relative=False) == math.inf


@pytest.mark.parametrize("n", [300, 20_000])
def test_interval_of_rmse_is_as_wide_as_theory_says(rmse, values, n):
    outputs, _, targets = values(n, 0.5, 0.5)
    quantity = quality_interval(rmse, outputs, targets, seed=1)
    assert quantity.low < quantity.value < quantity.high
    # The standard error of a normal standard deviation s is s / sqrt(2 n).
    assert quantity.high - quantity.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(2 * n), rel=0.35)


def test_intervals_of_equal_seeds_are_equal(balanced, votes):
    outputs, _, targets = votes(80, 0, 0, 20)
    first, second = (quality_interval(balanced, outputs, targets, seed=7) for _ in range(2))
    assert first == second
    assert first.high <= 1.0


def test_drop_error_of_accuracy_is_the_paired_one(accuracy, votes):
    error = drop_error(accuracy, *votes(900, 60, 40), relative=False)
    assert error == pytest.approx(math.sqrt((0.1 - 0.02**2) / 1000), rel=0.2)


def test_outputs_that_are_no_numbers_are_never_right():
    assert right(np.array([[np.nan, 0.0], [2.0, 1.0]]), np.array([0, 0])).tolist() == [False, True]


def test_only_classes_are_strata():
    assert strata(np.array([5, 2, 5])).tolist() == [1, 0, 1]
    assert strata(np.array([0.5, 0.2])).tolist() == [0, 0]


def test_no_rows_are_refused_in_a_sentence(accuracy):
    with pytest.raises(DataError) as caught:
        quality_interval(accuracy, np.zeros((0, 2)), np.zeros(0, dtype=int), seed=0)
    assert str(caught.value) == "'accuracy' must be computed on at least one row, got none."


def test_infinite_quality_is_refused_in_a_sentence(rmse):
    with pytest.raises(MeasurementError) as caught:
        quality_interval(rmse, np.array([[np.nan]]), np.array([1.0]), seed=0)
    assert str(caught.value) == "'rmse' must be a finite number, got inf; the outputs can't be used."


def test_the_interval_of_a_language_model_holds_its_perplexity():
    random = np.random.default_rng(0)
    targets = random.integers(0, 5, size=(200, 16))
    scores = random.normal(size=(200, 16, 5)) + 2 * (targets[..., None] == np.arange(5))
    found = quality_interval(METRICS["perplexity"], scores, targets, seed=0)
    assert found.low < found.value < found.high
    assert found.n == 200
