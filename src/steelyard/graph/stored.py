"""Proof that a step happened, read back from the file: stored types, bits, bytes, zeros, distinct values, operators."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.core.wire import Plain
from steelyard.graph.operators import attribute_of, operator_name
from steelyard.graph.tensors import FLOAT_TYPES, TYPE_NAMES, all_tensors, describe

_MS = "com.microsoft."
SLOTS: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", _MS + "FusedConv"), (1,)),
    **dict.fromkeys(("Gemm", "MatMul", "MatMulInteger", _MS + "MatMulIntegerToFloat", _MS + "FusedMatMul"), (0, 1)),
    **dict.fromkeys(("LSTM", "GRU", "RNN", _MS + "DynamicQuantizeLSTM"), (1, 2)),
    **dict.fromkeys(("QLinearConv", _MS + "QLinearConv", _MS + "QGemm"), (3,)),
    "QLinearMatMul": (0, 3),
    **dict.fromkeys((_MS + "MatMulNBits", _MS + "DynamicQuantizeMatMul", _MS + "FusedGemm", _MS + "Attention"), (1,)),
    **dict.fromkeys(("Gather", _MS + "GatherBlockQuantized"), (0,)),
}
"""Which inputs of which operators are weights, in all the forms that quantization gives them."""


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """One weight of an operator, as the file holds it.

    Attributes:
        name: of the stored tensor that holds most of it.
        node: the operator that reads it.
        operator: the type of that operator.
        type: the element type in the file.
        elements: how many weights the operator sees.
        bytes: of the stored tensor; scales and zero points are not counted.
        zeros: share of exact zeros; None where zero is stored as another code in each block.
        distinct: how many different codes there are.
    """

    name: str
    node: str
    operator: str
    type: str
    elements: int
    bytes: int
    zeros: float | None
    distinct: int

    @property
    def bits(self) -> float:
        """Bits a weight."""
        return 8 * self.bytes / max(self.elements, 1)

    @property
    def is_float(self) -> bool:
        """Whether it is stored in float."""
        return self.type in FLOAT_TYPES

    def to_json(self) -> Plain:
        """The plain form."""
        names = ("name", "node", "operator", "type", "elements", "bytes", "zeros", "distinct", "bits")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class StoredModel:
    """What a file holds.

    Attributes:
        weights: each stored weight once, in the order of the operators that read them.
        operators: how many there are of each type.
        bytes_by_type: bytes of all stored tensors, biases and scales among them, by element type.
    """

    weights: tuple[StoredWeight, ...]
    operators: Mapping[str, int]
    bytes_by_type: Mapping[str, int]

    @property
    def elements(self) -> int:
        """How many weights."""
        return sum(each.elements for each in self.weights)

    @property
    def float_share(self) -> float:
        """Share of the weights that is stored in float; 0 where there are none."""
        return sum(each.elements for each in self.weights if each.is_float) / max(self.elements, 1)

    @property
    def zero_share(self) -> float:
        """Share of the weights that is exactly zero, as far as the file tells."""
        return sum(each.elements * (each.zeros or 0.0) for each in self.weights) / max(self.elements, 1)

    @property
    def mean_bits(self) -> float:
        """Bits a weight on average, without scales."""
        return 8 * sum(each.bytes for each in self.weights) / max(self.elements, 1)

    def to_json(self) -> Plain:
        """The plain form, with the shares."""
        return {
            "weights": [each.to_json() for each in self.weights],
            "operators": dict(self.operators),
            "bytes_by_type": dict(self.bytes_by_type),
            "float_share": self.float_share,
            "zero_share": self.zero_share,
            "mean_bits": self.mean_bits,
        }


def stored(model: onnx.ModelProto) -> StoredModel:
    """What a file holds; weights are followed back through whatever unpacks them to the tensors that are stored.

    Cost: O(nodes + bytes).
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    elements = _elements(model)
    halved = _halved(graph)
    found: dict[str, StoredWeight] = {}
    for node in graph.node:
        for slot in SLOTS.get(operator_name(node), ()):
            name = node.input[slot] if slot < len(node.input) else ""
            main = _main(name, tensors, makers)
            if main is None or main.name in found or not _is_weight(node, main):
                continue
            count = elements.get(name, int(np.prod(main.dims)))
            if name == main.name:
                count = _seen(node, main, is_halved=node.output[0] in halved)
            found[main.name] = _weight(node, main, count)
    bytes_by_type: Counter[str] = Counter()
    for name, tensor in all_tensors(model):
        bytes_by_type[TYPE_NAMES.get(tensor.data_type, "undefined")] += describe(name, tensor).bytes
    operators = Counter(operator_name(node) for node in graph.node)
    return StoredModel(tuple(found.values()), dict(sorted(operators.items())), dict(sorted(bytes_by_type.items())))


def _main(
    name: str, tensors: Mapping[str, onnx.TensorProto], makers: Mapping[str, onnx.NodeProto]
) -> onnx.TensorProto | None:
    """The largest stored tensor that a value is made of; None where it depends on the model's inputs."""
    best: onnx.TensorProto | None = None
    waiting, seen = [name], set()
    while waiting:
        each = waiting.pop()
        if each in tensors:
            tensor = tensors[each]
            if best is None or _rank(tensor) > _rank(best):
                best = tensor
        elif each in makers and each not in seen:
            seen.add(each)
            waiting += [inner for inner in makers[each].input if inner]
        elif each not in makers:
            return None
    return best


def _rank(tensor: onnx.TensorProto) -> tuple[int, bool]:
    """The more elements the likelier the weight; of equally many the integers, since scales and offsets are floats."""
    return int(np.prod(tensor.dims)), TYPE_NAMES.get(tensor.data_type) not in FLOAT_TYPES


def _is_weight(node: onnx.NodeProto, tensor: onnx.TensorProto) -> bool:
    if node.op_type != "Gather":
        return True
    # Shapes and scales are looked up too: they have one axis, or stand in columns.
    return len(tensor.dims) >= 2 and tensor.dims[-1] > 1 and tensor.data_type != onnx.TensorProto.INT64


def _seen(node: onnx.NodeProto, tensor: onnx.TensorProto, *, is_halved: bool) -> int:
    """How many weights an operator sees in a tensor that it reads itself, packed or not."""
    if node.op_type == "MatMulNBits":
        return attribute_of(node, "K", 0) * attribute_of(node, "N", 0)
    count = int(np.prod(tensor.dims))
    if node.op_type == "GatherBlockQuantized" and tensor.data_type == onnx.TensorProto.UINT8:
        return count * 8 // attribute_of(node, "bits", 4)
    return 2 * count if is_halved else count


def _halved(graph: onnx.GraphProto) -> set[str]:
    """Tensors of bytes that hold two codes each: what is read as a float and divided by 16."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    return {
        casts[node.input[0]]
        for node in graph.node
        if node.op_type == "Div"
        and node.input[0] in casts
        and node.input[1] in tensors
        and not tensors[node.input[1]].dims
        and float(numpy_helper.to_array(tensors[node.input[1]])) == 16.0
    }


def _elements(model: onnx.ModelProto) -> dict[str, int]:
    """How many elements each computed tensor has, where its shape is known."""
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        graph = model.graph
    found = {}
    for value in graph.value_info:
        sizes = [axis.dim_value if axis.HasField("dim_value") else -1 for axis in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.HasField("shape") and min(sizes, default=1) >= 0:
            found[value.name] = int(np.prod(sizes))
    return found


def _weight(node: onnx.NodeProto, tensor: onnx.TensorProto, elements: int) -> StoredWeight:
    there = describe(tensor.name, tensor)
    codes = np.asarray(numpy_helper.to_array(tensor))
    is_halved = there.type == "uint8" and elements >= 2 * there.elements - 1
    if is_halved:
        codes = np.stack([codes & 15, codes >> 4])
    return StoredWeight(
        tensor.name,
        node.name or node.output[0],
        operator_name(node),
        there.type,
        elements,
        there.bytes,
        _zeros(node, codes, there.type, is_halved=is_halved),
        len(np.unique(codes)),
    )


def _zeros(node: onnx.NodeProto, codes: NDArray[np.generic], kind: str, *, is_halved: bool) -> float | None:
    if kind.startswith("uint"):
        # Signed codes of 4 bits are stored with 8 added; other unsigned codes have zero points of their own.
        return float(np.mean(codes == 8)) if is_halved and node.op_type != "MatMulNBits" else None
    return float(np.mean(codes == 0))
