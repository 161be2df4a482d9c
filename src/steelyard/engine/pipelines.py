"""Which pipelines of steps a model that is there already may go through."""

from pathlib import Path

from steelyard.core.candidate import StepSetting
from steelyard.core.errors import InputError
from steelyard.core.goal import Goal
from steelyard.core.registry import Registry
from steelyard.engine.given import GivenModel
from steelyard.steps.finishing import finishes_for

Steps = tuple[StepSetting, ...]

RUNGS = 9
"""Prunings in a row: each keeps a share of what the one before left, so nine leave 1 % of the MACs."""
KEEP, HALF = 0.6, 0.775
"""Shares of the MACs that a rung keeps, and half a rung: the geometric middle."""


def pipelines_of(
    model: GivenModel, path: Path, registry: Registry, *, asked: tuple[str, ...] | None, goal: Goal
) -> tuple[Steps, ...]:
    """Every pipeline that may be tried, the empty one first; each one's beginning comes before it.

    Bodies, where there is training code: the model as it is; pruned rung by rung with recovery by distillation after
    each; half a rung further, or recovered once more. Each body, with every finish of its file.

    Args:
        model: to be compressed.
        path: its ONNX file.
        registry: of the steps.
        asked: names of the steps that may be used; None for all.
        goal: what is minimised.

    Raises:
        InputError: if the steps that were asked for can't be applied to such a model.
    """
    allowed = (*registry.names("module_step"), *registry.names("step")) if asked is None else asked
    finishes = [each for each in finishes_for(path, goal.minimize) if all(s.name in allowed for s in each)]
    bodies = _bodies(allowed) if model.is_module else [()]
    found = [*bodies, *(body + finish for body in bodies for finish in finishes)]
    if len(found) == 1:
        what = "a torch module" if model.is_module else "an ONNX file"
        raise InputError(f"'steps' {', '.join(allowed)} can't be applied to {what}; name others.", field="steps")
    return tuple(sorted(dict.fromkeys(found), key=lambda steps: (steps != (), len(steps))))


def _bodies(allowed: tuple[str, ...]) -> list[Steps]:
    bodies: list[Steps] = [()]
    learn = (StepSetting("distill"),) if "distill" in allowed else ()
    if "prune" in allowed:
        rung, half = ((_prune(keep), *learn) for keep in (KEEP, HALF))
        for count in range(1, RUNGS + 1):
            bodies.append(rung * count)
            bodies.append(rung * (count - 1) + half)
            if learn:
                bodies += [rung * count + learn, rung * count + learn + rung, rung * count + learn + half]
    if "factorize" in allowed:
        bodies.append((StepSetting("factorize"), *learn))
    if learn and len(bodies) == 1:
        bodies.append(learn)
    return bodies


def _prune(keep: float) -> StepSetting:
    return StepSetting("prune", (("keep", keep),))
