"""Shapes, types and small integer values of every tensor in an optimised graph.

A runtime's optimised file holds operators of its own (fused, integer, other layouts) and no shapes. The rules here walk
the graph once, forwards; shapes that the source file tells by name fill what no rule knows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.tensors import TYPE_NAMES

Shape = tuple[int, ...]
Attributes = Mapping[str, Any]

_FEW = 64
"""Integer tensors up to this size are followed by value: they are shapes, axes and indices."""

_NODES = 100_000
"""Nodes of a graph that are walked at most: the largest networks have a few thousand."""


@dataclass(slots=True)
class Tensors:
    """What is known of the tensors of a graph, by name."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)


class Unknown(Exception):  # noqa: N818 - no error: the walker goes on with the next node
    """A rule needs a shape or a value that is not known."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of the graph with its attributes decoded."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes


def decode(node: onnx.NodeProto) -> Node:
    """A node with its attributes as plain values; subgraphs stay out."""
    domain = "" if node.domain in ("", "ai.onnx") else node.domain.removeprefix("com.microsoft").removeprefix(".")
    attributes = {
        each.name: onnx.helper.get_attribute_value(each)
        for each in node.attribute
        if each.type not in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    }
    operator = f"{domain}.{node.op_type}" if domain else node.op_type
    return Node(node.name, operator, tuple(node.input), tuple(node.output), attributes)


def walk(graph: onnx.GraphProto, inputs: Mapping[str, Shape], known: Mapping[str, Shape]) -> tuple[list[Node], Tensors]:
    """The nodes in order, and what is known of every tensor.

    Args:
        graph: the optimised graph.
        inputs: shape of each input of the graph.
        known: shapes by name from elsewhere, believed where no rule applies.

    Raises:
        InputError: if the graph has absurdly many nodes.
    """
    if len(graph.node) > _NODES:
        raise InputError(f"the model must have at most {_NODES} operators, got {len(graph.node)}.")
    tensors = Tensors()
    for tensor in graph.initializer:
        _store(tensor.name, tensor, tensors)
    for value in graph.input:
        if value.name not in tensors.stored:
            tensors.types[value.name] = TYPE_NAMES.get(value.type.tensor_type.elem_type, "undefined")
            if value.name in inputs:
                tensors.shapes[value.name] = tuple(inputs[value.name])
    nodes = []
    for proto in graph.node:
        node = decode(proto)
        nodes.append(node)
        if node.operator == "Constant" and "value" in node.attributes:
            _store(node.outputs[0], node.attributes["value"], tensors)
            continue
        _set_types(node, tensors)
        _set_shapes(node, tensors, known)
        _set_values(node, tensors)
    return nodes, tensors


def _store(name: str, tensor: onnx.TensorProto, tensors: Tensors) -> None:
    tensors.shapes[name] = tuple(tensor.dims)
    tensors.types[name] = TYPE_NAMES.get(tensor.data_type, "undefined")
    tensors.stored.add(name)
    is_here = tensor.data_location != onnx.TensorProto.EXTERNAL
    if is_here and math.prod(tensor.dims) <= _FEW and tensor.data_type not in (onnx.TensorProto.STRING,):
        tensors.values[name] = numpy_helper.to_array(tensor)


def _set_types(node: Node, tensors: Tensors) -> None:
    kinds = [tensors.types.get(name, "undefined") for name in node.inputs]
    first = kinds[0] if kinds else "float32"
    fixed = _TYPES.get(node.operator)
    if node.operator == "Cast":
        found = [TYPE_NAMES.get(int(node.attributes.get("to", 1)), "undefined")]
    elif fixed is not None:
        found = fixed
    elif node.operator in _ZERO_POINT:
        slot = _ZERO_POINT[node.operator]
        is_given = slot < len(kinds) and node.inputs[slot] != ""
        found = [kinds[slot] if is_given else "float32" if node.operator == "QGemm" else "uint8"]
    elif node.operator == "ConstantOfShape" and "value" in node.attributes:
        found = [TYPE_NAMES.get(node.attributes["value"].data_type, "undefined")]
    elif node.operator == "Where":
        found = [kinds[1] if len(kinds) > 1 else first]
    else:
        found = [first]
    for index, name in enumerate(node.outputs):
        tensors.types[name] = found[min(index, len(found) - 1)]


_TYPES: dict[str, list[str]] = {
    **dict.fromkeys(("Shape", "Size", "ArgMax", "ArgMin", "NonZero"), ["int64"]),
    **dict.fromkeys(("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not"), ["bool"]),
    **dict.fromkeys(("MatMulInteger", "ConvInteger"), ["int32"]),
    **dict.fromkeys(("DequantizeLinear", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), ["float32"]),
    **dict.fromkeys(("ConstantOfShape", "DynamicQuantizeLSTM", "EmbedLayerNormalization"), ["float32"]),
    "DynamicQuantizeLinear": ["uint8", "float32", "uint8"],
}
_ZERO_POINT = {
    "QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7, "QLinearAdd": 7, "QLinearMul": 7, "QGemm": 8,
    "QLinearConcat": 1, "QLinearGlobalAveragePool": 4, "QLinearAveragePool": 4, "QLinearSigmoid": 4,
    "QLinearLeakyRelu": 4, "QLinearSoftmax": 4, "QLinearReduceMean": 4, "QLinearWhere": 8,
}  # fmt: skip
"""Input that holds the output's zero point, whose type is the output's type."""


def _set_shapes(node: Node, tensors: Tensors, known: Mapping[str, Shape]) -> None:
    shapes: Sequence[Shape] = ()
    rule = RULES.get(node.operator)
    if rule is not None:
        try:
            shapes = rule(_Case(node, tensors))
        except (Unknown, KeyError, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError):
            shapes = ()
    for index, name in enumerate(node.outputs):
        if index < len(shapes):
            tensors.shapes[name] = tuple(int(size) for size in shapes[index])
        elif name in known:
            tensors.shapes[name] = known[name]


@dataclass(frozen=True, slots=True)
class _Case:
    """A node beside what is known: what a rule sees."""

    node: Node
    tensors: Tensors

    def shape(self, slot: int = 0) -> Shape:
        try:
            return self.tensors.shapes[self.node.inputs[slot]]
        except (KeyError, IndexError) as error:
            raise Unknown from error

    def has(self, slot: int) -> bool:
        return slot < len(self.node.inputs) and self.node.inputs[slot] != ""

    def numbers(self, slot: int, attribute: str = "", default: Sequence[int] | None = None) -> list[int]:
        """Integers from an input, or in older operator sets from an attribute."""
        if self.has(slot):
            value = self.tensors.values.get(self.node.inputs[slot])
            if value is None:
                raise Unknown
            return [int(each) for each in np.ravel(value)]
        if attribute in self.node.attributes:
            return [int(each) for each in np.ravel(self.node.attributes[attribute])]
        if default is None:
            raise Unknown
        return list(default)

    def get(self, name: str, default: Any) -> Any:
        return self.node.attributes.get(name, default)


Rule = Callable[[_Case], Sequence[Shape]]


def _same(case: _Case) -> list[Shape]:
    return [case.shape()]


def _broadcast(*slots: int) -> Rule:
    def rule(case: _Case) -> list[Shape]:
        used = slots or range(len(case.node.inputs))
        return [np.broadcast_shapes(*(case.shape(slot) for slot in used))]

    return rule


def window_shape(sizes: Shape, kernel: Sequence[int], attributes: Attributes) -> Shape:
    """Spatial output of a convolution or a pooling (ONNX operator Conv: `auto_pad`, `pads`, `strides`, `dilations`)."""
    rank = len(sizes)
    strides = attributes.get("strides") or [1] * rank
    dilations = attributes.get("dilations") or [1] * rank
    pads = attributes.get("pads") or [0] * (2 * rank)
    mode = bytes(attributes.get("auto_pad", b"NOTSET"))
    found = []
    for axis, size in enumerate(sizes):
        if mode.startswith(b"SAME"):
            found.append(math.ceil(size / strides[axis]))
            continue
        padded = size + (pads[axis] + pads[axis + rank] if mode == b"NOTSET" else 0)
        free = (padded - dilations[axis] * (kernel[axis] - 1) - 1) / strides[axis]
        found.append((math.ceil(free) if attributes.get("ceil_mode", 0) else math.floor(free)) + 1)
    return tuple(found)


def _conv(weight: int) -> Rule:
    def rule(case: _Case) -> list[Shape]:
        source, weights = case.shape(), case.shape(weight)
        last = bool(case.get("channels_last", 0))
        spatial = window_shape(source[1:-1] if last else source[2:], weights[2:], case.node.attributes)
        return [(source[0], *spatial, weights[0]) if last else (source[0], weights[0], *spatial)]

    return rule


def _conv_transpose(case: _Case) -> list[Shape]:
    source, weights = case.shape(), case.shape(1)
    rank = len(source) - 2
    if case.get("output_shape", None):
        raise Unknown
    strides = case.get("strides", [1] * rank)
    dilations = case.get("dilations", [1] * rank)
    extra, pads = case.get("output_padding", [0] * rank), case.get("pads", [0] * 2 * rank)
    spatial = [
        strides[i] * (source[2 + i] - 1) + extra[i] + (weights[2 + i] - 1) * dilations[i] + 1 - pads[i] - pads[i + rank]
        for i in range(rank)
    ]
    return [(source[0], weights[1] * case.get("group", 1), *spatial)]


def _pool(case: _Case) -> list[Shape]:
    source = case.shape()
    last = bool(case.get("channels_last", 0)) or case.node.operator.startswith("Nhwc")
    spatial = window_shape(source[1:-1] if last else source[2:], case.get("kernel_shape", ()), case.node.attributes)
    return [(source[0], *spatial, source[-1])] if last else [(*source[:2], *spatial)]


def _global_pool(case: _Case) -> list[Shape]:
    source = case.shape()
    ones = (1,) * (len(source) - 2)
    return [(source[0], *ones, source[-1])] if case.get("channels_last", 0) else [(*source[:2], *ones)]


def _gemm(left: int, right: int) -> Rule:
    def rule(case: _Case) -> list[Shape]:
        a, b = case.shape(left), case.shape(right)
        return [(a[1 if case.get("transA", 0) else 0], b[0 if case.get("transB", 0) else 1])]

    return rule


def _matmul(left: int, right: int) -> Rule:
    def rule(case: _Case) -> list[Shape]:
        a, b = list(case.shape(left)), list(case.shape(right))
        if case.get("transA", 0):
            a[-1], a[-2] = a[-2], a[-1]
        if case.get("transB", 0):
            b[-1], b[-2] = b[-2], b[-1]
        if len(a) == 1:
            return [(*b[:-2], b[-1])]
        if len(b) == 1:
            return [tuple(a[:-1])]
        return [(*np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2])), a[-2], b[-1])]

    return rule


def _transpose(case: _Case) -> list[Shape]:
    source = case.shape()
    return [tuple(source[axis] for axis in case.get("perm", range(len(source))[::-1]))]


def _reshape(case: _Case) -> list[Shape]:
    source, wanted = case.shape(), case.numbers(1, "shape")
    keeps = not case.get("allowzero", 0)
    found = [source[i] if size == 0 and keeps else size for i, size in enumerate(wanted)]
    if -1 in found:
        rest = math.prod(size for size in found if size != -1)
        found[found.index(-1)] = math.prod(source) // rest if rest else 0
    return [tuple(found)]


def _flatten(case: _Case) -> list[Shape]:
    source, axis = case.shape(), case.get("axis", 1)
    return [(math.prod(source[:axis]), math.prod(source[axis:]))]


def _squeeze(case: _Case) -> list[Shape]:
    source = case.shape()
    ones = [axis for axis, size in enumerate(source) if size == 1]
    axes = {axis % len(source) for axis in case.numbers(1, "axes", ones)}
    return [tuple(size for axis, size in enumerate(source) if axis not in axes)]


def _unsqueeze(case: _Case) -> list[Shape]:
    axes = case.numbers(1, "axes")
    rank = len(case.shape()) + len(axes)
    places, rest = {axis % rank for axis in axes}, iter(case.shape())
    return [tuple(1 if axis in places else next(rest) for axis in range(rank))]


def _concat(first: int, step: int) -> Rule:
    def rule(case: _Case) -> list[Shape]:
        shapes = [case.shape(slot) for slot in range(first, len(case.node.inputs), step)]
        axis = case.get("axis", 0) % len(shapes[0])
        joined = sum(shape[axis] for shape in shapes)
        return [(*shapes[0][:axis], joined, *shapes[0][axis + 1 :])]

    return rule


def _split(case: _Case) -> list[Shape]:
    source, count = case.shape(), len(case.node.outputs)
    axis = case.get("axis", 0) % len(source)
    even = math.ceil(source[axis] / count)
    default = [even] * (count - 1) + [source[axis] - even * (count - 1)]
    return [(*source[:axis], size, *source[axis + 1 :]) for size in case.numbers(1, "split", default)]


def _slice(case: _Case) -> list[Shape]:
    source = list(case.shape())
    starts, ends = case.numbers(1, "starts"), case.numbers(2, "ends")
    axes = case.numbers(3, "axes", range(len(starts)))
    steps = case.numbers(4, "steps", [1] * len(starts))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        source[axis] = len(range(*slice(start, end, step).indices(source[axis])))
    return [tuple(source)]


def _gather(case: _Case) -> list[Shape]:
    source, axis = case.shape(), case.get("axis", 0) % len(case.shape())
    return [(*source[:axis], *case.shape(1), *source[axis + 1 :])]


def _expand(case: _Case) -> list[Shape]:
    return [np.broadcast_shapes(case.shape(), tuple(case.numbers(1)))]


def _tile(case: _Case) -> list[Shape]:
    return [tuple(size * times for size, times in zip(case.shape(), case.numbers(1), strict=True))]


def _pad(case: _Case) -> list[Shape]:
    source, pads = case.shape(), case.numbers(1, "pads")
    axes = case.numbers(3, "", range(len(source)))
    found = list(source)
    for index, axis in enumerate(axes):
        found[axis] += pads[index] + pads[index + len(axes)]
    return [tuple(found)]


def _resize(case: _Case) -> list[Shape]:
    if case.has(3):
        return [tuple(case.numbers(3))]
    if "scales" in case.node.attributes:
        times = case.node.attributes["scales"]
        return [tuple(math.floor(size * scale) for size, scale in zip(case.shape(), times, strict=True))]
    scales = case.tensors.values.get(case.node.inputs[2 if len(case.node.inputs) > 2 else 1])
    if scales is None:
        raise Unknown
    return [tuple(math.floor(size * scale) for size, scale in zip(case.shape(), np.ravel(scales), strict=True))]


def _reduce(case: _Case) -> list[Shape]:
    source = case.shape()
    slot = 1 if not case.node.operator.startswith("QLinear") else 99
    axes = {axis % len(source) for axis in case.numbers(slot, "axes", range(len(source)))}
    keeps = case.get("keepdims", 1)
    return [tuple(1 if axis in axes else size for axis, size in enumerate(source) if keeps or axis not in axes)]


def _arg(case: _Case) -> list[Shape]:
    source, axis = case.shape(), case.get("axis", 0) % len(case.shape())
    kept = (1,) if case.get("keepdims", 1) else ()
    return [(*source[:axis], *kept, *source[axis + 1 :])]


def _recurrent(case: _Case) -> list[Shape]:
    steps, batch = case.shape()[:2]
    hidden = int(case.get("hidden_size", 0))
    directions = 2 if bytes(case.get("direction", b"forward")) == b"bidirectional" else 1
    state = (directions, batch, hidden)
    return [(steps, directions, batch, hidden), state, state]


def _reorder_output(case: _Case) -> list[Shape]:
    source, channels = case.shape(), int(case.get("channels", 0))
    if case.get("channels_last", 0):
        return [(source[0], *source[2:], channels)]
    return [(source[0], channels, *source[2:])]


def _reorder_input(case: _Case) -> list[Shape]:
    source = case.shape()
    return [(source[0], source[-1], *source[1:-1])] if case.get("channels_last", 0) else [source]


def _range(case: _Case) -> list[Shape]:
    start, limit, step = (case.numbers(slot)[0] for slot in range(3))
    return [(max(0, math.ceil((limit - start) / step)),)]


def _attention(case: _Case) -> list[Shape]:
    source, weights = case.shape(), case.shape(1)
    return [(*source[:2], weights[-1] // 3)]


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        "Abs BatchNormalization Cast Ceil Clip Cos CumSum DequantizeLinear Elu Erf Exp Floor HardSigmoid HardSwish "
        "Identity InstanceNormalization LayerNormalization LeakyRelu Log LogSoftmax Neg Not PRelu QuantizeLinear "
        "Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Tanh Trilu Gelu QuickGelu FastGelu "
        "BiasGelu SkipLayerNormalization SimplifiedLayerNormalization SkipSimplifiedLayerNormalization QLinearSigmoid "
        "QLinearLeakyRelu QLinearSoftmax GroupNormalization Dropout ScatterND ScatterElements".split(),
        _same,
    ),
    **dict.fromkeys(
        "Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or Pow Sub Sum Where".split(),
        _broadcast(),
    ),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _broadcast(0, 3)),
    **dict.fromkeys(("Conv", "FusedConv", "nchwc.Conv", "ConvInteger", "NhwcFusedConv"), _conv(1)),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(
        "MaxPool AveragePool nchwc.MaxPool nchwc.AveragePool QLinearAveragePool NhwcMaxPool LpPool".split(), _pool
    ),
    **dict.fromkeys(
        "GlobalAveragePool GlobalMaxPool nchwc.GlobalAveragePool nchwc.GlobalMaxPool QLinearGlobalAveragePool".split(),
        _global_pool,
    ),
    **dict.fromkeys(("Gemm", "FusedGemm"), _gemm(0, 1)),
    "QGemm": _gemm(0, 3),
    **dict.fromkeys(
        ("MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _matmul(0, 1)
    ),
    "QLinearMatMul": _matmul(0, 3),
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat(0, 1),
    "QLinearConcat": _concat(2, 3),
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": lambda case: [case.shape(1)],
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    **dict.fromkeys(("Resize", "Upsample", "nchwc.Upsample"), _resize),
    "Shape": lambda case: [(len(case.shape()[slice(case.get("start", 0), case.get("end", None))]),)],
    "Size": lambda _: [()],
    "ConstantOfShape": lambda case: [tuple(case.numbers(0))],
    "Range": _range,
    **dict.fromkeys(
        "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL2 ReduceSumSquare QLinearReduceMean".split(),
        _reduce,
    ),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _recurrent),
    "DynamicQuantizeLinear": lambda case: [case.shape(), (), ()],
    "nchwc.ReorderOutput": _reorder_output,
    "nchwc.ReorderInput": _reorder_input,
    "Attention": _attention,
}
"""Output shapes by operator; the domain com.microsoft is left out of the names, its layouts are `nchwc.`"""


def _set_values(node: Node, tensors: Tensors) -> None:
    """Follow small integer tensors by value, as shape computations need it."""
    if node.operator == "Split" and node.inputs[0] in tensors.values and node.inputs[0]:
        _split_value(node, tensors)
    compute = _VALUES.get(node.operator)
    if compute is None:
        return
    try:
        value = np.asarray(compute(_Case(node, tensors)))
    except (Unknown, KeyError, IndexError, ValueError, TypeError, ZeroDivisionError):
        return
    if value.size <= _FEW:
        tensors.values[node.outputs[0]] = value
        tensors.shapes.setdefault(node.outputs[0], value.shape)


def _split_value(node: Node, tensors: Tensors) -> None:
    axis, start = int(node.attributes.get("axis", 0)), 0
    for name in node.outputs:
        size = tensors.shapes[name][axis] if name in tensors.shapes else 0
        tensors.values[name] = tensors.values[node.inputs[0]].take(range(start, start + size), axis=axis)
        start += size


def _value(case: _Case, slot: int) -> NDArray[Any]:
    try:
        return case.tensors.values[case.node.inputs[slot]]
    except (KeyError, IndexError) as error:
        raise Unknown from error


def _sliced(case: _Case) -> NDArray[Any]:
    value = _value(case, 0)
    axes = case.numbers(3, "axes", range(value.ndim))
    steps = case.numbers(4, "steps", [1] * len(axes))
    cut = [slice(None)] * value.ndim
    for start, end, axis, step in zip(case.numbers(1, "starts"), case.numbers(2, "ends"), axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return value[tuple(cut)]


def _unsqueezed(case: _Case) -> NDArray[Any]:
    return _value(case, 0).reshape(_unsqueeze(case)[0])


def _divided(case: _Case) -> NDArray[Any]:
    left, right = _value(case, 0), _value(case, 1)
    return left // right if np.issubdtype(left.dtype, np.integer) else left / right


_VALUES: dict[str, Callable[[_Case], Any]] = {
    "Shape": lambda case: case.shape()[slice(case.get("start", 0), case.get("end", None))],
    "Size": lambda case: math.prod(case.shape()),
    "Gather": lambda case: np.take(_value(case, 0), _value(case, 1).astype(np.int64), axis=case.get("axis", 0)),
    "Concat": lambda case: np.concatenate([_value(case, i) for i in range(len(case.node.inputs))]),
    "Unsqueeze": _unsqueezed,
    "Squeeze": lambda case: _value(case, 0).reshape(_squeeze(case)[0]),
    "Reshape": lambda case: _value(case, 0).reshape(_reshape(case)[0]),
    "Slice": _sliced,
    "Cast": lambda case: _value(case, 0),
    "Identity": lambda case: _value(case, 0),
    "Add": lambda case: _value(case, 0) + _value(case, 1),
    "Sub": lambda case: _value(case, 0) - _value(case, 1),
    "Mul": lambda case: _value(case, 0) * _value(case, 1),
    "Div": _divided,
    "Equal": lambda case: _value(case, 0) == _value(case, 1),
    "Where": lambda case: np.where(_value(case, 0), _value(case, 1), _value(case, 2)),
    "ConstantOfShape": lambda case: np.broadcast_to(
        numpy_helper.to_array(case.node.attributes["value"]) if "value" in case.node.attributes else np.float32(0),
        tuple(case.numbers(0)) if math.prod(case.numbers(0)) <= _FEW else (),
    ),
    "Range": lambda case: np.arange(*(_value(case, slot).item() for slot in range(3))),
    "ReduceProd": lambda case: np.prod(_value(case, 0), keepdims=bool(case.get("keepdims", 1))),
}
