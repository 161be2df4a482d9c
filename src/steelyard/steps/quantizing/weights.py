"""Weights in 8 or 4 bits, activations in float: packed products, or weights that are unpacked while the file loads.

ONNX Runtime leaves DequantizeLinear in the graph, so that a weight behind it is unpacked at every call. Cast and Mul
on constants are folded when the file is loaded: a weight behind them costs nothing per call, and the kernel is the
float one. Packed products (MatMulNBits) read fewer bytes per call, which pays for few rows at a time.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

from steelyard.graph.cleaning import drop_unread
from steelyard.graph.operators import attribute_of
from steelyard.graph.weighted import Weighted, initializers, values_of, weighted_operators
from steelyard.steps.quantizing.rewriting import gemm_as_matmul
from steelyard.steps.quantizing.static import quiet

BLOCK = 32
"""Weights that share a scale where there are 4 bits."""

_ACCURACY = 4
"""MatMulNBits in integers. Its float kernel takes 2 times as long with 4 bits and 30 times as long with 8."""

_SHRINKS = np.linspace(1.0, 0.7, 7)
"""Scales that are tried for a block of 4-bit weights, as shares of the one that clips nothing."""

Floats = NDArray[np.float32]


def with_small_weights(
    model: onnx.ModelProto, *, bits: int, packed: bool, per_channel: bool, exclude: Collection[str] = ()
) -> onnx.ModelProto:
    """The model with the weights of all operators in few bits; the one given is left as it was.

    Args:
        model: a clean model.
        bits: 8, or 4 in blocks of 32.
        packed: whether products of a matrix get kernels that read packed weights.
        per_channel: whether each channel has a scale of its own, with 8 bits.
        exclude: names of operators that stay as they are.
    """
    copy = with_packed(gemm_as_matmul(model, exclude), bits=bits, exclude=exclude) if packed else onnx.ModelProto()
    if not packed:
        copy.CopyFrom(model)
    left = [each for each in weighted_operators(copy) if each.name not in exclude and not each.is_nested]
    return with_unpacked(copy, left, bits=bits, per_channel=per_channel)


def with_packed(model: onnx.ModelProto, *, bits: int, exclude: Collection[str]) -> onnx.ModelProto:
    """A copy whose products with a stored matrix of at least a block of rows are MatMulNBits."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = initializers(copy.graph)
    names = [
        each.name
        for each in weighted_operators(copy)
        if each.operator == "MatMul"
        and set(each.weights) == {1}
        and not each.is_nested
        and each.name not in exclude
        and len(stored[each.weights[1]].dims) == 2
        and stored[each.weights[1]].dims[0] >= BLOCK
        and stored[each.weights[1]].data_type == onnx.TensorProto.FLOAT
    ]
    if not names:
        return copy
    with quiet():
        quantizer = MatMulNBitsQuantizer(
            copy,
            bits=bits,
            block_size=BLOCK,
            is_symmetric=bits == 8,
            accuracy_level=_ACCURACY,
            nodes_to_include=names,
            op_types_to_quantize=("MatMul",),
        )
        quantizer.process()
    made = quantizer.model.model
    drop_unread(made.graph)
    return made  # type: ignore[no-any-return]


def with_unpacked(
    model: onnx.ModelProto, operators: Collection[Weighted], *, bits: int, per_channel: bool
) -> onnx.ModelProto:
    """A copy in which these operators' weights are stored in few bits and unpacked while the file loads.

    Tables that are looked up are unpacked row by row after the look-up, so that they stay small in memory too.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    nodes = {node.name: node for node in graph.node}
    ranks = _ranks(copy)
    first: list[onnx.NodeProto] = []
    replaced: dict[str, list[onnx.NodeProto]] = {}
    done: dict[tuple[str, int], str] = {}
    stored = initializers(graph)
    for each in operators:
        for slot, axis in channel_axes(each, nodes[each.name]).items():
            name = each.weights[slot]
            values = values_of(stored[name])
            if each.operator == "Gather":
                made = _looked_up(nodes[each.name], values, bits, ranks, graph)
                if made:
                    replaced[each.name] = made
                continue
            key = (name, axis)
            if key not in done:
                done[key] = f"{name}.unpacked.{axis}"
                if bits == 8:
                    first += _in_eight_bits(values, axis, done[key], graph, per_channel=per_channel)
                else:
                    first += _in_four_bits(values, axis, done[key], graph)
            nodes[each.name].input[slot] = done[key]
    rest = [made for node in graph.node for made in replaced.get(node.name, [node])]
    del graph.node[:]
    graph.node.extend([*first, *rest])
    drop_unread(graph)
    return copy


def channel_axes(each: Weighted, node: onnx.NodeProto) -> Mapping[int, int]:
    """Along which axis the channels of each of an operator's weights lie, by input slot."""
    found: dict[int, int] = {}
    for slot in each.weights:
        axis = {"Conv": 0, "ConvTranspose": 1, "LSTM": 1, "GRU": 1, "RNN": 1, "Gather": 0}.get(each.operator)
        if axis is None:
            is_turned = each.operator == "Gemm" and attribute_of(node, "transB" if slot else "transA", 0)
            # Channels of a left factor are its rows, of a right one its columns.
            axis = (0 if is_turned else -1) if slot else (-1 if is_turned else -2)
        found[slot] = axis
    return found


def rounded_values(values: Floats, axis: int, *, bits: int, per_channel: bool) -> Floats:
    """A weight as few bits would have it, in float: what its quantization does, apart from storing it."""
    if bits == 8:
        codes, scale = _channel_codes(values, axis, per_channel=per_channel)
        return codes * scale
    moved = np.moveaxis(values, axis, 0)
    rows = moved.reshape(len(moved), -1)
    codes, scale = rounded_rows(_blocks(rows), 4)
    flat = (codes * scale).reshape(len(rows), -1)[:, : rows.shape[1]]
    return np.ascontiguousarray(np.moveaxis(flat.reshape(moved.shape), 0, axis))


def rounded_rows(values: Floats, bits: int) -> tuple[NDArray[np.int8], Floats]:
    """Codes and scales of rows, symmetric, so that zeros stay zero: values about codes × scales.

    Args:
        values: (..., length); a scale for each row.
        bits: 8 or 4. With 4 the scale of least squared error is taken among a few.
    """
    most = 2 ** (bits - 1) - 1
    largest = np.abs(values).max(-1, keepdims=True)
    whole = np.where(largest > 0, largest / most, 1.0).astype(np.float32)
    best, least = whole, np.full(whole.shape, np.inf, np.float32)
    for share in _SHRINKS if bits < 8 else (1.0,):
        scale = (whole * np.float32(share)).astype(np.float32)
        error = ((np.clip(np.round(values / scale), -most, most) * scale - values) ** 2).sum(-1, keepdims=True)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return np.clip(np.round(values / best), -most, most).astype(np.int8), best


def _block(length: int) -> int:
    """Weights that share a scale in rows of this length: 32, or the row, where it is shorter; an even number."""
    return min(BLOCK, length + length % 2)


def _blocks(values: Floats) -> Floats:
    """Rows (rows, length) cut into blocks (rows, blocks, 32), filled up with zeros."""
    block = _block(values.shape[1])
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % block)))
    return padded.reshape(len(values), -1, block)


def _halved(codes: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Codes of 4 bits (..., 32), two a byte: the first half of a block in the low bits, the second in the high ones."""
    shifted = (codes + 8).astype(np.uint8)
    half = codes.shape[-1] // 2
    return (shifted[..., :half] + shifted[..., half:] * 16).astype(np.uint8)


def _channel_codes(values: Floats, axis: int, *, per_channel: bool) -> tuple[NDArray[np.int8], Floats]:
    """Codes of 8 bits and their scales, which broadcast over the weight."""
    place = axis % values.ndim
    # Recurrent weights stand as (directions, gates, in): each direction's gates have scales of their own.
    lead = 1 if values.ndim == 3 and place == 1 else 0
    kept = (*range(lead), place) if per_channel else ()
    summed = tuple(each for each in range(values.ndim) if each not in kept)
    largest = np.abs(values).max(axis=summed, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    return np.clip(np.round(values / scale), -127, 127).astype(np.int8), scale


def _in_eight_bits(
    values: Floats, axis: int, target: str, graph: onnx.GraphProto, *, per_channel: bool
) -> list[onnx.NodeProto]:
    """Store a weight in 8 bits; the operators that unpack it to `target`, all on constants."""
    codes, scale = _channel_codes(values, axis, per_channel=per_channel)
    _add(graph, {f"{target}.codes": codes, f"{target}.scale": scale})
    return [
        _node("Cast", [f"{target}.codes"], f"{target}.float", to=onnx.TensorProto.FLOAT),
        _node("Mul", [f"{target}.float", f"{target}.scale"], target),
    ]


def _in_four_bits(values: Floats, axis: int, target: str, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The same in 4 bits, in blocks of 32 along everything but the channels."""
    moved = np.moveaxis(values, axis, 0)
    rows = np.ascontiguousarray(moved.reshape(len(moved), -1))
    codes, scale = rounded_rows(_blocks(rows), 4)
    _add(graph, {f"{target}.codes": _halved(codes), f"{target}.scale": scale})
    nodes = _opened(f"{target}.codes", f"{target}.scale", target, graph)
    nodes += _cut(f"{target}.rows", [len(rows), -1], rows.shape[1], target, graph)
    _add(graph, {f"{target}.dims": np.asarray(moved.shape, np.int64)})
    nodes.append(_node("Reshape", [f"{target}.rows", f"{target}.dims"], f"{target}.moved"))
    order = np.argsort([axis % values.ndim, *(each for each in range(values.ndim) if each != axis % values.ndim)])
    return [*nodes, _node("Transpose", [f"{target}.moved"], target, perm=[int(each) for each in order])]


def _looked_up(
    node: onnx.NodeProto, table: Floats, bits: int, ranks: Mapping[str, int], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """A look-up in a table of few bits whose rows are unpacked afterwards; none for tables that this can't serve."""
    rank = ranks.get(node.input[1])
    if table.ndim != 2 or attribute_of(node, "axis", 0) != 0 or (bits == 4 and rank is None):
        return []
    index, target = node.input[1], node.output[0]
    base = f"{node.input[0]}.rows"
    if bits == 8:
        codes, scale = rounded_rows(table, 8)
        _add(graph, {f"{base}.codes": codes, f"{base}.scale": scale})
        return [
            _node("Gather", [f"{base}.codes", index], f"{target}.codes", axis=0, name=node.name),
            _node("Gather", [f"{base}.scale", index], f"{target}.scale", axis=0),
            _node("Cast", [f"{target}.codes"], f"{target}.float", to=onnx.TensorProto.FLOAT),
            _node("Mul", [f"{target}.float", f"{target}.scale"], target),
        ]
    codes, scale = rounded_rows(_blocks(table), 4)
    _add(graph, {f"{base}.codes": _halved(codes), f"{base}.scale": scale})
    return [
        _node("Gather", [f"{base}.codes", index], f"{target}.codes", axis=0, name=node.name),
        _node("Gather", [f"{base}.scale", index], f"{target}.scale", axis=0),
        *_opened(f"{target}.codes", f"{target}.scale", target, graph),
        *_cut(target, [*[0] * (rank or 0), -1], table.shape[1], target, graph),
    ]


def _opened(codes: str, scale: str, base: str, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Codes of 4 bits, two a byte, opened and scaled; in float throughout, which every operator set knows."""
    _add(graph, {"unpack.16": np.float32(16), "unpack.8": np.float32(8)})
    return [
        _node("Cast", [codes], f"{base}.bytes", to=onnx.TensorProto.FLOAT),
        _node("Div", [f"{base}.bytes", "unpack.16"], f"{base}.parts"),
        _node("Floor", [f"{base}.parts"], f"{base}.high"),
        _node("Mul", [f"{base}.high", "unpack.16"], f"{base}.raised"),
        _node("Sub", [f"{base}.bytes", f"{base}.raised"], f"{base}.low"),
        _node("Concat", [f"{base}.low", f"{base}.high"], f"{base}.both", axis=-1),
        _node("Sub", [f"{base}.both", "unpack.8"], f"{base}.signed"),
        _node("Mul", [f"{base}.signed", scale], f"{base}.blocks"),
    ]


def _cut(target: str, shape: list[int], length: int, base: str, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Blocks laid end to end along the last axis, and cut where the last one was filled up."""
    _add(graph, {f"{base}.flat": np.asarray(shape, np.int64)})
    source = f"{base}.blocks"
    if length % _block(length) == 0:
        return [_node("Reshape", [source, f"{base}.flat"], target)]
    ends = {"from": [0], "to": [length], "axis": [len(shape) - 1]}
    _add(graph, {f"{base}.{name}": np.asarray(value, np.int64) for name, value in ends.items()})
    return [
        _node("Reshape", [source, f"{base}.flat"], f"{base}.long"),
        _node("Slice", [f"{base}.long", *(f"{base}.{name}" for name in ends)], target),
    ]


def _node(operator: str, inputs: list[str], output: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(operator, inputs, [output], name=name or f"{output}.{operator}", **attributes)


def _add(graph: onnx.GraphProto, tensors: Mapping[str, NDArray[np.generic] | np.generic]) -> None:
    known = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(values), name) for name, values in tensors.items() if name not in known
    )


def _ranks(model: onnx.ModelProto) -> Mapping[str, int]:
    """How many axes each tensor has, where the graph says."""
    values = (*model.graph.input, *model.graph.value_info)
    found = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
    return {**found, **{tensor.name: len(tensor.dims) for tensor in model.graph.initializer}}
