"""How the shape of an operator's output follows from its inputs: one explicit table."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Attributes = Mapping[str, Any]


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


@dataclass(frozen=True, slots=True)
class Case:
    """A node beside what is known: what a rule sees."""

    node: Node
    tensors: Tensors

    def shape(self, slot: int = 0) -> Shape:
        """Shape of an input; Unknown where it is not known."""
        try:
            return self.tensors.shapes[self.node.inputs[slot]]
        except (KeyError, IndexError) as error:
            raise Unknown from error

    def has(self, slot: int) -> bool:
        """Whether an input is given."""
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
        """An attribute."""
        return self.node.attributes.get(name, default)


Rule = Callable[[Case], Sequence[Shape]]


def _same(case: Case) -> list[Shape]:
    return [case.shape()]


def _broadcast(*slots: int) -> Rule:
    def rule(case: Case) -> list[Shape]:
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
    def rule(case: Case) -> list[Shape]:
        source, weights = case.shape(), case.shape(weight)
        last = bool(case.get("channels_last", 0))
        spatial = window_shape(source[1:-1] if last else source[2:], weights[2:], case.node.attributes)
        return [(source[0], *spatial, weights[0]) if last else (source[0], weights[0], *spatial)]

    return rule


def _conv_transpose(case: Case) -> list[Shape]:
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


def _pool(case: Case) -> list[Shape]:
    source = case.shape()
    last = bool(case.get("channels_last", 0)) or case.node.operator.startswith("Nhwc")
    spatial = window_shape(source[1:-1] if last else source[2:], case.get("kernel_shape", ()), case.node.attributes)
    return [(source[0], *spatial, source[-1])] if last else [(*source[:2], *spatial)]


def _global_pool(case: Case) -> list[Shape]:
    source = case.shape()
    ones = (1,) * (len(source) - 2)
    return [(source[0], *ones, source[-1])] if case.get("channels_last", 0) else [(*source[:2], *ones)]


def _gemm(left: int, right: int) -> Rule:
    def rule(case: Case) -> list[Shape]:
        a, b = case.shape(left), case.shape(right)
        return [(a[1 if case.get("transA", 0) else 0], b[0 if case.get("transB", 0) else 1])]

    return rule


def _matmul(left: int, right: int) -> Rule:
    def rule(case: Case) -> list[Shape]:
        a, b = list(case.shape(left)), list(case.shape(right))
        if case.get("transA", 0):
            a[-1], a[-2] = a[-2], a[-1]
        if case.get("transB", 0):
            b[-1], b[-2] = b[-2], b[-1]
        if a[-1] != b[-2 if len(b) > 1 else 0]:
            raise Unknown
        if len(a) == 1:
            return [(*b[:-2], b[-1])]
        if len(b) == 1:
            return [tuple(a[:-1])]
        return [(*np.broadcast_shapes(tuple(a[:-2]), tuple(b[:-2])), a[-2], b[-1])]

    return rule


def _transpose(case: Case) -> list[Shape]:
    source = case.shape()
    return [tuple(source[axis] for axis in case.get("perm", range(len(source))[::-1]))]


def _reshape(case: Case) -> list[Shape]:
    source, wanted = case.shape(), case.numbers(1, "shape")
    keeps = not case.get("allowzero", 0)
    found = [source[i] if size == 0 and keeps else size for i, size in enumerate(wanted)]
    if -1 in found:
        rest = math.prod(size for size in found if size != -1)
        found[found.index(-1)] = math.prod(source) // rest if rest else 0
    return [tuple(found)]


def _flatten(case: Case) -> list[Shape]:
    source, axis = case.shape(), case.get("axis", 1)
    return [(math.prod(source[:axis]), math.prod(source[axis:]))]


def _squeeze(case: Case) -> list[Shape]:
    source = case.shape()
    ones = [axis for axis, size in enumerate(source) if size == 1]
    axes = {axis % len(source) for axis in case.numbers(1, "axes", ones)}
    return [tuple(size for axis, size in enumerate(source) if axis not in axes)]


def _unsqueeze(case: Case) -> list[Shape]:
    axes = case.numbers(1, "axes")
    rank = len(case.shape()) + len(axes)
    places, rest = {axis % rank for axis in axes}, iter(case.shape())
    return [tuple(1 if axis in places else next(rest) for axis in range(rank))]


def _concat(first: int, step: int) -> Rule:
    def rule(case: Case) -> list[Shape]:
        shapes = [case.shape(slot) for slot in range(first, len(case.node.inputs), step)]
        axis = case.get("axis", 0) % len(shapes[0])
        joined = sum(shape[axis] for shape in shapes)
        return [(*shapes[0][:axis], joined, *shapes[0][axis + 1 :])]

    return rule


def _split(case: Case) -> list[Shape]:
    source, count = case.shape(), len(case.node.outputs)
    axis = case.get("axis", 0) % len(source)
    even = math.ceil(source[axis] / count)
    default = [even] * (count - 1) + [source[axis] - even * (count - 1)]
    return [(*source[:axis], size, *source[axis + 1 :]) for size in case.numbers(1, "split", default)]


def _slice(case: Case) -> list[Shape]:
    source = list(case.shape())
    starts, ends = case.numbers(1, "starts"), case.numbers(2, "ends")
    axes = case.numbers(3, "axes", range(len(starts)))
    steps = case.numbers(4, "steps", [1] * len(starts))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        source[axis] = len(range(*slice(start, end, step).indices(source[axis])))
    return [tuple(source)]


def _gather(case: Case) -> list[Shape]:
    source, axis = case.shape(), case.get("axis", 0) % len(case.shape())
    return [(*source[:axis], *case.shape(1), *source[axis + 1 :])]


def _expand(case: Case) -> list[Shape]:
    return [np.broadcast_shapes(case.shape(), tuple(case.numbers(1)))]


def _tile(case: Case) -> list[Shape]:
    return [tuple(size * times for size, times in zip(case.shape(), case.numbers(1), strict=True))]


def _pad(case: Case) -> list[Shape]:
    source, pads = case.shape(), case.numbers(1, "pads")
    axes = case.numbers(3, "", range(len(source)))
    found = list(source)
    for index, axis in enumerate(axes):
        found[axis] += pads[index] + pads[index + len(axes)]
    return [tuple(found)]


def _resize(case: Case) -> list[Shape]:
    if case.has(3):
        return [tuple(case.numbers(3))]
    if "scales" in case.node.attributes:
        times = case.node.attributes["scales"]
        return [tuple(math.floor(size * scale) for size, scale in zip(case.shape(), times, strict=True))]
    scales = case.tensors.values.get(case.node.inputs[2 if len(case.node.inputs) > 2 else 1])
    if scales is None:
        raise Unknown
    return [tuple(math.floor(size * scale) for size, scale in zip(case.shape(), np.ravel(scales), strict=True))]


def _reduce(case: Case) -> list[Shape]:
    source = case.shape()
    slot = 1 if not case.node.operator.startswith("QLinear") else 99
    axes = {axis % len(source) for axis in case.numbers(slot, "axes", range(len(source)))}
    keeps = case.get("keepdims", 1)
    return [tuple(1 if axis in axes else size for axis, size in enumerate(source) if keeps or axis not in axes)]


def _arg(case: Case) -> list[Shape]:
    source, axis = case.shape(), case.get("axis", 0) % len(case.shape())
    kept = (1,) if case.get("keepdims", 1) else ()
    return [(*source[:axis], *kept, *source[axis + 1 :])]


def _recurrent(case: Case) -> list[Shape]:
    steps, batch = case.shape()[:2]
    hidden = int(case.get("hidden_size", 0))
    directions = 2 if bytes(case.get("direction", b"forward")) == b"bidirectional" else 1
    state = (directions, batch, hidden)
    return [(steps, directions, batch, hidden), state, state]


def _reorder_output(case: Case) -> list[Shape]:
    source, channels = case.shape(), int(case.get("channels", 0))
    if case.get("channels_last", 0):
        return [(source[0], *source[2:], channels)]
    return [(source[0], channels, *source[2:])]


def _reorder_input(case: Case) -> list[Shape]:
    source = case.shape()
    return [(source[0], source[-1], *source[1:-1])] if case.get("channels_last", 0) else [source]


def _range(case: Case) -> list[Shape]:
    start, limit, step = (case.numbers(slot)[0] for slot in range(3))
    return [(max(0, math.ceil((limit - start) / step)),)]


def _attention(case: Case) -> list[Shape]:
    source, weights = case.shape(), case.shape(1)
    return [(*source[:2], weights[-1] // 3)]


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        [
            "Abs",
            "BatchNormalization",
            "Cast",
            "Ceil",
            "Clip",
            "Cos",
            "CumSum",
            "DequantizeLinear",
            "Elu",
            "Erf",
            "Exp",
            "Floor",
            "HardSigmoid",
            "HardSwish",
            "Identity",
            "InstanceNormalization",
            "LayerNormalization",
            "LeakyRelu",
            "Log",
            "LogSoftmax",
            "Neg",
            "Not",
            "PRelu",
            "QuantizeLinear",
            "Reciprocal",
            "Relu",
            "Round",
            "Selu",
            "Sigmoid",
            "Sign",
            "Sin",
            "Softmax",
            "Softplus",
            "Softsign",
            "Sqrt",
            "Tanh",
            "Trilu",
            "Gelu",
            "QuickGelu",
            "FastGelu",
            "BiasGelu",
            "SkipLayerNormalization",
            "SimplifiedLayerNormalization",
            "SkipSimplifiedLayerNormalization",
            "QLinearSigmoid",
            "QLinearLeakyRelu",
            "QLinearSoftmax",
            "GroupNormalization",
            "Dropout",
            "ScatterND",
            "ScatterElements",
        ],
        _same,
    ),
    **dict.fromkeys(
        [
            "Add",
            "And",
            "Div",
            "Equal",
            "Greater",
            "GreaterOrEqual",
            "Less",
            "LessOrEqual",
            "Max",
            "Mean",
            "Min",
            "Mod",
            "Mul",
            "Or",
            "Pow",
            "Sub",
            "Sum",
            "Where",
        ],
        _broadcast(),
    ),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _broadcast(0, 3)),
    **dict.fromkeys(("Conv", "FusedConv", "nchwc.Conv", "ConvInteger", "NhwcFusedConv"), _conv(1)),
    "QLinearConv": _conv(3),
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(
        ["MaxPool", "AveragePool", "nchwc.MaxPool", "nchwc.AveragePool", "QLinearAveragePool", "NhwcMaxPool", "LpPool"],
        _pool,
    ),
    **dict.fromkeys(
        [
            "GlobalAveragePool",
            "GlobalMaxPool",
            "nchwc.GlobalAveragePool",
            "nchwc.GlobalMaxPool",
            "QLinearGlobalAveragePool",
        ],
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
        [
            "ReduceMean",
            "ReduceSum",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL2",
            "ReduceSumSquare",
            "QLinearReduceMean",
        ],
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
