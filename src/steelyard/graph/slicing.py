"""Smaller ONNX files by slicing: stored tensors by name, and the sizes that a graph holds beside them."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.cleaning import captured_names
from steelyard.graph.cutting import Cut, Facts, Flow, Index, Picked, Resists
from steelyard.graph.shaperules import Shape
from steelyard.graph.shapes import decode, inferred_shapes, walk
from steelyard.graph.slicerules import RULES, spread
from steelyard.graph.slicesizes import follow_sizes

Slices = Mapping[str, Mapping[int, NDArray[np.int64]]]
"""For each stored tensor that shrinks, by name, the indices kept along each axis that does."""

_FREE = ((2, 3), (64, 96))
"""Two sizes of a free first axis, and of any other: shapes that differ between them follow from a free axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A model made ready to be sliced many times; made once by `template`, it holds no weights twice.

    Attributes:
        skeleton: the model without stored tensors; constants are stored tensors.
        flow: its operators, decoded.
        facts: of its tensors.
        captured: names that branches and loops read.
    """

    skeleton: onnx.ModelProto
    flow: Flow
    facts: Facts
    captured: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """Names of the stored tensors."""
        return frozenset(self.facts.arrays)

    def sliced(self, slices: Slices, values: Mapping[str, NDArray[Any]] | None = None) -> onnx.ModelProto:
        """A smaller model; see `sliced`."""
        arrays, picked = _cut_tensors(self.facts, slices, values or {})
        small = onnx.ModelProto()
        small.CopyFrom(self.skeleton)
        graph = small.graph
        named = frozenset((*slices, *(values or {})))
        cut = Cut(self.facts, named, arrays, picked, self.flow, tuple(graph.node), spread)
        for number, (node, proto) in enumerate(zip(self.flow.nodes, cut.protos, strict=True)):
            cut.node, cut.proto, cut.number = node, proto, number
            self._follow(cut)
        if cut.added:
            _insert(graph, cut.added)
        _fit_outputs(graph, cut.picked)
        read = {name for node in graph.node for name in node.input} | self.captured
        read |= {value.name for value in graph.output}
        for name, array in {**self.facts.arrays, **cut.arrays}.items():
            if name in read:
                _store(graph.initializer.add(), name, array)
        return small

    def _follow(self, cut: Cut) -> None:
        names = [name for name in cut.node.inputs if name in cut.picked or name in cut.sizes]
        if not names and not any(name in cut.picked for name in self.captured):
            return
        try:
            if names and not follow_sizes(cut):
                self._apply(cut)
            elif not names and any(each.g.node or each.graphs for each in cut.proto.attribute):
                raise Resists("its branches read what is sliced")
        except (Resists, IndexError, KeyError, ValueError) as error:
            reason = str(error) if isinstance(error, Resists) else f"its form is not known ({error})"
            where = cut.node.name or cut.node.outputs[0]
            raise InputError(
                f"the file can't be sliced: operator {where!r} ({cut.node.operator}): {reason}; export the smaller "
                "module itself."
            ) from error

    def _apply(self, cut: Cut) -> None:
        rule = RULES.get(cut.node.operator)
        if any(each.g.node or each.graphs for each in cut.proto.attribute) or rule is None:
            if any(name in cut.picked for name in cut.node.inputs):
                raise Resists("no rule says what becomes of it")
            raise Resists("no rule says what it makes of the size of a sliced axis")
        rule(cut)


def template(model: onnx.ModelProto) -> Template:
    """Make a model ready to be sliced many times. Its shapes are inferred twice, which takes hundredths of a second.

    Raises:
        InputError: if the graph is absurdly large.
    """
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(_without_tensors(model))
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    del skeleton.graph.node[:]
    for node in model.graph.node:
        constant = _constant(node)
        if constant is None or any(value.name == node.output[0] for value in model.graph.output):
            skeleton.graph.node.append(node)
        else:
            arrays[node.output[0]] = constant
    graph = onnx.GraphProto(node=skeleton.graph.node, input=skeleton.graph.input)
    graph.initializer.extend(
        numpy_helper.from_array(array, name) if array.size <= 64 else _blank(name, array)
        for name, array in arrays.items()
    )
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, graph=graph)
    bare.graph.output.extend(model.graph.output)
    shapes: list[dict[str, Shape]] = []
    others: list[dict[str, Shape]] = []
    kept: list[dict[str, NDArray[Any]]] = []
    for number, found in ((0, shapes), (1, others)):
        inputs = _inputs(model.graph, number)
        _, tensors = walk(bare.graph, inputs, inferred_shapes(bare, inputs))
        found.append({**tensors.shapes, **{name: array.shape for name, array in arrays.items()}})
        kept.append(tensors.values)
    same = {name: value for name, value in kept[0].items() if name in kept[1] and np.array_equal(value, kept[1][name])}
    facts = Facts(shapes[0], others[0], same, arrays, fed_names(skeleton.graph, arrays))
    return Template(skeleton, _flow(skeleton.graph), facts, frozenset(captured_names(model.graph)))


def _flow(graph: onnx.GraphProto) -> Flow:
    nodes = tuple(decode(node) for node in graph.node)
    makers = {name: number for number, node in enumerate(nodes) for name in node.outputs}
    reads = Counter(name for node in nodes for name in node.inputs)
    reads.update(captured_names(graph))
    reads.update(value.name for value in graph.output)
    return Flow(nodes, makers, reads)


def sliced(model: onnx.ModelProto, slices: Slices, values: Mapping[str, NDArray[Any]] | None = None) -> onnx.ModelProto:
    """A smaller model: stored tensors cut by name, and the sizes that operators hold cut to fit.

    Args:
        model: it is left as it was.
        slices: for each stored tensor that shrinks, the indices kept along each axis that does.
        values: stored tensors of the small model by name, of the small shape, where they are not slices of the whole
            one's (statistics estimated anew, weights trained further).

    Returns:
        the model without inferred shapes; constants are stored tensors.

    Raises:
        InputError: naming the tensor or the operator, if something does not fit or can't be told from the graph.
    """
    return template(model).sliced(slices, values)


def write_sliced(
    model: onnx.ModelProto | Template, slices: Slices, values: Mapping[str, NDArray[Any]] | None, path: Path
) -> None:
    """Write a smaller model; see `sliced`.

    Raises:
        InputError: naming the tensor or the operator, if something does not fit or can't be told from the graph.
    """
    ready = model if isinstance(model, Template) else template(model)
    path.write_bytes(ready.sliced(slices, values).SerializeToString())


def _cut_tensors(
    facts: Facts, slices: Slices, values: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], dict[str, Picked]]:
    """The stored tensors that change, and what is kept of them."""
    missing = sorted((set(slices) | set(values)) - set(facts.arrays))
    if missing:
        raise InputError(
            f"the file can't be sliced: it stores no tensor {missing[0]!r}; export the whole module unfolded, or the "
            "smaller module itself."
        )
    arrays: dict[str, NDArray[Any]] = {}
    picked: dict[str, Picked] = {}
    for name, axes in slices.items():
        whole = facts.arrays[name]
        indices: Picked = {}
        for axis, given in axes.items():
            index: Index = np.asarray(given, np.int64)
            if not (0 <= axis < whole.ndim and len(index) and index.min() >= 0 and index.max() < whole.shape[axis]):
                raise InputError(
                    f"slice of {name!r} must keep some of axis {axis} of its shape {whole.shape}, got "
                    f"{len(index)} indices."
                )
            if not np.array_equal(index, np.arange(whole.shape[axis])):
                indices[axis] = index
        if indices:
            picked[name] = indices
            if name not in values:
                arrays[name] = _taken(whole, indices)
    for name, value in values.items():
        whole = facts.arrays[name]
        shape = tuple(len(picked.get(name, {}).get(axis, range(size))) for axis, size in enumerate(whole.shape))
        if np.shape(value) != shape:
            raise InputError(f"value of {name!r} must have the shape {shape} of its slice, got {np.shape(value)}.")
        arrays[name] = np.asarray(value, whole.dtype)
    return arrays, picked


def _taken(whole: NDArray[Any], indices: Picked) -> NDArray[Any]:
    """A slice, as a view where it is a block. Each axis that is not copies what is left once."""
    for axis, index in indices.items():
        start = int(index[0])
        if np.array_equal(index, np.arange(start, start + len(index))):
            whole = whole[(slice(None),) * axis + (slice(start, start + len(index)),)]
        else:
            whole = whole.take(index, axis)
    return whole


def _store(tensor: onnx.TensorProto, name: str, array: NDArray[Any]) -> None:
    """Fill in a tensor of a graph: what is made outside of it is copied once more when it is put in."""
    if array.dtype.kind not in "fiub" or not array.dtype.isnative or sys.byteorder != "little":
        tensor.CopyFrom(numpy_helper.from_array(array, name))
        return
    tensor.name = name
    tensor.data_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.dims.extend(array.shape)
    tensor.raw_data = array.tobytes()


def _insert(graph: onnx.GraphProto, added: Iterable[tuple[int, onnx.NodeProto]]) -> None:
    before: dict[int, list[onnx.NodeProto]] = {}
    for number, node in added:
        before.setdefault(number, []).append(node)
    nodes = [each for number, node in enumerate(graph.node) for each in (*before.get(number, ()), node)]
    copied = onnx.GraphProto(node=nodes)
    graph.ClearField("node")
    graph.node.extend(copied.node)


def _fit_outputs(graph: onnx.GraphProto, picked: Mapping[str, Picked]) -> None:
    for value in graph.output:
        for axis, index in picked.get(value.name, {}).items():
            if axis < len(value.type.tensor_type.shape.dim):
                value.type.tensor_type.shape.dim[axis].dim_value = len(index)


def _without_tensors(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without stored tensors, operators and inferred shapes; its weights are not copied."""
    graph = model.graph
    bare = onnx.GraphProto(name=graph.name, doc_string=graph.doc_string, input=graph.input, output=graph.output)
    stored = {tensor.name for tensor in graph.initializer}
    for place in reversed(range(len(bare.input))):
        if bare.input[place].name in stored:
            del bare.input[place]
    bare.node.extend(graph.node)
    return onnx.ModelProto(
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        opset_import=model.opset_import,
        functions=model.functions,
        metadata_props=model.metadata_props,
        graph=bare,
    )


def _constant(node: onnx.NodeProto) -> NDArray[Any] | None:
    """The value of a Constant node; None of any other."""
    if node.op_type != "Constant" or not node.attribute:
        return None
    each = node.attribute[0]
    if each.name == "value":
        return numpy_helper.to_array(each.t)
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if each.name in kinds:
        return np.asarray(onnx.helper.get_attribute_value(each), kinds[each.name])
    return None


def _blank(name: str, array: NDArray[Any]) -> onnx.TensorProto:
    """A stored tensor's shape alone: inferring shapes needs no weights."""
    return onnx.TensorProto(name=name, data_type=onnx.helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)


def _inputs(graph: onnx.GraphProto, number: int) -> dict[str, Shape]:
    """Shapes of the inputs at one of the two sizes of free axes; axes of one name have one size."""
    stored = {tensor.name for tensor in graph.initializer}
    free: dict[str, int] = {}
    found = {}
    for value in graph.input:
        if value.name in stored:
            continue
        sizes = []
        for axis, each in enumerate(value.type.tensor_type.shape.dim):
            if each.HasField("dim_value"):
                sizes.append(each.dim_value)
            else:
                size = _FREE[bool(axis)][number] + len(free) * bool(axis)
                sizes.append(free.setdefault(each.dim_param or f"{value.name} {axis}", size))
        found[value.name] = tuple(sizes)
    return found


def fed_names(graph: onnx.GraphProto, stored: Collection[str]) -> frozenset[str]:
    """Names of what depends on the values of inputs; on their shapes alone is another matter."""
    fed = {value.name for value in graph.input if value.name not in stored}
    for node in graph.node:
        inner = any(each.g.node or each.graphs for each in node.attribute)
        if node.op_type not in ("Shape", "Size") and (inner or any(name in fed for name in node.input)):
            fed.update(node.output)
    return frozenset(fed)
