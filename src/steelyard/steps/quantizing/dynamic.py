"""Weights in 8 bits, activations rounded as they come: products and LSTM layers without calibration."""

from collections.abc import Collection

import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode

from steelyard.graph.weighted import Weighted, weighted_operators
from steelyard.steps.quantizing.static import quiet

OPERATORS = ("MatMul", "LSTM")
"""Operators whose dynamic integer kernels are worth having; on a convolution they are eight times slower than float."""


def dynamic_operators(model: onnx.ModelProto, exclude: Collection[str] = ()) -> tuple[Weighted, ...]:
    """The operators that have a dynamic integer kernel; run `gemm_as_matmul` before, or Gemm is not among them."""
    layouts = {node.name: any(each.name == "layout" and each.i for each in node.attribute) for node in model.graph.node}
    return tuple(
        each
        for each in weighted_operators(model)
        if each.name not in exclude
        and not each.is_nested
        and (
            (each.operator == "MatMul" and set(each.weights) == {1})
            or (each.operator == "LSTM" and len(each.weights) == 2)
        )
        # The integer LSTM knows one layout: steps first.
        and not layouts[each.name]
    )


def with_dynamic(
    model: onnx.ModelProto, names: Collection[str], *, per_channel: bool, reduced: bool
) -> onnx.ModelProto:
    """The model with the named operators replaced by dynamic integer ones; the one given is left as it was."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with quiet():
        quantizer = ONNXQuantizer(
            copy,
            per_channel,
            reduced,
            QuantizationMode.IntegerOps,
            False,
            QuantType.QInt8,
            QuantType.QUInt8,
            None,
            sorted(names),
            [],
            list(OPERATORS),
            {"MatMulConstBOnly": True},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    made = quantizer.model.model
    if all(entry.domain != "com.microsoft" for entry in made.opset_import):
        made.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return made  # type: ignore[no-any-return]
