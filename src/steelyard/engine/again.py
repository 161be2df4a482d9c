"""A finished study asked something new: what shared weights promise to be cheaper is confirmed in seconds."""

from collections.abc import Sequence

from steelyard.core.trial import Measurement, Trial
from steelyard.engine.exploring import explored_keys
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem
from steelyard.select.quality import loss
from steelyard.store.study import Study
from steelyard.strategies.cheaper import Cheaper

FACT = "asked"
"""The fact of the study that holds what it was asked, how long its search took, and all confirmations since then."""
SHARE = 0.6
"""Part of the seconds of the search that confirming for other goals may take in all."""
LEAST_S = 6.0
"""Less time than this is not worth starting a worker."""
HALVINGS = 50
"""Steps of the search for the largest loss that is permitted."""


def note_search(plan: Plan, study: Study, took_s: float) -> None:
    """Note what a search that has ended was asked, and how long it took."""
    study.put(FACT, {"goals": [plan.goal.to_json()], "searched_s": took_s, "again_s": 0.0})


def note_again(plan: Plan, study: Study, took_s: float) -> None:
    """Note another goal, and the seconds that were spent on it."""
    asked = study.get(FACT)
    if asked is not None:
        goals = [*asked["goals"], plan.goal.to_json()]
        study.put(FACT, {**asked, "goals": goals, "again_s": asked["again_s"] + took_s})


def seconds_for(plan: Plan, study: Study) -> float:
    """Seconds that may go into confirming for this goal: half of what is left; 0 for a goal that was asked before."""
    asked = study.get(FACT)
    if asked is None or plan.goal.to_json() in asked["goals"] or not explored_keys(study):
        return 0.0
    if plan.given is not None or plan.sharing == "never" or plan.budget.trials is not None or plan.measured is not None:
        return 0.0
    left_s = SHARE * asked["searched_s"] - asked["again_s"]
    return max(LEAST_S, 0.5 * left_s) if left_s >= LEAST_S else 0.0


def strategy_for(problem: StudyProblem, trials: Sequence[Trial]) -> Cheaper | None:
    """What proposes cheaper answers to the goal; None where nothing is confirmed yet."""
    name = problem.metric.name
    plain = [
        loss(problem.metric, trial.outcome.metrics[name].value)
        for trial in trials
        if trial.candidate.is_plain and isinstance(trial.outcome, Measurement)
    ]
    return Cheaper(_allowed(problem, min(plain), trials)) if plain else None


def _allowed(problem: StudyProblem, best: float, trials: Sequence[Trial]) -> float:
    """The largest permitted loss, found between the best loss and where the drop is surely too large."""
    sign = -1.0 if problem.metric.higher_is_better else 1.0
    low, high = best, best + 1.0 + abs(best) * (1.0 + problem.goal.max_drop) + problem.goal.max_drop
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if problem.is_permitted(sign * middle, trials) else (low, middle)
    return low
