"""What is worth trying on a model, from the operators of its graph: quantizations at the end, and how to prune.

The choices follow `benchmarks/quantizing.py`: they are what was fast on ONNX Runtime, not what can be done at all.
"""

from collections.abc import Iterator
from typing import Literal

import onnx

from steelyard.core.candidate import StepSetting
from steelyard.graph.weighted import Weighted, initializers, weighted_operators

_RECURRENT = ("LSTM", "GRU", "RNN")
_CONVOLVING = ("Conv", "ConvTranspose")
_NORMALISING = ("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization", "SkipLayerNormalization")
"""Operators of transformers, which want float."""
_COMPETING = {"Softmax", "LayerNormalization", "Attention", *_RECURRENT}
"""Operators of nets whose groups differ in kind: heads, widths, units."""

_WIDE = 128
"""Units from which the integer LSTM is tried first."""


def finishes_for(model: onnx.ModelProto) -> tuple[StepSetting, ...]:
    """Quantization steps to try on a float model, the one that most often wins first; none where it has no weights.

    Static quantization where products lead from one to the next (convolutions, Gemm); dynamic too where matrix products
    stand between operators that want float, as in transformers; small weights for what has no fast integer kernel.
    """
    operators = weighted_operators(model)
    if not operators:
        return ()
    types = {node.op_type for node in model.graph.node}
    whole = sum(each.elements for each in operators)
    if _elements(operators, _RECURRENT) > whole / 2:
        return tuple(_recurrent(model, operators))
    if types & set(_NORMALISING) and types & {"MatMul", "Attention"}:
        return tuple(_attending())
    return tuple(_leading(len(operators), types, is_convolved=_elements(operators, _CONVOLVING) > whole / 2))


def scope_for(model: onnx.ModelProto) -> Literal["uniform", "global"]:
    """Whether the groups of a net are best pruned alike or by importance.

    Tried on the tasks of `benchmarks/compression.py` with half a minute of recovery: plain convolutional nets kept more
    of their quality where all layers shrink alike, transformers where heads and widths compete.
    """
    operators = {node.op_type for node in model.graph.node}
    return "uniform" if "Conv" in operators and not operators & _COMPETING else "global"


def _recurrent(model: onnx.ModelProto, operators: tuple[Weighted, ...]) -> Iterator[StepSetting]:
    """The integer LSTM was twice as fast as the float one at 256 units, and slower at 64; a GRU has none."""
    stored = initializers(model.graph)
    units = [stored[each.weights[2]].dims[2] for each in operators if each.operator == "LSTM" and 2 in each.weights]
    dynamic = [_step(mode="dynamic"), _step(mode="dynamic", keep_float=1)] if units else []
    is_wide = max(units, default=0) >= _WIDE
    yield from (*dynamic, _SMALL) if is_wide else (_SMALL, *dynamic[:1])


def _attending() -> Iterator[StepSetting]:
    """The last product of a transformer is tiny and the most sensitive: in float it costs nothing."""
    for settings in ({"mode": "dynamic"}, {"chains": True}):
        yield _step(**settings)
        yield _step(**settings, keep_float=1)
    yield _SMALL


def _leading(number: int, types: set[str], *, is_convolved: bool) -> Iterator[StepSetting]:
    """Products that lead from one to the next: perceptrons and convolutional nets."""
    yield _step(chains=True)
    yield _step(chains=True, bias_correction=True)
    # A float product before a pooling of pictures makes the runtime pool bytes, which it does slowly.
    if number > 2 and "MaxPool" not in types:
        yield _step(chains=True, keep_float=1)
    if not is_convolved:
        # Kernels that read packed weights win for a row at a time, and lose for many.
        yield _step(mode="weights")
        yield _step(mode="dynamic")
    yield _SMALL


def _elements(operators: tuple[Weighted, ...], types: tuple[str, ...]) -> int:
    return sum(each.elements for each in operators if each.operator in types)


def _step(**settings: bool | int | float | str) -> StepSetting:
    return StepSetting("quantize", tuple(sorted(settings.items())))


_SMALL = _step(mode="weights", packed=False)
"""Weights in 8 bits that are unpacked as the file is loaded: as fast as float, a quarter of the bytes."""
