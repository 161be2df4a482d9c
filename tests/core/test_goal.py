import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.core.goal import COST_METRICS, Budget, Goal, parse_duration, parse_share


def message(action):
    with pytest.raises(InputError) as caught:
        action()
    return str(caught.value), caught.value.field


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"max_drop": -0.1}, "'max_drop' must be a finite number of at least 0, got -0.1."),
        ({"max_drop": math.nan}, "'max_drop' must be a finite number of at least 0, got nan."),
        ({"confidence": 1.0}, "'confidence' must be at least 0.5 and below 1, got 1.0."),
        ({"confidence": 0.4}, "'confidence' must be at least 0.5 and below 1, got 0.4."),
        ({"confidence": math.nan}, "'confidence' must be at least 0.5 and below 1, got nan."),
        ({"minimize": "speed"}, "'minimize' must be one of latency, size, memory, energy, got 'speed'."),
        ({"min_quality": math.inf}, "'min_quality' must be a finite number, got inf."),
        ({"max_latency_s": 0.0}, "'max_latency_s' must be a positive finite number, got 0.0."),
        ({"max_size_bytes": -1.0}, "'max_size_bytes' must be a positive finite number, got -1.0."),
        ({"max_memory_bytes": math.nan}, "'max_memory_bytes' must be a positive finite number, got nan."),
        ({"max_energy_j": math.inf}, "'max_energy_j' must be a positive finite number, got inf."),
    ],
)
def test_an_impossible_goal_is_refused_in_one_sentence(fields, sentence):
    (field,) = fields
    assert message(lambda: Goal(**fields)) == (sentence, field)


@pytest.mark.parametrize(
    ("fields", "sentence", "field"),
    [
        ({"wall_s": 0.0}, "'budget' must be a positive duration, got 0.0.", "budget"),
        ({"wall_s": math.nan}, "'budget' must be a positive duration, got nan.", "budget"),
        ({"trials": 0}, "'trials' must be at least 1, got 0.", "trials"),
    ],
)
def test_an_impossible_budget_is_refused_in_one_sentence(fields, sentence, field):
    assert message(lambda: Budget(**fields)) == (sentence, field)


def test_goals_and_budgets_come_back_from_json():
    goal = Goal(max_drop=0.02, relative=True, min_quality=0.9, minimize="size", max_latency_s=1e-3, metric="f1")
    assert Goal(**json.loads(json.dumps(goal.to_json()))) == goal
    budget = Budget(wall_s=None, trials=4)
    assert Budget(**json.loads(json.dumps(budget.to_json()))) == budget


def test_a_goals_limits_are_those_asked_for_in_si_units():
    goal = Goal(max_latency_s=0.002, max_size_bytes=5e4, max_memory_bytes=1e6, max_energy_j=0.1)
    assert [(limit.option, limit.metric, limit.at_most, limit.unit) for limit in goal.limits] == [
        ("max_latency", "latency_p95_s", 0.002, "s"),
        ("max_size", "size_bytes", 5e4, "B"),
        ("max_memory", "peak_memory_bytes", 1e6, "B"),
        ("max_energy", "energy_j", 0.1, "J"),
    ]
    assert Goal().limits == ()


@pytest.mark.parametrize("cost", COST_METRICS)
def test_every_cost_is_a_metric_of_a_point(cost):
    assert Goal(minimize=cost).cost_metric == COST_METRICS[cost]


@pytest.mark.parametrize(
    ("asked", "unit_range", "relative"),
    [(None, True, False), (None, False, True), (True, True, True), (False, False, False)],
)
def test_a_drop_is_relative_as_asked_or_by_the_metrics_rule(asked, unit_range, relative):
    assert Goal(relative=asked).is_relative(metric_in_unit_range=unit_range) is relative


def test_half_of_a_metric_in_the_unit_range_is_taken_for_a_percentage():
    sentence = "'max_drop' must be below 0.5 for accuracy, which lies in [0, 1], got 2; did you mean 2%?"
    check = {"metric": "accuracy", "metric_in_unit_range": True}
    assert message(lambda: Goal(max_drop=2.0).check_against(**check)) == (sentence, "max_drop")
    Goal(max_drop=0.49).check_against(**check)
    Goal(max_drop=2.0, relative=True).check_against(**check)
    Goal(max_drop=2.0).check_against(metric="rmse", metric_in_unit_range=False)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60.0), ("10m", 600.0), ("2h", 7200.0), ("1.5m", 90.0), (" 5s ", 5.0)]
)
def test_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["60", "", "s", "-5s", "0s", "1e3s", "10 m", "5d", "nan", "1h30m", "٣s٣"])
def test_a_duration_without_a_unit_is_refused(text):
    sentence = f"'budget' must be a positive number with a unit (60s, 10m or 2h), got {text!r}."
    assert message(lambda: parse_duration(text)) == (sentence, "budget")


@given(st.floats(0, 1e6))
def test_percent_is_another_spelling_of_a_share(value):
    assert parse_share(repr(value)) == value
    assert parse_share(f"{value!r}%") == value / 100


@pytest.mark.parametrize("text", ["", "%", "a", "-0.1", "-1%", "nan", "inf", "1 percent", "1%%"])
def test_what_is_no_share_is_refused(text):
    sentence = f"'max_drop' must be a number of at least 0, such as 0.01 or 1%, got {text!r}."
    assert message(lambda: parse_share(text)) == (sentence, "max_drop")
