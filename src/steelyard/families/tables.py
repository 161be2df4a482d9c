"""A learned table as an ONNX file: rows of observations in, the row of action values of their state out."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from steelyard.core.task import Array
from steelyard.families.bins import Bins

OPSET, IR_VERSION = 17, 8
"""Those of the files that torch's exporter writes here; every runtime that the package admits reads them."""
WORD = {4: 15, 8: 255}
"""The largest level of an entry of so many bits."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A table ready to be written.

    Attributes:
        entries: (rows, actions) float32; or (rows, actions) uint8 levels below the best of the row; or, of 4 bits,
            (rows, half the actions) uint8 with two levels each, the first half of the actions in the lower bits.
        actions: how many there are.
        step: what a level is worth; 0 where entries are values.
        index: (states,) which row a state has; None where each has its own.
    """

    entries: Array
    actions: int
    step: float = 0.0
    index: Array | None = None

    @property
    def is_paired(self) -> bool:
        """Whether two levels share a byte."""
        return self.step > 0 and self.entries.shape[1] < self.actions


def packed(table: Array, visits: Array, *, rows: int, bits: int) -> Packed:
    """A table with fewer rows and smaller entries, its greedy policy unchanged.

    Args:
        table: (states, actions) action values.
        visits: (states,) how often each state was met.
        rows: that are kept; a row for each state where they are as many.
        bits: of an entry: 32 keeps values as they are. With 8 or 4 an entry is how far the action is behind the best
            of its row, in even levels.
    """
    index = None
    if rows < len(table):
        table, index = aggregated(table, visits, rows=rows)
    if bits == 32:
        return Packed(table.astype(np.float32), table.shape[1], index=index)
    levels, step = below_the_best(table, WORD[bits])
    return Packed(_paired(levels) if bits == 4 else levels, table.shape[1], step, index)


def below_the_best(table: Array, most: int) -> tuple[Array, float]:
    """Levels (rows, actions) uint8 that each entry lies below the best of its row, and what a level is worth.

    The best has level 0 and every worse one at least 1, so decisions stay what they are. The largest difference has
    the last level.
    """
    behind = table.max(axis=1, keepdims=True) - table
    step = float(behind.max()) / most or 1.0
    # Rounded up: what is worse by however little must not become as good.
    levels = np.ceil(np.round(behind / step, 6))
    return np.where(behind > 0, np.clip(levels, 1, most), 0).astype(np.uint8), step


def aggregated(table: Array, visits: Array, *, rows: int) -> tuple[Array, Array]:
    """A table of fewer rows, and which of them each state has: states with the same best action and like values.

    Rows are shared among the best actions by how much the values of their states differ; within each, states are put
    together by k-means weighted by visits (at least once). Every action that is the best anywhere has a row, so
    there may be more rows than asked for.

    Args:
        table: (states, actions).
        visits: (states,).
        rows: to keep.

    Returns:
        The rows (k, actions), each the mean of its states, and their index (states,) int64.

    References:
        Li, Walsh, Littman: Towards a unified theory of state abstraction for MDPs, Symposium on Artificial
        Intelligence and Mathematics, 2006 (abstractions that keep the best action).
        Lloyd: Least squares quantization in PCM, IEEE Transactions on Information Theory, 1982.
    """
    best = table.argmax(axis=1)
    weights = np.maximum(visits, 1).astype(np.float64)
    members = [np.flatnonzero(best == action) for action in np.unique(best)]
    shares = _shares(table, weights, members, rows)
    index = np.zeros(len(table), dtype=np.int64)
    kept: list[Array] = []
    for states, share in zip(members, shares, strict=True):
        centres, own = clustered(table[states], weights[states], share)
        index[states] = own + sum(len(each) for each in kept)
        kept.append(centres)
    return np.concatenate(kept), index


def clustered(rows: Array, weights: Array, count: int) -> tuple[Array, Array]:
    """At most `count` centres (k, width) of weighted rows (n, width) and the centre of each row (n,).

    Begins from the rows farthest from all centres so far, the heaviest first, so it needs no chance.
    """
    centres = [rows[int(np.argmax(weights))]]
    apart = np.square(rows - centres[0]).sum(axis=1)
    while len(centres) < count and apart.max() > 0:
        centres.append(rows[int(np.argmax(apart * weights))])
        apart = np.minimum(apart, np.square(rows - centres[-1]).sum(axis=1))
    found = np.array(centres)
    for _ in range(25):
        own = _nearest(rows, found)
        heavy = np.bincount(own, weights, len(found))[:, None]
        sums = np.stack([np.bincount(own, weights * column, len(found)) for column in rows.T], axis=1)
        moved = np.where(heavy > 0, sums / np.maximum(heavy, 1e-300), found)
        if np.array_equal(moved, found):
            break
        found = moved
    return found, _nearest(rows, found)


def write_table(table: Packed, bins: Bins, path: Path) -> None:
    """Write the ONNX file: `x` (n, columns) float32 in, `y` (n, actions) float32 out.

    Args:
        table: what is looked up.
        bins: how rows become states; computed in the file.
        path: where it goes.
    """
    graph = _Graph([], [])
    place = graph.state_of("x", bins)
    if table.index is not None:
        small = np.uint8 if len(table.entries) <= 256 else np.uint16 if len(table.entries) <= 65_536 else np.int32
        found = graph.node("Gather", [graph.constant(table.index.astype(small)), place], axis=0)
        place = graph.node("Cast", [found], to=TensorProto.INT32)
    row = graph.node("Gather", [graph.constant(table.entries), place], axis=0)
    graph.values_of(row, table)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "table",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", len(bins.sizes)])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", table.actions])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="steelyard",
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@dataclass(frozen=True, slots=True)
class _Graph:
    """Nodes and constants as they come, named by their number."""

    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]

    def node(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, array: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def state_of(self, x: str, bins: Bins) -> str:
        """The number of the state (n,) of rows (n, columns), held within the table whatever the rows hold."""
        found = x
        if not bins.are_codes:
            scales, offsets = (np.array(each, dtype=np.float32) for each in (bins.scales, bins.offsets))
            found = self.node("Mul", [found, self.constant(scales)])
            found = self.node("Floor", [self.node("Add", [found, self.constant(offsets)])])
        if len(bins.sizes) > 1:
            found = self.node("Max", [found, self.number(0.0)])
            found = self.node("Min", [found, self.constant(np.array(bins.sizes, dtype=np.float32) - 1)])
        # Whole numbers below 2^24 are exact in float32.
        found = self.node("MatMul", [found, self.constant(np.array(bins.strides, dtype=np.float32))])
        found = self.node("Cast", [found], to=TensorProto.INT32)
        lowest, highest = (self.constant(np.array(each, dtype=np.int32)) for each in (0, bins.count - 1))
        return self.node("Clip", [found, lowest, highest])

    def values_of(self, row: str, table: Packed) -> None:
        """Float32 values `y` of the entries looked up."""
        if not table.step:
            self.nodes[-1].output[0] = "y"
            return
        levels = self.node("Cast", [row], to=TensorProto.FLOAT)
        if table.is_paired:
            high = self.node("Floor", [self.node("Mul", [levels, self.number(1 / 16)])])
            low = self.node("Sub", [levels, self.node("Mul", [high, self.number(16.0)])])
            levels = self.node("Concat", [low, high], axis=1)
            if table.actions % 2:
                ends = (np.array([each], dtype=np.int64) for each in (0, table.actions, 1))
                levels = self.node("Slice", [levels, *map(self.constant, ends)])
        self.node("Mul", [levels, self.number(-table.step)], output="y")


def _paired(levels: Array) -> Array:
    """Two levels a byte: the first half of the actions in the lower bits, the second in the upper."""
    half = math.ceil(levels.shape[1] / 2)
    padded = np.pad(levels, ((0, 0), (0, 2 * half - levels.shape[1])))
    joined: Array = padded[:, :half] + 16 * padded[:, half:]
    return joined


def _shares(table: Array, weights: Array, members: list[Array], rows: int) -> list[int]:
    """Rows for each best action: one, and of what is left as many as its states' deviation asks for."""
    spread = []
    for states in members:
        centre = np.average(table[states], axis=0, weights=weights[states])
        apart = np.square(table[states] - centre).sum(axis=1)
        spread.append(float(np.sqrt((weights[states] * apart).sum())))
    total = sum(spread) or 1.0
    left = max(0, rows - len(members))
    return [min(len(states), 1 + math.floor(left * own / total)) for states, own in zip(members, spread, strict=True)]


def _nearest(rows: Array, centres: Array) -> Array:
    """The nearest centre of each row (n,), in parts so that memory stays small."""
    norms = np.square(centres).sum(axis=1)
    parts = [norms - 2 * rows[start : start + 4096] @ centres.T for start in range(0, len(rows), 4096)]
    found: Array = np.concatenate([part.argmin(axis=1) for part in parts])
    return found
