"""Operators that multiply or look up stored weights: what quantization is about."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.graph.tensors import graphs_of

WEIGHTS_OF: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "Gather": (0,),
}
"""Which inputs of which operators may be weights, not biases."""

FLOATS = frozenset((onnx.TensorProto.FLOAT,))
"""Element types of weights that steps here can round; `OTHER_FLOATS` they refuse."""

OTHER_FLOATS = frozenset((onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE))
"""Element types of weights that are neither quantized nor float32."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """An operator with stored float weights.

    Attributes:
        name: of its node.
        operator: its type.
        weights: names of its weights by input slot.
        elements: how many weights.
        is_nested: whether it stands inside a branch or a loop.
    """

    name: str
    operator: str
    weights: Mapping[int, str]
    elements: int
    is_nested: bool = False


def weighted_operators(model: onnx.ModelProto) -> tuple[Weighted, ...]:
    """The operators with stored float weights of at least two axes, in the order of the graph, nested ones last."""
    return tuple(_weighted(model))


def _weighted(model: onnx.ModelProto) -> Iterator[Weighted]:
    known: dict[str, onnx.TensorProto] = {}
    for depth, graph in enumerate(graphs_of(model.graph)):
        known.update({tensor.name: tensor for tensor in graph.initializer})
        for node in graph.node:
            slots = {
                slot: node.input[slot]
                for slot in WEIGHTS_OF.get(node.op_type, ())
                if node.domain in ("", "ai.onnx") and slot < len(node.input) and _is_weight(known.get(node.input[slot]))
            }
            # Scales that are looked up beside a table stand in columns.
            if node.op_type == "Gather" and slots and known[slots[0]].dims[-1] == 1:
                continue
            if slots:
                elements = sum(int(np.prod(known[name].dims)) for name in slots.values())
                yield Weighted(node.name, node.op_type, slots, elements, depth > 0)


def _is_weight(tensor: onnx.TensorProto | None) -> bool:
    return tensor is not None and tensor.data_type in FLOATS and len(tensor.dims) >= 2


def other_weight(model: onnx.ModelProto) -> tuple[onnx.NodeProto, onnx.TensorProto] | None:
    """An operator and its weight that is a float, but no float32; None where there is none."""
    for graph in graphs_of(model.graph):
        known = initializers(graph)
        for node in graph.node:
            for slot in WEIGHTS_OF.get(node.op_type, ()):
                tensor = known.get(node.input[slot]) if slot < len(node.input) else None
                if tensor is not None and tensor.data_type in OTHER_FLOATS and len(tensor.dims) >= 2:
                    return node, tensor
    return None


def initializers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """The graph's stored tensors by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def values_of(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    """A stored tensor's values as float32."""
    return np.asarray(numpy_helper.to_array(tensor), dtype=np.float32)


def set_values(tensor: onnx.TensorProto, values: NDArray[np.float32]) -> None:
    """Give a stored tensor other values, under its name."""
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Which operators read each tensor."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found
