"""Parameters, multiply-accumulates, bytes and activations of an ONNX model, by the table in `operators`.

None of these numbers is a latency, and steelyard never chooses by them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import onnx

from steelyard.core.errors import InputError
from steelyard.core.wire import Plain
from steelyard.graph.functions import inline_functions
from steelyard.graph.operators import OPERATORS, Operator, Shape, operator_name
from steelyard.graph.tensors import FLOAT_TYPES, Use, uses_of_tensors
from steelyard.graph.trees import tree_numbers
from steelyard.graph.values import LARGEST_ELEMENTS, Value, infer_values


@dataclass(frozen=True, slots=True)
class NodeCost:
    """What one operator of a graph does.

    Attributes:
        name: the node's name, or its first output's where it has none.
        operator: its name, with the domain where it is not ONNX's own.
        type: of the products, or for operators without any of the first input: "float32", "int8" ...; empty: unknown.
        macs: multiply-accumulates; None where the table lacks the operator or a shape is unknown.
        weight_bytes: stored tensors read; None (like the next three) where a shape is unknown.
        read_bytes: other inputs read.
        written_bytes: outputs written.
        elements: of its outputs, where they are written.
    """

    name: str
    operator: str
    type: str
    macs: int | None
    weight_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None
    elements: int | None

    @property
    def bytes(self) -> int | None:
        """All bytes moved."""
        if self.weight_bytes is None or self.read_bytes is None or self.written_bytes is None:
            return None
        return self.weight_bytes + self.read_bytes + self.written_bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """What a model holds and does.

    Attributes:
        parameters: elements of trained weights in the file (see `count_parameters`).
        macs: multiply-accumulates of one run.
        operators: MACs by operator, those with none among them.
        uncounted: operators that the table lacks, or whose shapes could not be inferred, by name; their MACs are
            missing from `macs`.
        bytes: moved in one run (see `operators`).
        activations: elements of everything that operators write.
        peak_bytes: the most bytes of inputs and activations that are alive at once, in the order of the file; a
            runtime that reuses memory perfectly would need no more. No measured memory.
        macs_by_type: MACs by the type of the products.
        unsized: operators whose bytes and activations are missing, by name, because a shape is unknown.
        nodes: one by one, in the order of the file.
    """

    parameters: int
    macs: int
    operators: Mapping[str, int]
    uncounted: tuple[str, ...]
    bytes: int
    activations: int
    peak_bytes: int
    macs_by_type: Mapping[str, int]
    unsized: tuple[str, ...]
    nodes: tuple[NodeCost, ...]

    def to_json(self) -> Plain:
        """The plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        nodes = [[getattr(node, name) for name in node.__dataclass_fields__] for node in self.nodes]
        return {**plain, "uncounted": list(self.uncounted), "unsized": list(self.unsized), "nodes": nodes}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        nodes = tuple(NodeCost(*node) for node in plain["nodes"])
        return cls(
            **{**plain, "uncounted": tuple(plain["uncounted"]), "unsized": tuple(plain["unsized"]), "nodes": nodes}
        )


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


def count(model: onnx.ModelProto, batch: int = 1, shapes: Mapping[str, Shape] | None = None) -> Counts:
    """Parameters, MACs, bytes and activations of one run.

    Branches and loop bodies are not entered; their operators (If, Loop, Scan) are uncounted.

    Args:
        model: from `steelyard.graph.reading`.
        batch: size of the first axis of every input, where the file leaves it free and `shapes` does not name it.
        shapes: of inputs by name, all axes; an axis that carries a name has its size wherever the name stands.

    Raises:
        InputError: if the model contradicts itself or a given shape, or claims what no machine could hold.
    """
    whole = inline_functions(model)
    values = infer_values(whole, batch, shapes)
    nodes = tuple(
        cost_of(node, [values.get(name) for name in node.input], [values.get(name) for name in node.output])
        for node in whole.graph.node
        if node.op_type != "Constant"
    )
    operators: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    for node in nodes:
        if node.macs is not None:
            operators[node.operator] += node.macs
            if node.macs:
                by_type[node.type] += node.macs
    uncounted = [
        f"{node.operator} of unknown shape" if node.operator in OPERATORS else node.operator
        for node in nodes
        if node.macs is None
    ]
    return Counts(
        parameters=count_parameters(whole),
        macs=_bounded(sum(operators.values())),
        operators=dict(operators),
        uncounted=tuple(dict.fromkeys(uncounted)),
        bytes=_bounded(sum(node.bytes or 0 for node in nodes)),
        activations=sum(node.elements or 0 for node in nodes),
        peak_bytes=_peak_bytes(whole.graph, values),
        macs_by_type=dict(by_type),
        unsized=tuple(dict.fromkeys(node.operator for node in nodes if node.bytes is None)),
        nodes=nodes,
    )


def cost_of(node: onnx.NodeProto, inputs: Sequence[Value | None], outputs: Sequence[Value | None]) -> NodeCost:
    """What one operator does.

    Args:
        node: the operator.
        inputs: what is known of each of its inputs; None for those left out or unknown.
        outputs: likewise.
    """
    name = operator_name(node)
    operator = OPERATORS.get(name)
    label = node.name or next(iter(node.output), "")
    type_ = "int8" if operator is not None and operator.is_integer else inputs[0].type if inputs and inputs[0] else ""
    macs = _macs_of(operator, node, inputs, outputs)
    pairs = [*zip(node.input, inputs, strict=False), *zip(node.output, outputs, strict=False)]
    is_known = all(value is not None for written, value in pairs if written)
    if operator is None or not is_known:
        return NodeCost(label, name, type_, macs, None, None, None, None)
    weight_bytes, read_bytes = _read_bytes(operator, inputs, outputs)
    written = [] if operator.traffic == "none" else [value for value in outputs if value is not None]
    return NodeCost(
        label,
        name,
        type_,
        macs,
        weight_bytes,
        read_bytes,
        sum(value.bytes for value in written),
        sum(value.elements for value in written),
    )


def _macs_of(
    operator: Operator | None,
    node: onnx.NodeProto,
    inputs: Sequence[Value | None],
    outputs: Sequence[Value | None],
) -> int | None:
    """MACs by the table; None where it lacks the operator, or a shape is unknown or does not fit the operator."""
    if operator is None:
        return None
    if operator.macs is None:
        return 0
    try:
        return operator.macs(
            node,
            [None if value is None else value.shape for value in inputs],
            [None if value is None else value.shape for value in outputs],
        )
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def _read_bytes(operator: Operator, inputs: Sequence[Value | None], outputs: Sequence[Value | None]) -> tuple[int, int]:
    """Bytes of stored and of other inputs that the operator reads."""
    if operator.traffic in ("none", "shape"):
        return 0, 0
    stored = other = 0
    for slot, value in enumerate(inputs):
        if value is None:
            continue
        size = value.bytes
        if operator.traffic == "picked" and slot == 0 and outputs and outputs[0] is not None:
            size = min(size, outputs[0].bytes)
        if value.is_stored:
            stored += size
        else:
            other += size
    return stored, other


def _peak_bytes(graph: onnx.GraphProto, values: Mapping[str, Value]) -> int:
    """The most bytes of inputs and activations alive at once; a view lives in its source's memory."""
    root: dict[str, str] = {}
    last: dict[str, int] = {}
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    for index, node in enumerate(nodes):
        for name in node.input:
            last[root.get(name, name)] = index
        operator = OPERATORS.get(operator_name(node))
        if operator is not None and operator.traffic == "none" and node.input and node.output:
            root[node.output[0]] = root.get(node.input[0], node.input[0])
    last.update((root.get(value.name, value.name), len(nodes)) for value in graph.output)
    ending: dict[int, list[str]] = {}
    for name, index in last.items():
        ending.setdefault(index, []).append(name)

    def size(name: str) -> int:
        value = values.get(name)
        return 0 if value is None or value.is_stored or name in root else value.bytes

    alive = peak = sum(size(value.name) for value in graph.input)
    for index, node in enumerate(nodes):
        alive += sum(size(name) for name in node.output)
        peak = max(peak, alive)
        # An output that nobody reads is gone at once.
        alive -= sum(size(name) for name in ending.get(index, ()))
        alive -= sum(size(name) for name in node.output if name not in last)
    return peak


def _bounded(total: int) -> int:
    """A total that a machine's integers hold.

    Raises:
        InputError: if it is larger, which no run could ever do.
    """
    if total > LARGEST_ELEMENTS:
        raise InputError("the model's shapes are absurd: one run would take more than 2^63 operations or bytes.")
    return total


def count_parameters(model: onnx.ModelProto) -> int:
    """Elements of the trained weights that the file holds, each tensor once.

    A stored tensor is a weight if some operator reads it as one: floats anywhere but where `NOT_WEIGHTS` says, integers
    behind a DequantizeLinear or where `INTEGER_WEIGHTS` says. A single number in an addition or a multiplication is a
    constant of a formula. So an int8 file counts as many as its float32 source. Folding counts as it is in the file: a
    convolution that swallowed its batch norm has weights and one bias a channel, an unfolded one scale and shift too.
    Of trees it is the thresholds of their branches and the weights of their leaves.
    """
    weights = {use.tensor.name: use.tensor.elements for use in uses_of_tensors(model) if _is_weight(use)}
    return sum(weights.values()) + tree_numbers(model)


def _is_weight(use: Use) -> bool:
    if use.tensor.type not in FLOAT_TYPES and not (
        use.is_dequantized or use.slot in INTEGER_WEIGHTS.get(use.operator, ())
    ):
        return False
    if use.operator in NOT_WEIGHTS:
        slots = NOT_WEIGHTS[use.operator]
        return slots is not None and use.slot not in slots
    return not (use.operator in ("Add", "Mul") and not use.tensor.shape)
