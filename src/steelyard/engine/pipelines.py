"""Which pipelines of steps a model that is there already may go through."""

import math
from pathlib import Path

from steelyard.core.candidate import StepSetting
from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.goal import Goal
from steelyard.core.registry import Registry
from steelyard.engine.given import GivenModel
from steelyard.graph.reading import read_model
from steelyard.steps.finishes import finishes_for, scope_for
from steelyard.steps.processor import block
from steelyard.steps.quantizing.preparing import prepared

Steps = tuple[StepSetting, ...]

FIRST, NEXT = 0.25, 0.5
"""Shares of the MACs that the first pruning keeps, and each further one of what the one before left.

The first cut is bold, half of the channels: a model that is given is mostly far too large, and what is small trains
fast.
"""
RUNGS = 8
"""Prunings in a row at most: eight leave a third of a per cent."""
FOUR_BITS = StepSetting("quantize", (("bits", 4), ("mode", "weights"), ("packed", False)))
"""Weights in 4 bits, in blocks with a scale each: an eighth of the bytes of float and some more for the scales."""
_SPARSE = {"sparsify": StepSetting("sparsify", (("ratio", 0.8),)), "share": StepSetting("share")}
"""Steps whose zeros and repeated values take few bytes once they are encoded."""


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
    whole = read_model(path)
    finishes: list[Steps] = [(each,) for each in _finishes(finishes_for(whole), goal) if each.name in allowed]
    is_small = goal.minimize == "size" and "encode" in allowed
    if is_small:
        # What is decoded as it is loaded runs as fast; the fewest bytes come first.
        finishes = [(*finish, StepSetting("encode")) for finish in (*finishes, ())]
    bodies = _bodies(allowed, scope_for(whole)) if model.is_module else [()]
    if is_small and model.is_module:
        sparse = tuple(_SPARSE[name] for name in ("sparsify", "share") if name in allowed)
        finishes = [(*sparse, StepSetting("encode")), *finishes] if sparse else finishes
    found = [*bodies, *(body + finish for body in bodies for finish in finishes)]
    if len(found) == 1 and asked is None:
        raise InputError(
            f"'model' {model.name} holds no product with float weights that a step could make smaller; is it quantized "
            "already?",
            field="model",
        )
    if len(found) == 1:
        what = "a torch module" if model.is_module else "an ONNX file"
        why = _why_none(path) if "quantize" in allowed else ""
        raise InputError(f"'steps' {', '.join(allowed)} can't be applied to {what}{why}; name others.", field="steps")
    return tuple(sorted(dict.fromkeys(found), key=lambda steps: (steps != (), len(steps))))


def _why_none(path: Path) -> str:
    """What a file has against being quantized, in brackets; empty where that is not what hinders."""
    try:
        prepared(path)
    except SteelyardError as error:
        return f" ({str(error).rstrip('.')})"
    return ""


def _finishes(found: tuple[StepSetting, ...], goal: Goal) -> tuple[StepSetting, ...]:
    """Steps on the file, the likeliest to win first."""
    small = [step for step in found if dict(step.settings).get("mode") == "weights"]
    others = [step for step in found if step not in small]
    if goal.minimize == "latency":
        # Small weights are as fast as floats at best.
        return (*others, *small)
    # Small weights win where bytes count, four bits more than eight where the model bears it; what multiplies in
    # integers is small too.
    return (*small, *([FOUR_BITS] if small else []), *others)


def _bodies(allowed: tuple[str, ...], scope: str) -> list[Steps]:
    bodies: list[Steps] = [()]
    learn = (StepSetting("distill"),) if "distill" in allowed else ()
    if "prune" in allowed:
        channels = block()
        body: Steps = ()

        def pruned(keep: float) -> Steps:
            return (StepSetting("prune", (("keep", keep), ("round_to", channels), ("scope", scope))), *learn)

        for keep in (FIRST, *(NEXT,) * (RUNGS - 1)):
            # Where a cut is too bold, its square root is half of it, twice done the whole.
            bodies += [body + pruned(share) for share in (keep, round(math.sqrt(keep), 2))]
            body = body + pruned(keep)
            if learn:
                again = body + learn
                bodies += [
                    again,
                    *(again + pruned(share) for share in (NEXT, round(math.sqrt(NEXT), 2))),
                ]
    if "factorize" in allowed:
        bodies.append((StepSetting("factorize"), *learn))
    if learn and len(bodies) == 1:
        bodies.append(learn)
    return bodies
