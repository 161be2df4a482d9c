"""Fitness rises with quality and falls with cost, and smallness never pays for a useless model."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.errors import InputError
from steelyard.core.goal import Goal
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure, Measurement, Trial
from steelyard.engine.problem import StudyProblem
from steelyard.strategies.fitness import WORST, Weights, Yardstick, yardstick
from steelyard.tasks.metrics import METRICS

INT8 = (StepSetting("quantize"),)
COSTS = {"latency_p50_s": "s", "size_bytes": "B", "peak_memory_bytes": "B", "train_s": "s"}


def trial(accuracy, *, times=1.0, steps=(), width=8, **figures):
    """A trial whose costs are so many times those of the yardstick."""
    costs = {name: Quantity(figures.get(name, times), unit) for name, unit in COSTS.items()}
    metrics = {"accuracy": Quantity(accuracy), **costs}
    return Trial(0, Candidate("mlp", Scale.of(width=width), steps), Measurement(metrics, "0" * 64))


def measure(reference=0.9, weights=None, **goal):
    problem = StudyProblem(Goal(**{"max_drop": 0.02, **goal}), METRICS["accuracy"], seed=0)
    return Yardstick(trial(reference, width=64), problem, weights or Weights())


def test_the_yardstick_itself_has_a_fitness_of_0():
    assert measure().fitness(measure().trial) == 0.0


def test_halving_everything_is_worth_as_much_as_the_permitted_drop_costs():
    half = measure().fitness(trial(0.9, times=0.5))
    assert half == pytest.approx(0.5)
    assert measure().fitness(trial(0.88)) == pytest.approx(-half)


accuracies = st.floats(0.05, 1.0)
factors = st.floats(1e-3, 1e3)


@given(accuracies, accuracies, factors, st.booleans())
def test_fitness_rises_with_quality(one, other, times, is_compressed):
    low, high = sorted((one, other))
    steps = INT8 if is_compressed else ()
    worse, better = (measure().fitness(trial(each, times=times, steps=steps)) for each in (low, high))
    assert worse <= better + 1e-9


@given(accuracies, factors, factors, st.sampled_from(list(COSTS)))
def test_fitness_falls_with_every_cost(accuracy, one, other, name):
    low, high = sorted((one, other))
    cheap, dear = (measure().fitness(trial(accuracy, **{name: each})) for each in (low, high))
    assert dear <= cheap + 1e-9


@given(st.floats(0.0, 0.8), st.floats(2.0**-20, 1.0))
def test_a_useless_model_is_never_fitter_than_the_reference_however_small(accuracy, times):
    """The published sketch rewards smallness alone: there the smallest wins whatever it does."""
    assert measure().fitness(trial(accuracy, times=times)) < 0


def test_a_plain_model_that_beats_the_yardstick_is_credited():
    assert measure().fitness(trial(0.92)) == pytest.approx(0.5)
    assert measure().fitness(trial(0.92, steps=INT8)) == pytest.approx(0.5)


def test_where_no_drop_is_permitted_a_hundredth_of_the_quality_is_the_unit():
    strict = measure(reference=0.5, max_drop=0.0)
    assert strict.fitness(trial(0.495)) == pytest.approx(-0.5)
    assert strict.fitness(trial(0.505)) == pytest.approx(0.5)


def test_missing_a_limit_is_like_losing_another_permitted_drop():
    limited = measure(max_size_bytes=0.9)
    assert limited.fitness(trial(0.9)) == pytest.approx(-0.5 * 10)
    assert limited.fitness(trial(0.9, times=0.5)) == pytest.approx(0.5)


def test_what_failed_is_worst():
    failure = Trial(0, Candidate("mlp", Scale.of(width=8)), Failure("train", "it diverged."))
    assert measure().fitness(failure) == WORST


def test_a_cost_that_is_not_known_is_left_out():
    given_model = measure()
    assert given_model.fitness(trial(0.9, train_s=0.0)) == 0.0
    bare = Trial(0, Candidate("mlp", Scale.of(width=8)), Measurement({"accuracy": Quantity(0.9)}, "0" * 64))
    assert given_model.fitness(bare) == WORST  # without the costs of the objectives it has no score


def test_weights_are_shares():
    once, twice = Weights(1, 1, 1, 1, 1), Weights(2, 2, 2, 2, 2)
    one = trial(0.89, times=0.3)
    assert measure(weights=once).fitness(one) == pytest.approx(measure(weights=twice).fitness(one))


def test_a_weight_of_0_leaves_a_cost_out():
    weights = Weights(training=0, speed=0, memory=0)
    assert measure(weights=weights).fitness(trial(0.9, times=9.0, size_bytes=1.0)) == 0.0


def test_the_yardstick_is_the_best_plain_one():
    problem = measure().problem
    trials = [trial(0.8), trial(0.85, width=9), trial(0.99, steps=INT8)]
    assert yardstick(trials, problem, Weights()).trial is trials[1]
    assert yardstick(trials[2:], problem, Weights()).trial is trials[2]
    assert yardstick([], problem, Weights()) is None
    failure = Trial(0, Candidate("mlp", Scale.of(width=8)), Failure("train", "it diverged."))
    assert yardstick([failure], problem, Weights()) is None


def test_a_yardstick_that_is_compressed_measures_quality_all_the_same():
    measure_ = Yardstick(trial(0.9, steps=INT8), measure().problem, Weights())
    assert measure_.fitness(trial(0.8, steps=INT8, width=3)) < measure_.fitness(trial(0.9, steps=INT8, width=3)) == 0.0


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, math.inf, True, "much"])
def test_quality_is_never_left_out(bad):
    with pytest.raises(InputError) as caught:
        Weights(quality=bad)
    assert str(caught.value) == (
        "'weight_quality' must be a positive finite number, because a search for smallness alone ends at the smallest "
        f"model, got {bad!r}."
    )
    assert caught.value.field == "weight_quality"


@pytest.mark.parametrize("bad", [-1, math.nan, math.inf, True, "much"])
def test_other_weights_are_at_least_0(bad):
    with pytest.raises(InputError) as caught:
        Weights(size=bad)
    assert str(caught.value) == f"'weight_size' must be a finite number of at least 0, got {bad!r}."
