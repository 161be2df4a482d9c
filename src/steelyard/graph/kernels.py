"""The kernels that a runtime will launch for a model, each with the numbers that decide how long it takes.

A kernel is one node of the runtime's optimised graph. Kernels of one `kind` share code and are described by the same
numbers, so times measured of some tell times of others.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx

from steelyard.core.errors import InputError
from steelyard.graph.shaperules import Node, Shape, Tensors
from steelyard.graph.shapes import walk
from steelyard.graph.tensors import type_bits


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch of a kernel.

    Attributes:
        name: of the node in the optimised graph.
        operator: as the runtime calls it.
        kind: what it shares a regression with: operator, variant and element type.
        numbers: what decides its time, in the order of the kind's fields; empty where a shape is not known.
        text: for people, e.g. "LSTM steps 64, hidden 256".
    """

    name: str
    operator: str
    kind: str
    numbers: tuple[float, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Program:
    """The kernels of a model in the order they run, with the memory they walk through.

    Attributes:
        kernels: in the order of the graph.
        weight_bytes: bytes of stored tensors.
        activation_bytes: bytes of all tensors that are computed, each counted once.
        uncounted: names of operators whose shapes are not known, or that hold graphs of their own.
    """

    kernels: tuple[Kernel, ...]
    weight_bytes: float
    activation_bytes: float
    uncounted: tuple[str, ...]


Numbers = tuple[str, str, tuple[float, ...], str]
"""Variant, element type, numbers and text of one kernel."""


def input_shapes(model: onnx.ModelProto, shapes: Mapping[str, Shape], batch: int) -> dict[str, Shape]:
    """Shape of each input that the user feeds.

    Args:
        model: the source file.
        shapes: by name, what the user says.
        batch: length of a free first axis.

    Raises:
        InputError: if an axis other than the first is free and no shape is given, or a shape has other axes.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    found = {}
    for value in model.graph.input:
        if value.name in stored:
            continue
        axes = value.type.tensor_type.shape.dim
        fixed = [each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else None for each in axes]
        given = shapes.get(value.name)
        if given is None:
            given = tuple(batch if size is None and not axis else size or 0 for axis, size in enumerate(fixed))
        if len(given) != len(fixed) or any(size not in (None, other) for size, other in zip(fixed, given, strict=True)):
            raise InputError(f"input {value.name!r} must have the shape {_axes(fixed)}, got {given}.", field="shape")
        if any(size < 1 for size in given):
            raise InputError(
                f"input {value.name!r} has free axes {_axes(fixed)}; give its shape with --shape {value.name}:…",
                field="shape",
            )
        found[value.name] = tuple(given)
    return found


def _axes(sizes: Sequence[int | None]) -> str:
    return "x".join("?" if size is None else str(size) for size in sizes) or "scalar"


def program_of(
    model: onnx.ModelProto, inputs: Mapping[str, Shape], known: Mapping[str, Shape] | None = None
) -> Program:
    """The kernels of an optimised model.

    Args:
        model: the runtime's optimised graph; weights may be left outside.
        inputs: shape of each input.
        known: shapes by name from the source file, for operators that have no rule here.
    """
    nodes, tensors = walk(model.graph, inputs, known or {})
    kernels, uncounted = [], []
    for node, proto in zip(nodes, model.graph.node, strict=True):
        has_graphs = any(
            each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for each in proto.attribute
        )
        kernel = None if has_graphs else _kernel(node, tensors)
        if kernel is None:
            uncounted.append(node.operator)
            kernel = Kernel(node.name, node.operator, node.operator, (), f"{node.operator} of unknown shape")
        kernels.append(kernel)
    weight_bytes = sum(_bytes(name, tensors) for name in tensors.stored)
    activation_bytes = sum(_bytes(name, tensors) for name in tensors.shapes if name not in tensors.stored)
    return Program(tuple(kernels), weight_bytes, activation_bytes, tuple(dict.fromkeys(uncounted)))


def _kernel(node: Node, tensors: Tensors) -> Kernel | None:
    group, describe = _DESCRIBED.get(node.operator, ("elements", _elementwise))
    try:
        variant, dtype, numbers, text = describe(_View(node, tensors))
    except (KeyError, IndexError, ValueError, TypeError):
        return None
    operator = _MERGED.get(node.operator, node.operator)
    parts = ":".join(part for part in (operator, variant, "" if dtype == "float32" else dtype) if part)
    return Kernel(
        node.name, node.operator, f"{group}/{parts}", tuple(map(float, numbers)), f"{node.operator} {text}".strip()
    )


def _bytes(name: str, tensors: Tensors) -> float:
    return math.prod(tensors.shapes[name]) * type_bits(tensors.types.get(name, "float32")) / 8


@dataclass(frozen=True, slots=True)
class _View:
    """A node with the shapes and types of what it reads and writes; KeyError where one is not known."""

    node: Node
    tensors: Tensors

    def shape(self, slot: int) -> Shape:
        return self.tensors.shapes[self.node.inputs[slot]]

    def out(self, slot: int = 0) -> Shape:
        return self.tensors.shapes[self.node.outputs[slot]]

    def type(self, slot: int = 0) -> str:
        return self.tensors.types.get(self.node.inputs[slot], "float32") if self.node.inputs else "float32"

    def is_stored(self, slot: int) -> bool:
        return self.node.inputs[slot] in self.tensors.stored

    def has(self, slot: int) -> bool:
        return slot < len(self.node.inputs) and self.node.inputs[slot] != ""

    def activation(self) -> str:
        raw = self.node.attributes.get("activation", b"")
        return raw.decode() if isinstance(raw, bytes) else str(raw)


ACTIVATIONS = ("", "Relu", "Clip", "LeakyRelu", "HardSigmoid", "Sigmoid", "Tanh")
"""Activations that kernels apply as they write; the number of one is its place here."""


def _activation_number(view: _View) -> int:
    name = view.activation()
    return ACTIVATIONS.index(name) if name in ACTIVATIONS else len(ACTIVATIONS)


def _convolution(weight: int) -> Callable[[_View], Numbers]:
    def describe(view: _View) -> Numbers:
        source, weights, out = view.shape(0), view.shape(weight), view.out()
        attributes = view.node.attributes
        groups = int(attributes.get("group", 1))
        spatial = out[1:-1] if attributes.get("channels_last", 0) else out[2:]
        height, width = (1, *spatial) if len(spatial) == 1 else (spatial[0], math.prod(spatial[1:]))
        kernel = weights[2:]
        strides = attributes.get("strides") or [1]
        area = math.prod(kernel)
        outgoing, incoming = weights[0], weights[1]
        is_deep = groups > 1 and incoming == 1 and outgoing == groups
        is_plain = view.node.operator.startswith("nchwc") and groups == 1 and source[1] < _LANES
        variant = (
            "depthwise" if is_deep else "grouped" if groups > 1 else "input" if is_plain else "pointwise" if area == 1
            else "dense"
        )  # fmt: skip
        dilation = max(attributes.get("dilations") or [1])
        adds = len(view.node.inputs) > 3 and weight == 1 and view.has(3)
        numbers = (
            source[0] * height, width, incoming, outgoing / groups, groups, area, kernel[-1], strides[-1],
            dilation, _activation_number(view), float(adds),
        )  # fmt: skip
        text = f"{'x'.join(map(str, kernel))}, {incoming * groups} to {outgoing} channels, {height}x{width}"
        return variant, view.type(0), numbers, text

    return describe


_LANES = 8
"""Channels below which the blocked layout is not used for the input: ONNX Runtime, nchwc_transformer.cc."""


def _product(left: int, right: int, bias: int) -> Callable[[_View], Numbers]:
    def describe(view: _View) -> Numbers:
        a, b, out = view.shape(left), view.shape(right), view.out()
        attributes = view.node.attributes
        turns = bool(attributes.get("transA", 0))
        inner = a[-2] if turns and len(a) > 1 else a[-1]
        if len(b) <= 2:
            count, columns = 1, out[-1] if len(b) == 2 else 1
            rows = math.prod(out) // max(1, columns)
        else:
            count, rows, columns = math.prod(out[:-2]), out[-2], out[-1]
        stored = view.is_stored(right)
        numbers = (
            count, rows, inner, columns, float(view.has(bias)), _activation_number(view),
            float(turns), float(bool(attributes.get("transB", 0))),
        )  # fmt: skip
        times = f"{count} times " if count > 1 else ""
        return "stored" if stored else "", view.type(left), numbers, f"{times}{rows}x{inner} by {inner}x{columns}"

    return describe


def _recurrent(view: _View) -> Numbers:
    steps, batch, width = view.shape(0)
    hidden = int(view.node.attributes["hidden_size"])
    directions = view.shape(1)[0]
    text = f"steps {steps}, batch {batch}, input {width}, hidden {hidden}"
    return "", view.type(0), (steps, batch, width, hidden, directions), text


def _pooling(view: _View) -> Numbers:
    source, out = view.shape(0), view.out()
    kernel = view.node.attributes["kernel_shape"]
    last = bool(view.node.attributes.get("channels_last", 0))
    channels, width = (out[-1], out[-2]) if last else (out[1], out[-1])
    strides = view.node.attributes.get("strides") or [1]
    numbers = (math.prod(out), channels, width, math.prod(kernel), strides[-1], math.prod(source) / math.prod(out))
    return "last" if last else "", view.type(0), numbers, f"{'x'.join(map(str, kernel))} to {_text(out)}"


def _rows(view: _View) -> Numbers:
    """Softmax and normalisations over the last axis."""
    source = view.shape(0)
    axis = int(view.node.attributes.get("axis", -1)) % len(source)
    length, inner = math.prod(source[axis:]), 1
    if view.node.operator.endswith("Softmax"):
        length, inner = source[axis], math.prod(source[axis + 1 :])
    return "", view.type(0), (math.prod(source) / length, length, inner, len(view.node.outputs)), _text(source)


def _reduction(view: _View) -> Numbers:
    """Sums over axes: how many are kept outside, reduced, and kept inside of them."""
    source, out = view.shape(0), view.out()
    total, kept = math.prod(source), max(1, math.prod(out))
    inner = _kept_inside(source, out)
    return "", view.type(0), (kept / inner, total / kept, inner), f"{_text(source)} to {_text(out)}"


def _kept_inside(source: Shape, out: Shape) -> int:
    inner = 1
    for size, kept in zip(reversed(source), reversed(out), strict=False):
        if size != kept:
            break
        inner *= size
    return inner


def _transposition(view: _View) -> Numbers:
    source = view.shape(0)
    order = list(view.node.attributes.get("perm", range(len(source))[::-1]))
    moved = [axis for axis in order if source[axis] != 1]
    run = 1
    places = sorted(moved)
    while moved and moved[-1] == places[-1]:
        run *= source[moved.pop()]
        places.pop()
    # What is left is a true transposition: its last axis is read with a stride, its first source axis is written so.
    read = source[moved[-1]] if moved else 1
    written = source[places[-1]] if places else 1
    variant = "" if moved else "none"
    return variant, view.type(0), (math.prod(source), run, read, written), f"{_text(source)} to {_text(view.out())}"


def _moving(view: _View) -> Numbers:
    """Concat, Split, Slice, Gather, Pad, Expand: elements written, and how many of them at a time."""
    outs = [view.out(index) for index, name in enumerate(view.node.outputs) if name in view.tensors.shapes]
    total = sum(map(math.prod, outs))
    source = view.shape(0)
    axis = int(view.node.attributes.get("axis", 0))
    operator = view.node.operator
    if operator == "Gather":
        run = math.prod(source[axis % max(1, len(source)) + 1 :])
    elif operator in ("Concat", "Split", "QLinearConcat"):
        run = math.prod(outs[0][axis % len(outs[0]) :]) // (len(view.node.inputs) if "Concat" in operator else 1)
    else:
        run = _kept_inside(source, outs[0])
    count = len(view.node.inputs) if "Concat" in operator else len(outs)
    return "", view.type(0), (total, max(1.0, run), count, math.prod(source)), _text(outs[0])


def _alias(view: _View) -> Numbers:
    """Reshape and its like: at most a copy."""
    return "", "float32", (math.prod(view.out()),), _text(view.out())


def _reorder(view: _View) -> Numbers:
    source = view.shape(0)
    channels = source[-1] if view.node.attributes.get("channels_last", 0) else source[1]
    variant = "last" if view.node.attributes.get("channels_last", 0) else ""
    return variant, view.type(0), (math.prod(source), channels, math.prod(source) / channels), _text(source)


def _global_pooling(view: _View) -> Numbers:
    source, out = view.shape(0), view.out()
    last = bool(view.node.attributes.get("channels_last", 0))
    channels = max(1, math.prod(out))
    return "last" if last else "", view.type(0), (channels, math.prod(source) / channels), _text(source)


def _elementwise(view: _View) -> Numbers:
    """One output element from one element of each input, some of which may be repeated."""
    out = view.out()
    total = math.prod(out)
    whole, repeated, run = 0, 0, total
    for name in view.node.inputs:
        shape = view.tensors.shapes.get(name) if name else None
        if shape is None or view.node.operator in _PARAMETRIC:
            continue
        size = math.prod(shape)
        whole += size == total
        if 1 < size < total:
            repeated += 1
            run = min(
                run, _kept_inside(shape, out) if shape and shape[-1] == out[-1] and size > 1 else _repeats(shape, out)
            )
    if view.node.operator in _PARAMETRIC:
        whole = 1
    dtype = view.type(0)
    variant = "row" if repeated and run > 1 and _ends_alike(view, out) else "spread" if repeated else ""
    many = max(1, len(view.node.inputs)) if view.node.operator in ("Sum", "Max", "Min") else 1
    return variant, dtype, (total, max(1, whole), run, many), _text(out)


_PARAMETRIC = frozenset(
    [
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearSigmoid",
        "QLinearLeakyRelu",
        "Clip",
        "BatchNormalization",
        "QLinearSoftmax",
    ]
)
"""Operators whose further inputs are parameters, not data."""


def _repeats(shape: Shape, out: Shape) -> int:
    """Elements of the output, from its end, over which an input's element stays the same."""
    padded = (1,) * (len(out) - len(shape)) + tuple(shape)
    run = 1
    for size, wide in zip(reversed(padded), reversed(out), strict=True):
        if size != 1:
            break
        run *= wide
    return max(1, run)


def _ends_alike(view: _View, out: Shape) -> bool:
    shapes = [view.tensors.shapes.get(name) for name in view.node.inputs if name]
    return all(not shape or math.prod(shape) <= 1 or (out and shape[-1] == out[-1]) for shape in shapes)


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


_MERGED = {
    "FusedConv": "Conv", "Gemm": "Product", "FusedGemm": "Product", "MatMul": "Product", "FusedMatMul": "Product",
    "Flatten": "Alias", "Reshape": "Alias", "Squeeze": "Alias", "Unsqueeze": "Alias", "Identity": "Alias",
}  # fmt: skip
"""Operators that run the same code."""

_GROUPS: tuple[tuple[str, Callable[[_View], Numbers], str], ...] = (
    ("convolution", _convolution(1), "Conv FusedConv nchwc.Conv ConvInteger NhwcFusedConv ConvTranspose"),
    ("convolution", _convolution(3), "QLinearConv"),
    ("product", _product(0, 1, 2), "Gemm FusedGemm"),
    ("product", _product(0, 1, 99), "MatMul FusedMatMul MatMulInteger"),
    ("product", _product(0, 1, 6), "MatMulIntegerToFloat"),
    ("product", _product(0, 1, 4), "DynamicQuantizeMatMul"),
    ("product", _product(0, 3, 99), "QLinearMatMul"),
    ("product", _product(0, 3, 6), "QGemm"),
    ("recurrent", _recurrent, "LSTM GRU RNN DynamicQuantizeLSTM"),
    ("pooling", _pooling,
     "MaxPool AveragePool nchwc.MaxPool nchwc.AveragePool QLinearAveragePool NhwcMaxPool LpPool"),
    ("mean", _global_pooling,
     "GlobalAveragePool GlobalMaxPool nchwc.GlobalAveragePool nchwc.GlobalMaxPool QLinearGlobalAveragePool"),
    ("rows", _rows,
     "Softmax LogSoftmax LayerNormalization SkipLayerNormalization SimplifiedLayerNormalization QLinearSoftmax "
     "SkipSimplifiedLayerNormalization InstanceNormalization GroupNormalization"),
    ("reduction", _reduction,
     "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL2 ReduceSumSquare QLinearReduceMean ArgMax ArgMin"),
    ("transposition", _transposition, "Transpose"),
    ("moving", _moving, "Concat QLinearConcat Split Slice Gather Pad Expand Tile GatherElements Resize nchwc.Upsample"),
    ("alias", _alias, "Reshape Flatten Squeeze Unsqueeze Shape Size Identity ConstantOfShape Range Constant"),
    ("reorder", _reorder, "nchwc.ReorderInput nchwc.ReorderOutput"),
)  # fmt: skip
"""How the kernels of operators are described; operators that are not here are taken for elementwise."""

_DESCRIBED = {name: (group, describe) for group, describe, names in _GROUPS for name in names.split()}
