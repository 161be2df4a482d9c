"""What is kept of axes while a graph is cut: the state that rules read and write, and arithmetic of indices."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from steelyard.graph.shaperules import Node, Shape

Index = NDArray[np.int64]
Picked = dict[int, Index]
"""The positions kept along each axis that does not keep all, in the order in which they are kept."""

Sizes = tuple["Index | bool | None", ...]
"""For each element of a shape: the index of the sliced axis whose size it is, None where it is another size, False
where it was computed from the size of a sliced axis."""


class Resists(Exception):  # noqa: N818 - caught where the operator's name is known
    """A rule can't tell what becomes of its operator."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known of the whole model's tensors before anything is cut.

    Attributes:
        shapes: by name, at one size of the free axes.
        others: the same at other sizes, which tells free axes from fixed ones.
        values: small tensors whose values do not depend on free axes.
        arrays: stored tensors.
        fed: names of what depends on the values of the model's inputs.
    """

    shapes: Mapping[str, Shape]
    others: Mapping[str, Shape]
    values: Mapping[str, NDArray[Any]]
    arrays: Mapping[str, NDArray[Any]]
    fed: frozenset[str]

    def shape(self, name: str) -> Shape:
        """The whole shape of a tensor."""
        if name not in self.shapes:
            raise Resists(f"the shape of {name!r} is not known")
        return self.shapes[name]

    def is_free(self, name: str, axis: int) -> bool:
        """Whether an axis has the size of the batch, or one that follows from it."""
        other = self.others.get(name)
        return other is None or other[axis] != self.shape(name)[axis]


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """The operators of the whole model in order, which of them makes each tensor, and how many read it."""

    nodes: tuple[Node, ...] = ()
    makers: Mapping[str, int] = field(default_factory=dict)
    reads: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Cut:
    """One slicing in the making, as one operator sees it.

    Attributes:
        facts: of the whole model.
        named: stored tensors that the caller named; they are cut as told and never beyond.
        arrays: stored tensors of the small model that differ from the whole one's.
        picked: what is kept of tensors.
        flow: the whole model's operators.
        protos: the same in the small model.
        spread: cuts a tensor that was made already, or says why not.
        sizes: of shapes computed while the model runs, which elements are sizes of sliced axes.
        added: operators that were put in, each with the number of the one that it stands before.
        node: the operator, decoded, as the whole model has it.
        proto: the same in the small model.
    """

    facts: Facts
    named: frozenset[str]
    arrays: dict[str, NDArray[Any]]
    picked: dict[str, Picked]
    flow: Flow
    protos: Sequence[onnx.NodeProto]
    spread: Callable[["Cut", str, Picked], None]
    sizes: dict[str, Sizes] = field(default_factory=dict)
    added: list[tuple[int, onnx.NodeProto]] = field(default_factory=list)
    node: Node = field(default_factory=lambda: Node("", "", (), (), {}))
    proto: onnx.NodeProto = field(default_factory=onnx.NodeProto)
    number: int = 0

    def has(self, slot: int) -> bool:
        """Whether an input is given."""
        return slot < len(self.node.inputs) and self.node.inputs[slot] != ""

    def shape(self, slot: int = 0) -> Shape:
        """Shape of an input in the whole model."""
        return self.facts.shape(self.node.inputs[slot])

    def of(self, slot: int) -> Picked:
        """What an input keeps."""
        return self.picked.get(self.proto.input[slot], {}) if self.has(slot) else {}

    def get(self, name: str, default: Any) -> Any:
        """An attribute."""
        return self.node.attributes.get(name, default)

    def axis(self, default: int, slot: int = 0) -> int:
        """The attribute `axis`, from the front."""
        found = int(self.get("axis", default))
        return found + len(self.shape(slot)) if found < 0 else found

    def numbers(self, slot: int, attribute: str = "", default: Sequence[int] | None = None) -> list[int]:
        """Integers from an input whose value is known, or from an attribute."""
        if self.has(slot) and self.node.inputs[slot] in self.facts.arrays:
            return [int(each) for each in np.ravel(self.facts.arrays[self.node.inputs[slot]])]
        if self.has(slot):
            if self.node.inputs[slot] not in self.facts.values:
                raise Resists(f"{self.node.inputs[slot]!r} is computed while the model runs")
            return [int(each) for each in np.ravel(self.facts.values[self.node.inputs[slot]])]
        found = self.node.attributes.get(attribute, default)
        if found is None:
            raise Resists(f"its {attribute or 'sizes'} are not given")
        return [int(each) for each in np.ravel(found)]

    def give(self, picked: Picked, output: int = 0) -> None:
        """What an output keeps."""
        if picked and output < len(self.node.outputs) and self.node.outputs[output]:
            self.picked[self.node.outputs[output]] = dict(picked)

    def want(self, slot: int, axis: int, index: Index) -> None:
        """See to it that an input keeps an index along an axis."""
        have = self.of(slot).get(axis)
        if have is None:
            self._cut_input(slot, axis, index)
        elif not np.array_equal(have, index):
            raise Resists(f"{self.node.inputs[slot]!r} keeps other channels than what it meets")

    def meet(self, slot: int, axis: int, other: int, other_axis: int) -> Index | None:
        """See to it that two inputs keep the same along an axis each; returns that."""
        index = self.of(slot).get(axis)
        if index is None:
            index = self.of(other).get(other_axis)
            if index is not None:
                self.want(slot, axis, index)
        else:
            self.want(other, other_axis, index)
        return index

    def _cut_input(self, slot: int, axis: int, index: Index) -> None:
        name, whole = self.proto.input[slot], self.node.inputs[slot]
        if whole in self.facts.fed:
            try:
                self.spread(self, whole, {axis: index})
            except Resists as error:
                raise Resists(f"{whole!r} keeps all its channels where what it meets keeps {len(index)}") from error
            return
        if whole in self.named:
            raise Resists(
                f"{whole!r} is given no slice of axis {axis}, where what it meets keeps {len(index)} channels"
            )
        if self.facts.is_free(whole, axis):
            raise Resists(f"{whole!r} has a free size where what it meets keeps {len(index)} channels")
        stored = self.arrays.get(name, self.facts.arrays.get(name))
        if stored is not None:
            new = self.constant(stored.take(index, axis), whole)
        else:
            new = f"{whole}/kept_{len(self.added)}"
            at = self.constant(index, whole)
            made = helper.make_node("Gather", [name, at], [new], f"{self.node.name}/kept_{len(self.added)}", axis=axis)
            self.added.append((self.number, made))
        self.picked[new] = {**self.picked.get(name, {}), axis: index}
        self.proto.input[slot] = new

    def constant(self, value: NDArray[Any], like: str) -> str:
        """Store a tensor; returns its name."""
        name = f"{like}/cut_{len(self.arrays)}"
        self.arrays[name] = value
        return name

    def put(self, slot: int, value: Sequence[int]) -> None:
        """Store integers as an input."""
        while len(self.proto.input) <= slot:
            self.proto.input.append("")
        at = self.proto.input[slot] or f"{self.node.name}/input_{slot}"
        self.proto.input[slot] = self.constant(np.array(value, np.int64), at)

    def mix(self, slot: int, known: Sequence[int | None]) -> None:
        """Replace the known elements of a shape that is an input; the others stay as they are computed."""
        if None not in known:
            self.put(slot, [int(each or 0) for each in known])
            return
        before = self.proto.input[slot]
        is_known = self.constant(np.array([each is not None for each in known]), before)
        values = self.constant(np.array([each or 0 for each in known], np.int64), before)
        new = f"{self.node.name}/shape_{len(self.added)}"
        self.added.append((self.number, helper.make_node("Where", [is_known, values, before], [new], new)))
        self.proto.input[slot] = new

    def set(self, name: str, value: Any) -> None:
        """Set an attribute."""
        for place, each in enumerate(self.proto.attribute):
            if each.name == name:
                del self.proto.attribute[place]
                break
        self.proto.attribute.append(helper.make_attribute(name, value))


def refold(before: Shape, picked: Picked, after: Shape) -> Picked:
    """What is kept after the axes of a tensor were merged and split in order. O(sizes of the axes that change).

    Args:
        before: the whole shape.
        picked: what is kept of it.
        after: the whole shape that it gets.

    Raises:
        Resists: if what is kept of an axis that is split is no grid of what its parts keep.
    """
    found: Picked = {}
    i = j = 0
    while i < len(before) or j < len(after):
        first, start = i, j
        i, j = min(i + 1, len(before)), min(j + 1, len(after))
        while math.prod(before[first:i]) != math.prod(after[start:j]):
            if math.prod(before[first:i]) < math.prod(after[start:j]) and i < len(before):
                i += 1
            elif j < len(after):
                j += 1
            else:
                raise Resists(f"its shapes {before} and {after} do not fit")
        if start < j and any(axis in picked for axis in range(first, i)):
            index = np.zeros(1, np.int64)
            for axis in range(first, i):
                step = picked.get(axis, np.arange(before[axis]))
                index = (index[:, None] * before[axis] + step).ravel()
            for axis, part in zip(range(start, j), grid(index, after[start:j]), strict=True):
                if not np.array_equal(part, np.arange(after[axis])):
                    found[axis] = part
    return found


def grid(index: Index, sizes: Shape) -> list[Index]:
    """What is kept along each of the axes that one axis is split into.

    Raises:
        Resists: if the index is no grid.
    """
    found = []
    for number in range(len(sizes) - 1):
        rest = math.prod(sizes[number + 1 :])
        count = len(np.unique(index // rest))
        if len(index) % max(count, 1):
            raise Resists("what is kept of an axis that it splits is no grid")
        table = index.reshape(count, -1)
        rows, index = table[:, 0] // rest, table[0] % rest
        if not np.array_equal(table, rows[:, None] * rest + index):
            raise Resists("what is kept of an axis that it splits is no grid")
        found.append(rows)
    return [*found, index]


def part_of(index: Index, start: int, end: int) -> tuple[Index, int]:
    """What is kept of a part of an axis, counted from its start, and where that begins among what is kept of all."""
    places = np.flatnonzero((index >= start) & (index < end))
    if not len(places):
        raise Resists("nothing is kept of a part that it takes")
    if places[-1] - places[0] + 1 != len(places):
        raise Resists("what is kept of a part that it takes does not lie together")
    return index[places] - start, int(places[0])
