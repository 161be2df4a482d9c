"""Which quantizations are worth trying at the end of a pipeline, from the operators of a graph.

The choices follow `benchmarks/quantizing.py`: they are what was fast on ONNX Runtime, not what can be done at all.
"""

from collections.abc import Iterator

import onnx

from steelyard.core.candidate import StepSetting
from steelyard.graph.weighted import Weighted, weighted_operators

_RECURRENT = ("LSTM", "GRU", "RNN")
_SEQUENCES = ("Softmax", "LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization", "Attention")
"""Operators of transformers."""


def finishes_for(model: onnx.ModelProto) -> tuple[StepSetting, ...]:
    """Quantization steps to try on a float model, the one that most often wins first; none where it has no weights.

    Static quantization where products lead from one to the next (convolutions, Gemm); dynamic too where matrix products
    stand between operators that want float, as in transformers; small weights for what has no fast integer kernel.
    """
    operators = weighted_operators(model)
    return tuple(_finishes(operators, {node.op_type for node in model.graph.node})) if operators else ()


def _finishes(operators: tuple[Weighted, ...], types: set[str]) -> Iterator[StepSetting]:
    whole = sum(each.elements for each in operators)
    recurrent = sum(each.elements for each in operators if each.operator in _RECURRENT)
    convolved = sum(each.elements for each in operators if each.operator.startswith("Conv"))
    is_transformer = bool(types & set(_SEQUENCES[1:])) and "MatMul" in types
    small = _step(mode="weights", packed=False)
    if recurrent > whole / 2:
        # The integer LSTM is no faster than the float one at these sizes: bytes are what there is to win.
        yield small
        if "LSTM" in types:
            yield _step(mode="dynamic")
        return
    static = {"chains": True}
    if is_transformer:
        yield _step(mode="dynamic")
        yield _step(mode="dynamic", keep_float=1)
        yield _step(**static, keep_float=1)
    else:
        yield _step(**static)
        yield _step(**static, bias_correction=True)
        if len(operators) > 2:
            yield _step(**static, keep_float=1)
        if convolved < whole / 2:
            yield _step(mode="dynamic")
    yield small


def _step(**settings: bool | int | float | str) -> StepSetting:
    return StepSetting("quantize", tuple(sorted(settings.items())))
