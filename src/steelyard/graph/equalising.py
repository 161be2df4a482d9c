"""Cross-layer equalisation: channels of neighbouring layers scaled so that one scale fits all, the function unchanged.

References:
    M. Nagel et al., Data-free quantization through weight equalization and bias correction, ICCV 2019 (section 4.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.graph.cleaning import drop_unread
from steelyard.graph.operators import attribute_of
from steelyard.graph.weighted import initializers, readers, set_values, values_of

ROUNDS = 10
"""Times that every pair is balanced: a layer between two others moves both."""

_THROUGH = {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool"}
"""Operators that a positive factor on a channel passes through unchanged."""

_NARROWEST = 1e-8


@dataclass(frozen=True, slots=True)
class Pair:
    """Two layers, the second of which alone reads what the first gives."""

    first: onnx.NodeProto
    second: onnx.NodeProto


def equalise(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """A copy that computes the same with ranges of weights alike across channels, and how many pairs were balanced.

    Pairs are two convolutions, or two Gemm, with only relu or pooling between them, whose weights nobody shares.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _own_biases(copy.graph)
    pairs = list(_pairs(copy.graph))
    stored = initializers(copy.graph)
    for _ in range(ROUNDS):
        for pair in pairs:
            _balance(stored, pair)
    return copy, len(pairs)


def _own_biases(graph: onnx.GraphProto) -> None:
    """Give every layer a bias of its own: exporters store equal ones once, and a factor would reach both layers."""
    stored = initializers(graph)
    by_input = readers(graph)
    for node in graph.node:
        name = node.input[2] if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 else ""
        if name in stored and len(by_input[name]) > 1:
            own = f"{name}.of.{node.name}"
            graph.initializer.append(numpy_helper.from_array(values_of(stored[name]), own))
            node.input[2] = own
    drop_unread(graph)


def _pairs(graph: onnx.GraphProto) -> Iterator[Pair]:
    by_input = readers(graph)
    stored = initializers(graph)
    outputs = {value.name for value in graph.output}
    for node in graph.node:
        if not _is_layer(node, stored, by_input):
            continue
        name, after = node.output[0], by_input.get(node.output[0], [])
        while len(after) == 1 and after[0].op_type in _THROUGH and name not in outputs:
            name = after[0].output[0]
            after = by_input.get(name, [])
        if len(after) != 1 or name in outputs or after[0].op_type != node.op_type:
            continue
        second = after[0]
        if second.input[0] == name and _is_layer(second, stored, by_input) and _fits(stored, node, second):
            yield Pair(node, second)


def _is_layer(
    node: onnx.NodeProto, stored: dict[str, onnx.TensorProto], by_input: dict[str, list[onnx.NodeProto]]
) -> bool:
    """Whether its weights and bias are stored and its own."""
    if node.op_type not in ("Conv", "Gemm") or (node.op_type == "Gemm" and attribute_of(node, "transA", 0)):
        return False
    return all(name in stored and len(by_input[name]) == 1 for name in node.input[1:] if name)


def _fits(stored: dict[str, onnx.TensorProto], first: onnx.NodeProto, second: onnx.NodeProto) -> bool:
    """Whether every channel of the first is one of the second; groups fit where each has one channel."""
    taken = stored[second.input[1]].dims
    groups = attribute_of(second, "group", 1)
    wide = taken[1 if attribute_of(second, "transB", 0) else 0] if second.op_type == "Gemm" else taken[1] * groups
    is_simple = groups == 1 or taken[1] == 1
    return bool(is_simple and wide == len(_rows(stored, first)))


def _rows(stored: dict[str, onnx.TensorProto], node: onnx.NodeProto) -> NDArray[np.float32]:
    """A layer's weights as (channels given, rest)."""
    values = values_of(stored[node.input[1]])
    if node.op_type == "Gemm" and not attribute_of(node, "transB", 0):
        values = values.T
    return values.reshape(len(values), -1)


def _balance(stored: dict[str, onnx.TensorProto], pair: Pair) -> None:
    """Give each channel the same range on both sides: factors √(r1 · r2) / r1, their inverse in the second layer."""
    first, second = pair.first, pair.second
    given = np.abs(_rows(stored, first)).max(1)
    values = values_of(stored[second.input[1]])
    is_deep = attribute_of(second, "group", 1) > 1
    # Depthwise, a channel's weights are its own row; otherwise its column.
    axis = 0 if is_deep or (second.op_type == "Gemm" and not attribute_of(second, "transB", 0)) else 1
    moved = np.moveaxis(values, axis, 0)
    taken = np.abs(moved.reshape(moved.shape[0], -1)).max(1)
    if is_deep:
        taken = taken.reshape(len(given), -1).max(1)
    is_used = (given > _NARROWEST) & (taken > _NARROWEST)
    factor = np.where(is_used, np.sqrt(given * taken) / np.maximum(given, _NARROWEST), 1.0).astype(np.float32)
    inverse = np.repeat(1 / factor, moved.shape[0] // len(factor)).astype(np.float32)
    shape = (-1, *[1] * (moved.ndim - 1))
    set_values(stored[second.input[1]], np.moveaxis(moved * inverse.reshape(shape), 0, axis))
    rows = values_of(stored[first.input[1]])
    place = 1 if first.op_type == "Gemm" and not attribute_of(first, "transB", 0) else 0
    spread = [1] * rows.ndim
    spread[place] = -1
    set_values(stored[first.input[1]], rows * factor.reshape(spread))
    if len(first.input) > 2 and first.input[2]:
        bias = values_of(stored[first.input[2]])
        set_values(stored[first.input[2]], bias * factor)
