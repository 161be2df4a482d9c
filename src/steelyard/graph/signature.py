"""What an ONNX model takes and gives: names, element types, shapes, and how large its indices may be."""

from collections.abc import Mapping

import onnx

from steelyard.core.port import Port, Signature
from steelyard.graph.tensors import PASSING, TYPE_NAMES, named_tensors

_INDEXED = {"Gather": (1, "axis", 0), "GatherElements": (1, "axis", 0), "GatherND": (1, None, 0)}
"""Operators that read a table by index: which input holds the indices, and the attribute and default of the axis."""

_SAME_VALUES = PASSING | {"Flatten", "Slice", "Gather", "Concat", "Split"}
"""Operators whose output holds values of their first input."""


def signature_of(model: onnx.ModelProto) -> Signature:
    """Everything a caller must know to run the model."""
    return Signature(inputs_of(model), outputs_of(model), index_limits(model))


def inputs_of(model: onnx.ModelProto) -> tuple[Port, ...]:
    """The inputs that a caller must give: those without a stored default."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return tuple(_port(value) for value in model.graph.input if value.name not in stored)


def outputs_of(model: onnx.ModelProto) -> tuple[Port, ...]:
    """The outputs."""
    return tuple(_port(value) for value in model.graph.output)


def index_limits(model: onnx.ModelProto) -> Mapping[str, int]:
    """For inputs that index a stored table: how many entries the smallest such table has, by input.

    An input is followed through operators that pass its values on; indices must lie below the limit.
    """
    tables = {name: tuple(tensor.dims) for name, tensor in named_tensors(model.graph)}
    origin = {port.name: port.name for port in inputs_of(model)}
    limits: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in _INDEXED and len(node.input) > 1 and node.input[0] in tables:
            slot, attribute, default = _INDEXED[node.op_type]
            source = origin.get(node.input[slot])
            axis = next((each.i for each in node.attribute if each.name == attribute), default)
            shape = tables[node.input[0]]
            if source is not None and -len(shape) <= axis < len(shape):
                limits[source] = min(shape[axis], limits.get(source, shape[axis]))
        elif node.op_type in _SAME_VALUES and node.input and node.input[0] in origin:
            origin.update(dict.fromkeys(node.output, origin[node.input[0]]))
    return limits


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    kind = TYPE_NAMES.get(tensor.elem_type, "undefined")
    if not tensor.HasField("shape"):
        return Port(value.name, kind, None)
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else (axis.dim_param or None) for axis in tensor.shape.dim
    )
    return Port(value.name, kind, shape)
