"""Shapes, types and small integer values of every tensor in an optimised graph.

A runtime's optimised file holds operators of its own (fused, integer, other layouts) and no shapes. The rules walk
the graph once, forwards; shapes that the source file tells by name fill what no rule knows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.shaperules import RULES, Case, Node, Shape, Tensors, Unknown
from steelyard.graph.tensors import TYPE_NAMES

_FEW = 64
"""Integer tensors up to this size are followed by value: they are shapes, axes and indices."""

_NODES = 100_000
"""Nodes of a graph that are walked at most: the largest networks have a few thousand."""


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


def inferred_shapes(model: onnx.ModelProto, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Shapes by name that ONNX's own inference finds in a source file; none where the file contradicts itself.

    Args:
        model: the source file, whose weights are not copied.
        inputs: shape of each input.
    """
    light = onnx.ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import)
    light.graph.name = "shapes"
    light.graph.node.extend(model.graph.node)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > _FEW:
            known = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(known)
        else:
            light.graph.initializer.append(tensor)
    for value in model.graph.input:
        if value.name in inputs:
            kind = value.type.tensor_type.elem_type
            light.graph.input.append(onnx.helper.make_tensor_value_info(value.name, kind, list(inputs[value.name])))
    light.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in model.graph.output)
    try:
        found = onnx.shape_inference.infer_shapes(light, data_prop=True).graph
    except onnx.shape_inference.InferenceError:
        return {}
    shapes = {}
    for value in (*found.value_info, *found.output):
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(size.HasField("dim_value") for size in sizes):
            shapes[value.name] = tuple(size.dim_value for size in sizes)
    return shapes


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
    found: Sequence[str]
    if node.operator == "Cast":
        found = [TYPE_NAMES.get(int(node.attributes.get("to", 1)), "undefined")]
    elif node.operator in _ZERO_POINT:
        slot = _ZERO_POINT[node.operator]
        is_given = slot < len(kinds) and node.inputs[slot] != ""
        found = [kinds[slot] if is_given else "float32" if node.operator == "QGemm" else "uint8"]
    elif node.operator == "ConstantOfShape" and "value" in node.attributes:
        found = [TYPE_NAMES.get(node.attributes["value"].data_type, "undefined")]
    elif fixed is not None:
        found = fixed
    elif node.operator == "Where":
        found = [kinds[1] if len(kinds) > 1 else first]
    else:
        found = [first]
    for index, name in enumerate(node.outputs):
        tensors.types[name] = found[min(index, len(found) - 1)]


_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Shape", "Size", "ArgMax", "ArgMin", "NonZero"), ("int64",)),
    **dict.fromkeys(("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not"), ("bool",)),
    **dict.fromkeys(("MatMulInteger", "ConvInteger"), ("int32",)),
    **dict.fromkeys(("DequantizeLinear", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), ("float32",)),
    **dict.fromkeys(("ConstantOfShape", "DynamicQuantizeLSTM", "EmbedLayerNormalization"), ("float32",)),
    "DynamicQuantizeLinear": ("uint8", "float32", "uint8"),
}
"""Types of the outputs that do not follow the first input; the last one is that of all further outputs."""

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
            shapes = rule(Case(node, tensors))
        except (Unknown, KeyError, IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError):
            shapes = ()
    for index, name in enumerate(node.outputs):
        if index < len(shapes):
            tensors.shapes[name] = tuple(int(size) for size in shapes[index])
        elif name in known:
            tensors.shapes[name] = known[name]


def _set_values(node: Node, tensors: Tensors) -> None:
    """Follow small integer tensors by value, as shape computations need it."""
    if node.operator == "Split" and node.inputs[0] in tensors.values and node.inputs[0]:
        _split_value(node, tensors)
    compute = _VALUES.get(node.operator)
    if compute is None:
        return
    try:
        value = np.asarray(compute(Case(node, tensors)))
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


def _value(case: Case, slot: int) -> NDArray[Any]:
    try:
        return case.tensors.values[case.node.inputs[slot]]
    except (KeyError, IndexError) as error:
        raise Unknown from error


def _sliced(case: Case) -> NDArray[Any]:
    value = _value(case, 0)
    axes = case.numbers(3, "axes", range(value.ndim))
    steps = case.numbers(4, "steps", [1] * len(axes))
    cut = [slice(None)] * value.ndim
    for start, end, axis, step in zip(case.numbers(1, "starts"), case.numbers(2, "ends"), axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return value[tuple(cut)]


def _unsqueezed(case: Case) -> NDArray[Any]:
    return _value(case, 0).reshape(RULES["Unsqueeze"](case)[0])


def _divided(case: Case) -> NDArray[Any]:
    left, right = _value(case, 0), _value(case, 1)
    return np.asarray(left // right if np.issubdtype(left.dtype, np.integer) else left / right)


_VALUES: dict[str, Callable[[Case], Any]] = {
    "Shape": lambda case: case.shape()[slice(case.get("start", 0), case.get("end", None))],
    "Size": lambda case: math.prod(case.shape()),
    "Gather": lambda case: np.take(_value(case, 0), _value(case, 1).astype(np.int64), axis=case.get("axis", 0)),
    "Concat": lambda case: np.concatenate([_value(case, i) for i in range(len(case.node.inputs))]),
    "Unsqueeze": _unsqueezed,
    "Squeeze": lambda case: _value(case, 0).reshape(RULES["Squeeze"](case)[0]),
    "Reshape": lambda case: _value(case, 0).reshape(RULES["Reshape"](case)[0]),
    "Slice": _sliced,
    "Cast": lambda case: _value(case, 0),
    "Identity": lambda case: _value(case, 0),
    "Add": lambda case: _value(case, 0) + _value(case, 1),
    "Sub": lambda case: _value(case, 0) - _value(case, 1),
    "Mul": lambda case: _value(case, 0) * _value(case, 1),
    "Div": _divided,
    "Mod": lambda case: np.mod(_value(case, 0), _value(case, 1)),
    "Equal": lambda case: _value(case, 0) == _value(case, 1),
    "Where": lambda case: np.where(_value(case, 0), _value(case, 1), _value(case, 2)),
    "ConstantOfShape": lambda case: np.broadcast_to(
        numpy_helper.to_array(case.node.attributes["value"]) if "value" in case.node.attributes else np.float32(0),
        tuple(case.numbers(0)) if math.prod(case.numbers(0)) <= _FEW else (),
    ),
    "Range": lambda case: np.arange(*(_value(case, slot).item() for slot in range(3))),
    "ReduceProd": lambda case: np.prod(_value(case, 0), keepdims=bool(case.get("keepdims", 1))),
}
