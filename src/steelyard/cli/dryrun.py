"""`--dry-run`: the resolved question, and what can be proved, without running anything."""

from collections.abc import Sequence

from steelyard.core.candidate import StepSetting, steps_text
from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.wire import Plain
from steelyard.engine.plan import Plan
from steelyard.engine.probe import seconds_a_candidate
from steelyard.engine.statement import what_can_be_proved


def describe_plan(plan: Plan) -> Plain:
    """The plan in plain form."""
    first = plan.space.references()
    return {
        "schema": 1,
        "task": plan.task.name,
        "facts": [{"name": fact.name, "value": fact.value, "text": fact.text} for fact in plan.task.facts],
        "splits": {**plan.rows, "how": plan.task.split_how},
        "goal": {**plan.goal.to_json(), "metric": plan.goal_metric},
        "budget": plan.budget.to_json(),
        "strategy": plan.strategy.name,
        "space": plan.space.to_json(),
        "candidates": plan.size,
        "references": [{"key": each.key, **each.to_json()} for each in first],
        "seconds_a_candidate": _probed(plan),
        "provable": what_can_be_proved(plan),
        "recipe": plan.recipe,
        "workers": plan.workers,
        "seed": plan.seed,
        "out": str(plan.out.resolve()),
    }


def _probed(plan: Plan) -> dict[str, float]:
    """Seconds a candidate; what the user's own model raises is told as theirs. None where no scale is trained anew."""
    if plan.given is not None:
        return {}
    try:
        return seconds_a_candidate(plan)
    except SteelyardError:
        raise
    except Exception as error:
        if plan.model is None:
            raise
        raise InputError(f"'model' failed in a first try: {type(error).__name__}: {error}", field="model") from error


MOST_PIPELINES = 6
"""Pipelines that are written out one by one; of more, their steps and how many there are."""


def _steps_line(pipelines: Sequence[Sequence[Plain]]) -> str:
    names = dict.fromkeys(str(step["name"]) for steps in pipelines for step in steps)
    if len(pipelines) > MOST_PIPELINES:
        longest = max(len(steps) for steps in pipelines)
        return f"{len(pipelines) - 1} pipelines of {', '.join(names)}, up to {longest} steps long, and none"
    told = (steps_text(StepSetting.from_json(step) for step in steps) for steps in pipelines)
    return " | ".join(each or "none" for each in told)


def plan_text(plain: Plain) -> str:
    """The plan for people."""
    lines = [f"task: {plain['task']}", *(f"  {fact['text']}" for fact in plain["facts"])]
    splits = plain["splits"]
    lines.append(f"splits: train {splits['train']}, valid {splits['valid']}, test {splits['test']} ({splits['how']})")
    lines.append("goal: " + ", ".join(f"{name} {value}" for name, value in plain["goal"].items() if value is not None))
    lines.append(
        f"budget: {plain['budget']['wall_s'] or 'no'} s, {plain['budget']['trials'] or 'any number of'} trials"
    )
    lines.append(f"strategy: {plain['strategy']}, seed {plain['seed']}, {plain['workers']} worker(s)")
    for family in plain["space"]["families"]:
        knobs = "; ".join(f"{knob['name']} {', '.join(map(str, knob['choices']))}" for knob in family["knobs"])
        lines.append(f"space: {family['family']}{f': {knobs}' if knobs else ', no knobs'}")
    lines.append(f"steps: {_steps_line(plain['space']['pipelines'])}")
    if "options" in plain["space"]:
        choices = [
            ", ".join(f"{name} {setting}" for name, setting in each.items()) for each in plain["space"]["options"]
        ]
        lines.append(f"options: {' | '.join(each or 'the defaults' for each in choices)}")
    lines.append(f"candidates: {plain['candidates']} in all")
    for each in plain["references"]:
        scale = ", ".join(f"{name} {value}" for name, value in each["scale"].items())
        # Only a model whose scale can be set is trained here; one that was there already is taken as it is.
        lines.append(
            f"reference, trained first: {each['family']} ({scale})" if scale else f"reference: {each['family']}"
        )
    seconds = plain["seconds_a_candidate"]
    if seconds:
        smallest, largest = seconds["smallest"], seconds["largest"]
        lines.append(f"seconds a candidate: about {smallest:.1f} (smallest scale) to {largest:.1f} (largest)")
    lines += [plain["provable"], f"out: {plain['out']}"]
    return "\n".join(lines)
