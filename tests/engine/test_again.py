"""What a finished study may still confirm for another goal."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.core.candidate import Candidate, Scale
from steelyard.core.goal import Budget, Goal
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.again import SHARE, note_again, note_search, seconds_for, strategy_for
from steelyard.engine.exploring import FACT
from steelyard.engine.problem import StudyProblem
from steelyard.tasks.metrics import METRICS

EXPLORED = {
    "one": {"explored": [{"candidate": Candidate("one", Scale.of(width=2)).to_json(), "quality": 0.5, "rows": 9}]}
}


@dataclass
class Kept:
    facts: dict[str, Any] = field(default_factory=dict)

    def get(self, name, default=None):
        return self.facts.get(name, default)

    def put(self, name, value):
        self.facts[name] = value


def plan(max_drop: float = 0.02, *, sharing: str = "always", trials: int | None = None):
    budget = Budget(trials=trials)
    return SimpleNamespace(goal=Goal(max_drop=max_drop), sharing=sharing, given=None, measured=None, budget=budget)


def searched(took_s: float = 100.0) -> Kept:
    study = Kept({FACT: EXPLORED})
    note_search(plan(), study, took_s)
    return study


def test_another_goal_gets_half_of_what_is_left_and_all_goals_never_more_than_their_share():
    study, spent = searched(), 0.0
    for number in range(20):
        asked = plan(0.03 + 0.01 * number)
        left_s = seconds_for(asked, study)
        assert 0 <= left_s <= max(6.0, 0.5 * (SHARE * 100.0 - spent))
        note_again(asked, study, left_s)
        spent += left_s
    assert 0.8 * SHARE * 100.0 < spent <= SHARE * 100.0


def test_a_goal_that_was_asked_before_gets_nothing():
    study = searched()
    assert seconds_for(plan(), study) == 0
    assert seconds_for(plan(0.05), study) > 0
    note_again(plan(0.05), study, 1.0)
    assert seconds_for(plan(0.05), study) == 0


def test_nothing_is_confirmed_where_trials_are_counted_nothing_is_shared_or_the_search_was_not_noted():
    assert seconds_for(plan(0.05, trials=5), searched()) == 0
    assert seconds_for(plan(0.05, sharing="never"), searched()) == 0
    assert seconds_for(plan(0.05), Kept({FACT: EXPLORED})) == 0
    study = searched()
    study.put(FACT, {"one": {"refused": "no."}})
    assert seconds_for(plan(0.05), study) == 0


@pytest.mark.parametrize(
    ("name", "qualities", "max_drop", "allowed"),
    [("accuracy", (0.9, 0.7), 0.05, -0.85), ("rmse", (2.0, 3.0), 0.1, 2.2)],
)
def test_the_permitted_loss_is_that_of_the_best_and_the_drop(name, qualities, max_drop, allowed):
    problem = StudyProblem(Goal(max_drop=max_drop), METRICS[name], 0)
    trials = [
        Trial(number, Candidate("one", Scale.of(width=number)), Measurement({name: Quantity(quality, "1")}, ""), {})
        for number, quality in enumerate(qualities)
    ]
    assert strategy_for(problem, trials).allowed == pytest.approx(allowed)


def test_without_a_measured_model_there_is_no_strategy():
    assert strategy_for(StudyProblem(Goal(max_drop=0.1), METRICS["accuracy"], 0), []) is None
