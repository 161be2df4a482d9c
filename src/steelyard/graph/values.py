"""Types and shapes of everything in a graph, by ONNX's own inference from given shapes of the inputs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from steelyard.core.errors import InputError, UnknownNameError
from steelyard.graph.operators import Shape
from steelyard.graph.shapes import walk
from steelyard.graph.tensors import TYPE_NAMES, describe, named_tensors, type_bits

LARGEST_ELEMENTS = 2**63 - 1
"""No tensor that could ever be computed has more elements: a signed 64-bit size is what every runtime holds."""

_LARGE = 1024
"""Tensors with more elements are weights, whose values shape inference does not need."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a tensor in a graph: its element type and shape, and whether the file stores it."""

    type: str
    shape: Shape
    is_stored: bool = False

    @property
    def elements(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of its elements; types below a byte are packed."""
        return math.ceil(self.elements * type_bits(self.type) / 8)


def infer_values(model: onnx.ModelProto, batch: int, shapes: Mapping[str, Shape] | None = None) -> dict[str, Value]:
    """Types and shapes by name, where they are known as numbers.

    Inputs have the given shapes; those not given keep their own, a free first axis fixed to `batch`. An axis's name
    means the same size wherever it stands. Weights take part by shape alone: their values are left out of the copy
    that is inferred on. What inference can't know (operators of another domain) is taken from what the file states.

    Raises:
        InputError: if the model contradicts itself or a given shape, if a shape is given for no input of the model,
            or if a tensor would have more elements than can be counted.
    """
    given = shapes or {}
    light, symbols = _light_copy(model, batch, given)
    try:
        inferred = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"the model's shapes contradict each other: {line}") from error
    values = {
        name: Value(describe(name, tensor).type, tuple(tensor.dims), is_stored=True)
        for name, tensor in named_tensors(model.graph)
    }
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        _note(values, value, {})
    for value in (*model.graph.value_info, *model.graph.output):
        if value.name not in values:
            _note(values, value, symbols)
    if any(name and name not in values for node in model.graph.node for name in node.output):
        _walk_on(model, values)
    for name, found in values.items():
        if any(size < 0 for size in found.shape) or found.elements > LARGEST_ELEMENTS:
            raise InputError(f"the model's shapes are absurd: {name!r} would be of shape {_short(found.shape)}.")
    return values


def _walk_on(model: onnx.ModelProto, values: dict[str, Value]) -> None:
    """Fill in what ONNX's inference left open: our own rules follow shapes that a graph computes as it runs."""
    known = {name: value.shape for name, value in values.items()}
    inputs = {value.name: known[value.name] for value in model.graph.input if value.name in known}
    _, tensors = walk(model.graph, inputs, known)
    for name, shape in tensors.shapes.items():
        if name not in values and tensors.types.get(name) not in (None, "undefined"):
            values[name] = Value(tensors.types[name], tuple(shape))


def _note(values: dict[str, Value], value: onnx.ValueInfoProto, symbols: Mapping[str, int]) -> None:
    """Keep a value whose axes are all known, as numbers or by their names."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return
    sizes = [each.dim_value if each.HasField("dim_value") else symbols.get(each.dim_param) for each in tensor.shape.dim]
    known = tuple(size for size in sizes if size is not None)
    if len(known) == len(sizes):
        before = values.get(value.name)
        values[value.name] = Value(
            TYPE_NAMES.get(tensor.elem_type, "undefined"), known, before.is_stored if before else False
        )


def _light_copy(
    model: onnx.ModelProto, batch: int, given: Mapping[str, Shape]
) -> tuple[onnx.ModelProto, dict[str, int]]:
    """The graph with its inputs' shapes set and without the values of its weights, and sizes of named axes."""
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    graph = light.graph
    graph.name = "shapes"
    graph.node.extend(model.graph.node)
    stored = {name for name, _ in named_tensors(model.graph)}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > _LARGE:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        else:
            graph.initializer.append(tensor)
    inputs = {value.name: value for value in model.graph.input if value.name not in stored}
    for name in given:
        if name not in inputs:
            raise UnknownNameError("input", name, inputs, field="shape")
    symbols: dict[str, int] = {}
    for name, value in inputs.items():
        _bind(value, given.get(name), batch, symbols)
    for name, value in inputs.items():
        graph.input.append(value)
        _fix(graph.input[-1], given.get(name), batch, symbols)
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in model.graph.output)
    return light, symbols


def _bind(value: onnx.ValueInfoProto, given: Shape | None, batch: int, symbols: dict[str, int]) -> None:
    """Note the sizes that an input's given shape, or the batch, means for its named axes.

    Raises:
        InputError: if the given shape contradicts the file, or an axis of the same name elsewhere.
    """
    axes = value.type.tensor_type.shape.dim
    if given is None:
        if axes and axes[0].dim_param:
            symbols.setdefault(axes[0].dim_param, batch)
        return
    has_shape = value.type.tensor_type.HasField("shape")
    fits = not has_shape or len(axes) == len(given)
    for axis, size in zip(axes, given, strict=False):
        wanted = axis.dim_value if axis.HasField("dim_value") else symbols.get(axis.dim_param, size)
        fits = fits and wanted == size
        if axis.dim_param:
            symbols[axis.dim_param] = size
    if not fits or any(size < 0 for size in given):
        expected = [axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?" for axis in axes]
        asked = ", ".join(map(str, expected))
        raise InputError(f"input {value.name!r} must have shape ({asked}), got {_short(given)}.", field="shape")


def _fix(value: onnx.ValueInfoProto, given: Shape | None, batch: int, symbols: Mapping[str, int]) -> None:
    """Set an input's axes to the sizes they are known to have."""
    tensor = value.type.tensor_type
    if given is not None and not tensor.HasField("shape"):
        for size in given:
            tensor.shape.dim.add().dim_value = size
        return
    for index, axis in enumerate(tensor.shape.dim):
        if given is not None:
            axis.dim_value = given[index]
        elif index == 0 and not axis.HasField("dim_value"):
            axis.dim_value = symbols.get(axis.dim_param, batch) if axis.dim_param else batch
        elif axis.dim_param in symbols:
            axis.dim_value = symbols[axis.dim_param]


def _short(shape: Shape) -> str:
    text = ", ".join(map(str, shape[:8])) + (", ..." if len(shape) > 8 else "")
    return f"({text})"
