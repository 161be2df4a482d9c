"""One explicit table: which operator does how many multiply-accumulates, and which bytes it moves.

A multiply-accumulate (MAC) is one fused multiply-add. Only operators that accumulate products count: a multiplication
or an addition alone is none, nor is moving data. Bytes are those that no implementation can avoid: each input read
once, each output written once, at their stored types; what a kernel reads again or lays out anew is not in them. An
operator that is not in the table is never guessed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import onnx

Kind = TypeVar("Kind", int, float, bytes, list[int])
Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
Rule = Callable[[onnx.NodeProto, Shapes, Shapes], int]
"""MACs of a node from the shapes of its inputs and outputs; raises where one that it needs is unknown or wrong."""

Traffic = Literal["all", "picked", "shape", "none"]
"""Which bytes an operator moves: everything; of its first input as much as of its output; its output alone, because it
looks at a shape only; nothing, because its output is its input under another shape, or a constant."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What the table says of one operator: its MACs (None: none), its bytes, whether its products are of 8 bits."""

    macs: Rule | None = None
    traffic: Traffic = "all"
    is_integer: bool = False


def operator_name(node: onnx.NodeProto) -> str:
    """The operator with its domain before it, where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def attribute_of(node: onnx.NodeProto, name: str, default: Kind) -> Kind:
    """An attribute's value, or the default where the node lacks it.

    Raises:
        ValueError: if it is of another kind than the default.
    """
    for attribute in node.attribute:
        if attribute.name == name:
            value = onnx.helper.get_attribute_value(attribute)
            if not isinstance(value, type(default)):
                raise ValueError(f"attribute {name!r} is of another kind")
            return value
    return default


def _known(shapes: Shapes, slot: int) -> Shape:
    shape = shapes[slot] if -len(shapes) <= slot < len(shapes) else None
    if shape is None:
        raise KeyError("unknown shape")
    return shape


def _optional(shapes: Shapes, slot: int) -> Shape | None:
    return shapes[slot] if slot < len(shapes) else None


def _convolution(weight: int) -> Rule:
    """Each output element sums over a kernel: weights (out, in / groups, *kernel)."""
    return lambda _, inputs, outputs: math.prod(_known(outputs, 0)) * math.prod(_known(inputs, weight)[1:])


def _transposed_convolution(_: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Each input element is spread over a kernel: weights (in, out / groups, *kernel)."""
    return math.prod(_known(inputs, 0)) * math.prod(_known(inputs, 1)[1:])


def _product(_: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:
    """Each output element sums over the last axis of the left factor."""
    return math.prod(_known(outputs, 0)) * _known(inputs, 0)[-1]


def _gemm(node: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:
    """(m, k) times (k, n); with `transA` the left factor stands as (k, m). Its bias starts the sums, at no cost."""
    return math.prod(_known(outputs, 0)) * _known(inputs, 0)[0 if attribute_of(node, "transA", 0) else 1]


def _transposing_product(node: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:
    """A product whose left factor stands as (…, k, m) with `transA`; `transBatchA` puts its first axis last but one."""
    left = list(_known(inputs, 0))
    if attribute_of(node, "transBatchA", 0) and len(left) > 1:
        left.insert(len(left) - 2, left.pop(0))
    return math.prod(_known(outputs, 0)) * left[-2 if attribute_of(node, "transA", 0) and len(left) > 1 else -1]


def _packed_product(node: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Weights of a few bits, packed: their sides K and N stand in attributes."""
    return math.prod(_known(inputs, 0)) * attribute_of(node, "N", 0)


def _recurrent(_: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Gates of each step from input x (steps, batch, …) and state: W (directions, gates·hidden, input), R alike."""
    steps, batch = _known(inputs, 0)[:2]
    return steps * batch * (math.prod(_known(inputs, 1)) + math.prod(_known(inputs, 2)))


def _each_element(_: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """One scale and shift an element; the statistics of a normalisation are sums, which don't count."""
    return math.prod(_known(inputs, 0))


def _each_output(_: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """As `_each_element`, where the first input is made of indices."""
    return math.prod(_known(outputs, 0))


def _attention(past: int) -> Rule:
    """Products of queries with keys and of weights with values, over the keys of now and those of the past.

    Queries, keys and values are (batch, heads, length, width), (batch, length, heads·width), or packed beside each
    other as (batch, length, heads, 3, width) or, keys and values alone, (batch, length, heads, 2, width). Keys that a
    mask hides count: kernels multiply them too.
    """

    def macs(_: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:
        query, result = _known(inputs, 0), _known(outputs, 0)
        is_packed = len(query) == 5
        key = query if is_packed else _known(inputs, 1)
        before = _optional(inputs, past)
        length = (key[-2] if len(key) == 4 else key[1]) + (before[-2] if before else 0)
        return (math.prod(query) // (3 if is_packed else 1) + math.prod(result)) * length

    return macs


def _projecting_attention(past: int) -> Rule:
    """Input (batch, length, in) times weights (in, queries + keys + values), then as in `_attention`."""

    def macs(node: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
        batch, length, width = _known(inputs, 0)
        out = _known(inputs, 1)[1]
        none: list[int] = []
        sizes = attribute_of(node, "qkv_hidden_sizes", none) or [out // 3] * 3
        before = _optional(inputs, past)
        total = length + (before[-2] if before else 0)
        return batch * length * width * out + batch * length * total * (sizes[0] + sizes[2])

    return macs


def _einsum(node: onnx.NodeProto, inputs: Shapes, outputs: Shapes) -> int:  # noqa: ARG001
    """Two factors: every combination of their indices is one product; one factor alone is only summed or moved.

    Raises:
        ValueError: for an ellipsis, more than two factors (their order is the kernel's choice), or sizes that clash.
    """
    equation = attribute_of(node, "equation", b"").decode().replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if "." in equation or len(terms) != len(inputs) or len(terms) > 2:
        raise ValueError("not countable")
    sizes: dict[str, int] = {}
    for slot, term in enumerate(terms):
        for label, size in zip(term, _known(inputs, slot), strict=True):
            if sizes.setdefault(label, size) != size and 1 not in (sizes[label], size):
                raise ValueError("sizes clash")
            sizes[label] = max(sizes[label], size)
    return math.prod(sizes.values()) if len(terms) == 2 else 0


_MS = "com.microsoft."
_BLOCKED = "com.microsoft.nchwc."
_ML = "ai.onnx.ml."
"""Convolutions on channels in blocks of the vector's width; channels are padded to whole blocks, which counts."""

_ACCUMULATING: dict[str, Operator] = {
    "Conv": Operator(_convolution(1)),
    "ConvInteger": Operator(_convolution(1), is_integer=True),
    "QLinearConv": Operator(_convolution(3), is_integer=True),
    "ConvTranspose": Operator(_transposed_convolution),
    "Gemm": Operator(_gemm),
    "MatMul": Operator(_product),
    "MatMulInteger": Operator(_product, is_integer=True),
    "QLinearMatMul": Operator(_product, is_integer=True),
    "Einsum": Operator(_einsum),
    "Attention": Operator(_attention(4)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), Operator(_recurrent)),
    **dict.fromkeys(
        [
            "BatchNormalization",
            "InstanceNormalization",
            "LayerNormalization",
            "GroupNormalization",
            "RMSNormalization",
            "SimplifiedLayerNormalization",
        ],
        Operator(_each_element),
    ),
    _MS + "FusedConv": Operator(_convolution(1)),
    _MS + "QLinearConv": Operator(_convolution(3), is_integer=True),
    _MS + "ConvTransposeWithDynamicPads": Operator(_transposed_convolution),
    _MS + "FusedGemm": Operator(_gemm),
    _MS + "QGemm": Operator(_gemm, is_integer=True),
    **dict.fromkeys(
        (_MS + "FusedMatMul", _MS + "FusedMatMulActivation", _MS + "TransposeMatMul"), Operator(_transposing_product)
    ),
    **dict.fromkeys(
        (_MS + "DynamicQuantizeMatMul", _MS + "MatMulIntegerToFloat", _MS + "MatMulInteger16"),
        Operator(_product, is_integer=True),
    ),
    **dict.fromkeys((_MS + "MatMulNBits", _MS + "MatMulBnb4"), Operator(_packed_product)),
    _MS + "DynamicQuantizeLSTM": Operator(_recurrent, is_integer=True),
    _MS + "Attention": Operator(_projecting_attention(4)),
    _MS + "QAttention": Operator(_projecting_attention(8), is_integer=True),
    _MS + "MultiHeadAttention": Operator(_attention(6)),
    **dict.fromkeys(
        [
            _MS + name
            for name in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "GroupNorm", "SkipGroupNorm")
        ],
        Operator(_each_element),
    ),
    **dict.fromkeys((_MS + "EmbedLayerNormalization", _MS + "QEmbedLayerNormalization"), Operator(_each_output)),
    _BLOCKED + "Conv": Operator(_convolution(1)),
}

_ELEMENTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Ceil Celu Clip Cos Cosh Div Elu Equal Erf "
    "Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean "
    "Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign "
    "Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor"
)
_REDUCING = (
    "ArgMax ArgMin AveragePool CumSum GlobalAveragePool GlobalMaxPool Hardmax LogSoftmax "
    "MaxPool ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Softmax"
)
_MOVING = (
    "Cast CastLike Compress Concat ConstantOfShape DepthToSpace Expand EyeLike NonZero OneHot Pad Range Resize "
    "ScatterElements ScatterND SpaceToDepth Split Tile TopK Transpose Trilu Upsample"
)
_CHANGING_FORMAT = "DequantizeLinear DynamicQuantizeLinear QuantizeLinear"
_PICKING = "Gather GatherElements GatherND Slice"
_MEASURING_SHAPE = "Shape Size"
_VIEWS = "Constant Dropout Flatten Identity Reshape Squeeze Unsqueeze"
_OF_MICROSOFT = (
    "Gelu FastGelu BiasGelu QuickGelu BiasSoftmax BiasAdd BiasSplitGelu QLinearAdd QLinearMul QLinearSigmoid "
    "QLinearLeakyRelu QLinearSoftmax QLinearConcat QLinearWhere QLinearReduceMean QLinearAveragePool "
    "QLinearGlobalAveragePool NhwcMaxPool QuantizeLinear DequantizeLinear ReduceSumInteger"
)
_OF_TREES = "TreeEnsembleRegressor TreeEnsembleClassifier TreeEnsemble"
_OF_BLOCKS = "MaxPool AveragePool GlobalMaxPool GlobalAveragePool ReorderInput ReorderOutput Upsample"


def _without_macs() -> dict[str, Operator]:
    """Operators that accumulate no products.

    Pooling and reductions only add; interpolation is taken as moving data, as fvcore does; rescaling between integer
    and float is part of how a number is stored. Trees compare.
    """
    kinds: list[tuple[str, str, Traffic]] = [
        ("", f"{_ELEMENTWISE} {_REDUCING} {_MOVING} {_CHANGING_FORMAT}", "all"),
        ("", _PICKING, "picked"),
        ("", _MEASURING_SHAPE, "shape"),
        ("", _VIEWS, "none"),
        (_MS, _OF_MICROSOFT, "all"),
        (_BLOCKED, _OF_BLOCKS, "all"),
        (_ML, _OF_TREES, "all"),
    ]
    return {domain + name: Operator(None, traffic) for domain, names, traffic in kinds for name in names.split()}


OPERATORS: dict[str, Operator] = {**_without_macs(), **_ACCUMULATING}
"""Every operator that is counted, by its name; those of ONNX Runtime's optimiser stand behind their domain."""
