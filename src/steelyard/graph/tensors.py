"""The tensors that an ONNX file stores, and what they are used for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

TYPE_NAMES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    **{
        number: name.lower()
        for name, number in onnx.TensorProto.DataType.items()
        if name not in ("FLOAT", "DOUBLE", "UNDEFINED")
    },
}
"""Names of the element types as numpy calls them."""

FLOAT_TYPES = frozenset(("float32", "float64", "float16", "bfloat16"))
"""Types that a trained weight has."""

_BITS = {"bool": 8, "complex64": 64, "complex128": 128, "bfloat16": 16}
_DIGITS = ("4e2m1", "8e4m3fn", "8e4m3fnuz", "8e5m2", "8e5m2fnuz", "8e8m0")

PASSING = frozenset(
    ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Expand")
)
"""Operators whose output is their first input, stored or laid out in another way."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in the file: its name, element type and shape, without its values."""

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its values; types below a byte are packed, two or four elements a byte."""
        return math.ceil(self.elements * type_bits(self.type) / 8)


_SMALL_BITS = 8
"""Types of so many bits or fewer hold quantized weights where they are cast to float."""


@dataclass(frozen=True, slots=True)
class Use:
    """One place where a stored tensor is read: the operator, which of its inputs, and how the tensor got there.

    `is_dequantized` is whether a DequantizeLinear lies between.
    """

    tensor: Stored
    operator: str
    slot: int
    is_dequantized: bool


def type_bits(name: str) -> int:
    """Bits of an element of the type; 0 for strings, whose length is not fixed."""
    if name in _BITS:
        return _BITS[name]
    digits = name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if digits in _DIGITS:
        return int(digits[0])
    return int(digits) if digits.isdigit() else 0


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and every graph inside its nodes (branches, loop bodies)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from graphs_of(inner)


def constant_tensor(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant node, None for other nodes and for constants written as plain attributes."""
    if node.op_type != "Constant":
        return None
    return next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)


def named_tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Initializers, and the tensors of Constant nodes, by the name that nodes read them by."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        tensor = constant_tensor(node)
        if tensor is not None:
            yield node.output[0], tensor


def all_tensors(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """The named tensors of the graph and of every graph inside it."""
    for graph in graphs_of(model.graph):
        yield from named_tensors(graph)


def describe(name: str, tensor: onnx.TensorProto) -> Stored:
    """A tensor without its values."""
    return Stored(name, TYPE_NAMES.get(tensor.data_type, "undefined"), tuple(tensor.dims))


def stored_tensors(model: onnx.ModelProto) -> Iterator[Stored]:
    """Every tensor that the file stores."""
    for name, tensor in all_tensors(model):
        yield describe(name, tensor)


def uses_of_tensors(model: onnx.ModelProto) -> Iterator[Use]:
    """Where each stored tensor is read, seen through operators that only store or lay it out differently.

    The other inputs of those operators (scales, zero points, shapes) are uses of their own. Small integers that are
    cast to float and multiplied by their scale are dequantized too: a pair that a runtime folds as it loads a file.
    """
    for graph in graphs_of(model.graph):
        scaled = {node.input[0] for node in graph.node if node.op_type == "Mul"}
        reaching = {name: (describe(name, tensor), False) for name, tensor in named_tensors(graph)}
        for node in graph.node:
            for slot, name in enumerate(node.input):
                if name not in reaching:
                    continue
                tensor, is_dequantized = reaching[name]
                is_small = type_bits(tensor.type) <= _SMALL_BITS and tensor.type not in FLOAT_TYPES
                if is_small and node.op_type == "Cast" and node.output[0] in scaled:
                    reaching[node.output[0]] = (tensor, True)
                elif slot == 0 and is_small and is_dequantized and node.op_type == "Mul":
                    reaching[node.output[0]] = (tensor, True)
                    # The scale is none of the weights.
                    reaching.pop(node.input[1], None)
                elif slot == 0 and node.op_type in PASSING:
                    reaching[node.output[0]] = (tensor, is_dequantized or node.op_type == "DequantizeLinear")
                else:
                    yield Use(tensor, node.op_type, slot, is_dequantized)
