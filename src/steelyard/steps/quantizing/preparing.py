"""What a quantization step works on: a file read safely, cleaned, and refused where it can't be quantized."""

from pathlib import Path

import onnx

from steelyard.core.errors import InputError
from steelyard.graph.cleaning import clean
from steelyard.graph.fusion import is_quantized
from steelyard.graph.reading import read_model
from steelyard.graph.stored import stored
from steelyard.graph.tensors import TYPE_NAMES
from steelyard.graph.weighted import other_weight, weighted_operators

_PACKED = ("MatMulNBits", "MatMulBnb4", "GatherBlockQuantized")
_INTEGER = ("Quantize", "QLinear", "Integer", "QGemm", "QAttention", "QEmbed")
"""Parts of the names of operators that work on integers."""


def prepared(source: Path) -> onnx.ModelProto:
    """The clean model in a file.

    Raises:
        InputError: if it can't be read, is quantized already, has custom operators, weights that are no float32,
            or weights inside a branch or loop.
    """
    model = read_model(source)
    refuse_quantized(model)
    other = other_weight(model)
    if other is not None:
        node, tensor = other
        raise InputError(
            f"quantize takes weights in float32, got {TYPE_NAMES[tensor.data_type]} in {tensor.name!r} of "
            f"{node.op_type} {node.name!r}; export the model in float32."
        )
    found, _ = clean(model)
    nested = next((each for each in weighted_operators(found) if each.is_nested), None)
    if nested is not None:
        raise InputError(
            f"quantize can't reach the weights of {nested.operator} {nested.name!r} inside a branch or loop of the "
            "model; export it without control flow."
        )
    return found


def refuse_quantized(model: onnx.ModelProto) -> None:
    """Refuse a model whose weights are in integers already.

    Raises:
        InputError: naming an operator that shows it.
    """
    packed = next((node for node in model.graph.node if node.op_type in _PACKED), None)
    if packed is None and is_quantized(model):
        packed = next(node for node in model.graph.node if any(part in node.op_type for part in _INTEGER))
    small = next((each for each in stored(model).weights if not each.is_float), None)
    if packed is None and small is not None:
        raise InputError(
            f"the model is quantized already: the weights of {small.operator} {small.node!r} are stored in "
            f"{small.type}; give the float model instead."
        )
    if packed is not None:
        raise InputError(
            f"the model is quantized already: it has {packed.op_type} {packed.name!r}; give the float model instead."
        )
