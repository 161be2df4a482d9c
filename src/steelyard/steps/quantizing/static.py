"""Quantize-dequantize pairs around products, with scales fixed by calibration."""

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorData, TensorsData

from steelyard.graph.weighted import Weighted, initializers, weighted_operators
from steelyard.steps.quantizing.ranges import Range

OPERATORS = ("Conv", "Gemm", "MatMul")
"""Operators with integer kernels whose weights are known beforehand."""


def static_operators(model: onnx.ModelProto, exclude: Collection[str] = ()) -> tuple[Weighted, ...]:
    """The operators that pairs are put around."""
    return tuple(
        each
        for each in weighted_operators(model)
        if each.operator in OPERATORS and 1 in each.weights and not each.is_nested and each.name not in exclude
    )


def tensors_of(model: onnx.ModelProto, names: Collection[str]) -> tuple[str, ...]:
    """Activations whose ranges are needed to quantize these operators: what they read and what they give."""
    stored = initializers(model.graph)
    found: dict[str, None] = {}
    for node in model.graph.node:
        if node.name in names:
            found.update(dict.fromkeys((node.input[0], node.output[0])))
    return tuple(name for name in found if name not in stored)


def with_pairs(
    model: onnx.ModelProto,
    names: Collection[str],
    ranges: Mapping[str, Range],
    *,
    activations: str,
    per_channel: bool,
    reduced: bool,
) -> onnx.ModelProto:
    """The model with pairs around the named operators; their weights are stored in 8 bits, biases in 32.

    Args:
        model: a clean model; left as it was.
        names: of operators.
        ranges: of the tensors that `tensors_of` names.
        activations: "uint8" or "int8".
        per_channel: whether each channel of a weight has a scale of its own.
        reduced: whether weights keep to 7 bits, for processors that add products in 16.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    with quiet():
        quantizer = QDQQuantizer(
            copy,
            per_channel,
            reduced,
            QuantType.QInt8,
            QuantType.QUInt8 if activations == "uint8" else QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, known),
            sorted(names),
            [],
            list(OPERATORS),
            {},
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
