"""Quantize-dequantize pairs around products, with scales fixed by calibration."""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorData, TensorsData

from steelyard.graph.weighted import Weighted, initializers, readers, weighted_operators
from steelyard.steps.quantizing.ranges import Range

OPERATORS = ("Conv", "Gemm", "MatMul")
"""Operators with integer kernels whose weights are known beforehand."""

_PASSED = ("Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
"""Operators of one input that ONNX Runtime does in integers, or fuses into the product before them."""

_TO_FLOAT = "OpTypesToExcludeOutputQuantization"
"""ONNX Runtime's name for: the result of these operators stays in float."""


def static_operators(model: onnx.ModelProto, exclude: Collection[str] = ()) -> tuple[Weighted, ...]:
    """The operators that pairs are put around."""
    return tuple(
        each
        for each in weighted_operators(model)
        if each.operator in OPERATORS and 1 in each.weights and not each.is_nested and each.name not in exclude
    )


def joined_operators(model: onnx.ModelProto, products: Collection[str]) -> frozenset[str]:
    """Names of operators between quantized products that integers pass through: relu, pooling, layouts, and sums.

    A pair on either side of such an operator lets the runtime do it in integers, or do away with it; without, every
    product of a chain goes to float and back.
    """
    stored = initializers(model.graph)
    by_input = readers(model.graph)
    made: set[str] = set()
    joined: set[str] = set()
    for node in model.graph.node:
        inputs = [name for name in node.input if name and name not in stored]
        if node.name in products:
            made.update(() if node.op_type == "MatMul" else node.output)
        elif (
            inputs and made.issuperset(inputs) and (node.op_type in _PASSED or _is_sum_in_chain(node, by_input, stored))
        ):
            joined.add(node.name)
            made.update(node.output)
    return frozenset(joined)


def _is_sum_in_chain(
    node: onnx.NodeProto, by_input: Mapping[str, list[onnx.NodeProto]], stored: Collection[str]
) -> bool:
    """Whether it adds two computed tensors for operators that take integers, as residual nets do."""
    is_sum = node.op_type == "Add" and not any(name in stored for name in node.input)
    return is_sum and all(
        reader.op_type in ("Relu", "Clip", "Add", "GlobalAveragePool", *OPERATORS)
        for reader in by_input.get(node.output[0], ())
    )


def tensors_of(model: onnx.ModelProto, names: Collection[str]) -> tuple[str, ...]:
    """Activations whose ranges are needed to quantize these operators: what they read and what they give."""
    stored = initializers(model.graph)
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.name in names:
            read = node.input if node.op_type == "Add" else node.input[:1]
            found.update(dict.fromkeys((*read, node.output[0])))
    return tuple(name for name in found if name and name not in stored)


def with_pairs(
    model: onnx.ModelProto,
    names: Collection[str],
    ranges: Mapping[str, Range],
    *,
    activations: str,
    per_channel: bool,
    reduced: bool,
    joined: Collection[str] | None = None,
) -> onnx.ModelProto:
    """The model with pairs around the named operators; their weights are stored in 8 bits, biases in 32.

    Where operators are joined, results of MatMul stay in float: its integer kernel gives them for nothing, and what
    reads them (sums with biases, normalisation) takes no integers.

    Args:
        model: a clean model; left as it was.
        names: of operators.
        ranges: of the tensors that `tensors_of` names.
        activations: "uint8" or "int8".
        per_channel: whether each channel of a weight has a scale of its own.
        reduced: whether weights keep to 7 bits, for processors that add products in 16.
        joined: names of operators that pass integers on, see `joined_operators`; None for pairs around products alone.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    through = joined or ()
    known = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    with quiet():
        quantizer = QDQQuantizer(
            copy,
            per_channel,
            reduced,
            QuantType.QInt8,
            QuantType.QUInt8 if activations == "uint8" else QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, known),
            sorted({*names, *through}),
            [],
            sorted({*OPERATORS, *(node.op_type for node in copy.graph.node if node.name in through)}),
            {} if joined is None else {_TO_FLOAT: ["MatMul"]},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    return quantizer.model.model  # type: ignore[no-any-return]


@contextmanager
def quiet() -> Iterator[None]:
    """ONNX Runtime's tools without their talk; what matters is checked in the file that they write."""
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
