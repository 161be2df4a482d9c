"""Parameters and multiply-accumulates of an ONNX model, by one explicit table.

A multiply-accumulate (MAC) is one fused multiply-add. Only operators that accumulate products count: a multiplication
or an addition alone is none, nor is moving data. The number is not a latency, and steelyard never chooses by it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx.inliner import inline_local_functions

from steelyard.core.errors import InputError
from steelyard.graph.tensors import FLOAT_TYPES, Use, named_tensors, uses_of_tensors

Shape = tuple[int, ...]
Rule = Callable[[onnx.NodeProto, Sequence[Shape | None]], int]
"""MACs of a node from the shapes of its inputs and then its outputs; KeyError or TypeError where one is unknown."""

_LARGE = 1024
"""Tensors with more elements are weights, whose values shape inference does not need."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a model holds and does.

    Attributes:
        parameters: elements of trained weights in the file (see `count_parameters`).
        macs: multiply-accumulates of one run.
        operators: MACs by operator, those with none among them.
        uncounted: operators that the table lacks, or whose shapes could not be inferred, by name; their MACs are
            missing from `macs`.
    """

    parameters: int
    macs: int
    operators: Mapping[str, int]
    uncounted: tuple[str, ...]


def _known(shape: Shape | None) -> Shape:
    if shape is None:
        raise KeyError("unknown shape")
    return shape


def _convolution(weight: int) -> Rule:
    """Each output element sums over a kernel: weights (out, in / groups, *kernel)."""
    return lambda _, shapes: math.prod(_known(shapes[-1])) * math.prod(_known(shapes[weight])[1:])


def _transposed_convolution(_: onnx.NodeProto, shapes: Sequence[Shape | None]) -> int:
    """Each input element is spread over a kernel: weights (in, out / groups, *kernel)."""
    return math.prod(_known(shapes[0])) * math.prod(_known(shapes[1])[1:])


def _product(_: onnx.NodeProto, shapes: Sequence[Shape | None]) -> int:
    """Each output element sums over the last axis of the left factor."""
    return math.prod(_known(shapes[-1])) * _known(shapes[0])[-1]


def _gemm(node: onnx.NodeProto, shapes: Sequence[Shape | None]) -> int:
    """(m, k) times (k, n); with `transA` the left factor stands as (k, m). Its bias starts the sums, at no cost."""
    rows = _attribute(node, "transA", 0)
    return math.prod(_known(shapes[-1])) * _known(shapes[0])[0 if rows else 1]


def _recurrent(_: onnx.NodeProto, shapes: Sequence[Shape | None]) -> int:
    """Gates of each step from input x (steps, batch, …) and state: W (directions, gates·hidden, input), R alike."""
    steps, batch = _known(shapes[0])[:2]
    return steps * batch * (math.prod(_known(shapes[1])) + math.prod(_known(shapes[2])))


def _each_element(_: onnx.NodeProto, shapes: Sequence[Shape | None]) -> int:
    """One scale and shift an element; the statistics of a normalisation are sums, which don't count."""
    return math.prod(_known(shapes[0]))


MACS: dict[str, Rule] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "QLinearConv": _convolution(3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "BatchNormalization": _each_element,
    "InstanceNormalization": _each_element,
    "LayerNormalization": _each_element,
    "GroupNormalization": _each_element,
}
"""Operators that accumulate products."""

_WITHOUT_MACS_BY_KIND = {
    "elementwise": "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Ceil Celu Clip Cos Cosh Div Elu Equal Erf "
    "Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean "
    "Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign "
    "Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor",
    "pooling and reduction": "ArgMax ArgMin AveragePool CumSum GlobalAveragePool GlobalMaxPool Hardmax LogSoftmax "
    "MaxPool ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Softmax",
    "moving": "Cast CastLike Compress Concat Constant ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten "
    "Gather GatherElements GatherND Identity NonZero OneHot Pad Range Reshape ScatterElements ScatterND Shape Size "
    "Slice SpaceToDepth Split Squeeze Tile TopK Transpose Trilu Unsqueeze",
    "number formats": "DequantizeLinear DynamicQuantizeLinear QuantizeLinear",
    "interpolation": "Resize Upsample",
}

WITHOUT_MACS = frozenset(name for names in _WITHOUT_MACS_BY_KIND.values() for name in names.split())
"""Operators that accumulate no products. Pooling and reductions only add; interpolation in Resize is taken as moving
data, as fvcore does; rescaling between integer and float is part of how a number is stored."""

NOT_WEIGHTS: dict[str, frozenset[int] | None] = {
    **dict.fromkeys(
        ("Sub", "Div", "Pow", "Where", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Max", "Min", "Mod")
    ),
    **dict.fromkeys(("Clip", "Pad", "Resize", "Upsample", "Range", "OneHot", "ConstantOfShape", "TopK")),
    "QuantizeLinear": None,
    "DequantizeLinear": None,
    "BatchNormalization": frozenset((3, 4)),
    "MatMulInteger": frozenset((2, 3)),
    "ConvInteger": frozenset((2, 3)),
    "QLinearConv": frozenset((1, 2, 4, 5, 6, 7)),
    "QLinearMatMul": frozenset((1, 2, 4, 5, 6, 7)),
}
"""Inputs (None: all) where a constant is no trained weight: fitted preprocessing (mean, scale, filling, categories),
bounds, sizes, scales and zero points of quantization, and batch norm's running statistics."""

INTEGER_WEIGHTS: dict[str, frozenset[int]] = {
    "ConvInteger": frozenset((1,)),
    "MatMulInteger": frozenset((0, 1)),
    "QLinearConv": frozenset((3, 8)),
    "QLinearMatMul": frozenset((0, 3)),
}
"""Inputs where an integer tensor is a weight without a DequantizeLinear before it."""


def count(model: onnx.ModelProto, batch: int = 1) -> Counts:
    """Parameters and MACs of one run on `batch` rows.

    Shapes come from ONNX's shape inference, with the first dimension of every input fixed to `batch`. Branches and
    loop bodies are not entered; their operators (If, Loop, Scan) are uncounted.
    """
    whole = inline_local_functions(model) if model.functions else model
    shapes = _infer_shapes(whole, batch)
    operators: dict[str, int] = {}
    uncounted: dict[str, None] = {}
    for node in whole.graph.node:
        name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        if name in WITHOUT_MACS:
            operators.setdefault(name, 0)
        elif name in MACS:
            try:
                macs = MACS[name](node, [shapes.get(each) for each in (*node.input, node.output[0])])
            except (KeyError, IndexError, ValueError):
                uncounted[f"{name} of unknown shape"] = None
                continue
            operators[name] = operators.get(name, 0) + macs
        else:
            uncounted[name] = None
    return Counts(count_parameters(whole), sum(operators.values()), operators, tuple(uncounted))


def count_parameters(model: onnx.ModelProto) -> int:
    """Elements of the trained weights that the file holds, each tensor once.

    A stored tensor is a weight if some operator reads it as one: floats anywhere but where `NOT_WEIGHTS` says, integers
    behind a DequantizeLinear or where `INTEGER_WEIGHTS` says. A single number in an addition or a multiplication is a
    constant of a formula. So an int8 file counts as many as its float32 source. Folding counts as it is in the file: a
    convolution that swallowed its batch norm has weights and one bias a channel, an unfolded one scale and shift too.
    """
    weights = {use.tensor.name: use.tensor.elements for use in uses_of_tensors(model) if _is_weight(use)}
    return sum(weights.values())


def _is_weight(use: Use) -> bool:
    if use.tensor.type not in FLOAT_TYPES and not (
        use.is_dequantized or use.slot in INTEGER_WEIGHTS.get(use.operator, ())
    ):
        return False
    if use.operator in NOT_WEIGHTS:
        slots = NOT_WEIGHTS[use.operator]
        return slots is not None and use.slot not in slots
    return not (use.operator in ("Add", "Mul") and not use.tensor.shape)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


def _infer_shapes(model: onnx.ModelProto, batch: int) -> dict[str, Shape]:
    """Shapes by name, where they are known as numbers.

    Weights take part by shape alone: their values are left out of the copy that is inferred on.

    Raises:
        InputError: if the model contradicts itself.
    """
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    graph = light.graph
    graph.name = "shapes"
    graph.node.extend(model.graph.node)
    known = {name: tuple(tensor.dims) for name, tensor in named_tensors(model.graph)}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > _LARGE:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        else:
            graph.initializer.append(tensor)
    for value in model.graph.input:
        if value.name not in known:
            graph.input.append(value)
            dimensions = graph.input[-1].type.tensor_type.shape.dim
            if dimensions:
                dimensions[0].dim_value = batch
    for value in model.graph.output:
        graph.output.append(onnx.ValueInfoProto(name=value.name))
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise InputError(f"the model's shapes contradict each other: {str(error).splitlines()[0][:200]}") from error
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        dimensions = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(each.HasField("dim_value") for each in dimensions):
            known[value.name] = tuple(each.dim_value for each in dimensions)
    return known
