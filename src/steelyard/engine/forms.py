"""The forms that one scale is searched in: pipelines of steps on a model that was trained for them."""

from collections.abc import Sequence

from steelyard.core.candidate import Setting, StepSetting
from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.registry import Registry

Steps = tuple[StepSetting, ...]

INT8 = StepSetting("quantize")
"""Static int8 of all products."""
UNCOMPRESSED: tuple[Steps, ...] = ((),)
"""Pipelines for runtimes whose files are not made of ONNX files, which the steps work on."""
PIPELINES: tuple[Steps, ...] = ((), (INT8,))
"""Pipelines that are searched where none are asked for: none, and int8."""
KEPT = (1, 2, 4)
"""How many of the most sensitive products stay in float where precision is mixed."""
MIXED: tuple[Steps, ...] = tuple((StepSetting("quantize", (("keep_float", count),)),) for count in KEPT[:2])
"""Further ones where estimates are cheap and int8 alone loses too much: precision by layer."""
SPARSITIES = (0.5, 0.8)
"""Shares of weights that become zero."""
SEARCHED = ("quantize", "sparsify", "share", "encode")
"""Steps that may be asked for, in the order in which they are applied."""
SCALING = frozenset({"prune", "factorize"})
"""Steps that make a model smaller: what a scale sets already."""


def _quantize(**settings: Setting) -> StepSetting:
    return StepSetting("quantize", tuple(sorted(settings.items())))


QUANTIZED: tuple[StepSetting, ...] = (
    INT8,
    *(_quantize(keep_float=count) for count in KEPT),
    _quantize(chains=True),
    _quantize(chains=True, keep_float=1),
    _quantize(mode="dynamic"),
    _quantize(mode="weights", packed=False),
    _quantize(mode="weights", packed=False, bits=4),
)
"""Precisions: int8 of all products or of all but the most sensitive, with chains of integers between them, with ranges
found as it runs, or of the weights alone, in 8 bits or in 4."""


def pipelines_for(asked: Sequence[str] | None, registry: Registry, runtime: str, *, shares: bool) -> tuple[Steps, ...]:
    """The pipelines that are searched for a runtime.

    Args:
        asked: names of steps; None for int8 and, where weights are shared, mixed precision.
        registry: of steps, exporters and runtimes.
        runtime: that ships.
        shares: whether models share weights, so that estimates are cheap.

    Raises:
        InputError: if steps are asked for that can't be searched, or that are of no use to the runtime.
    """
    takes_onnx = "onnx" in registry.get("exporter", runtime).sources
    if asked is None:
        return (*PIPELINES, *(MIXED if shares else ())) if takes_onnx else UNCOMPRESSED
    found = pipelines_asked(asked, registry)
    if not takes_onnx:
        raise InputError(
            f"'steps' can't be searched for {runtime}, whose files are not made of ONNX files; leave it out.",
            field="steps",
        )
    if "encode" in asked and registry.get("runtime", runtime).suffix != ".onnx":
        raise InputError(
            f"'steps' encode makes ONNX files smaller, but {runtime} has files of its own; leave encode out.",
            field="steps",
        )
    return found


def added_to(pipelines: Sequence[Steps], asked: Sequence[str] | None) -> tuple[Steps, ...]:
    """Those of the pipelines that nobody asked for, which are tried where estimates speak for them."""
    return () if asked is not None else tuple(each for each in pipelines if each in MIXED)


def pipelines_asked(asked: Sequence[str], registry: Registry) -> tuple[Steps, ...]:
    """Every pipeline of the steps that were asked for, the empty one first, the shorter ones before the longer.

    `quantize` stands for each precision; `sparsify` for each sparsity, alone and in int8 where that is asked for;
    `share` for one codebook a layer. `encode` comes last: behind each of the others that it can win something of, and
    alone.

    Args:
        asked: names of steps.
        registry: of the steps.

    Raises:
        InputError: if there is none, or one that is of no use here.
        UnknownNameError: naming the first that there is not.
    """
    _check(asked, registry)
    bodies: list[Steps] = [()]
    if "sparsify" in asked:
        bodies += [(StepSetting("sparsify", (("ratio", ratio),)),) for ratio in SPARSITIES]
    if "share" in asked:
        bodies.append((StepSetting("share"),))
        if "sparsify" in asked:
            bodies.append((StepSetting("sparsify", (("ratio", SPARSITIES[-1]),)), StepSetting("share")))
    found = list(bodies)
    if "quantize" in asked:
        found += [(each,) for each in QUANTIZED]
        # Codebooks hold few values; integers would be a second rounding of them.
        found += [(*body, INT8) for body in bodies if body and body[-1].name == "sparsify"]
    if "encode" in asked:
        # Which products stay in float changes little of what is encoded: of the precisions those that differ in bytes.
        few = {(INT8,), *((each,) for each in QUANTIZED if ("mode", "weights") in each.settings)}
        found += [(*each, StepSetting("encode")) for each in found if each in few or len(each) != 1 or _is_sparse(each)]
    return tuple(sorted(dict.fromkeys(found), key=len))


def _is_sparse(steps: Steps) -> bool:
    return steps[0].name in ("sparsify", "share")


def _check(asked: Sequence[str], registry: Registry) -> None:
    known = (*registry.names("module_step"), *registry.names("step"))
    if not asked:
        raise InputError("'steps' must name at least one step, got none.", field="steps")
    for name in asked:
        if name not in known:
            raise UnknownNameError("step", name, known, field="steps")
        if name in SCALING:
            raise InputError(
                f"'steps' {name} makes a model smaller, which the search does by its scale; leave it out.",
                field="steps",
            )
        if name not in SEARCHED:
            raise InputError(
                f"'steps' must be of {', '.join(SEARCHED)} where models are trained, got {name!r}; leave it out.",
                field="steps",
            )
