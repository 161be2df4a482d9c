"""How what is kept of a tensor's axes follows from operator to operator, and what in an operator must change for it.

The rules walk a graph forwards. A tensor keeps of each of its axes all positions, or those of an index. Where an operator
holds sizes of its own (targets of Reshape, ends of Slice, groups of convolutions, hidden sizes), the rule rewrites them
from the index; where it can't be told, it says so. What meets a sliced axis and depends on no input of the model (masks,
scales, initial states) is cut to fit.
"""

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
"""For each element of a shape: the index of the sliced axis whose size it is, None where it is another size, False where
it was computed from the size of a sliced axis."""

_FEW = 64


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


@dataclass(slots=True, eq=False)
class Cut:
    """One slicing in the making, as one operator sees it.

    Attributes:
        facts: of the whole model.
        named: stored tensors that the caller named; they are cut as told and never beyond.
        arrays: stored tensors of the small model that differ from the whole one's.
        picked: what is kept of tensors.
        sizes: of shapes computed while the model runs, which elements are sizes of sliced axes.
        added: operators that were put in, each with the number of the one that it stands before.
        node: the operator, decoded, as the whole model has it.
        proto: the same in the small model.
    """

    facts: Facts
    named: frozenset[str]
    arrays: dict[str, NDArray[Any]]
    picked: dict[str, Picked]
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
            raise Resists(f"{whole!r} keeps all its channels where what it meets keeps {len(index)}")
        if whole in self.named:
            raise Resists(f"{whole!r} is given no slice of axis {axis}, where what it meets keeps {len(index)} channels")
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


Rule = Callable[[Cut], None]


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
        if any(axis in picked for axis in range(first, i)):
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


def _elementwise(cut: Cut) -> None:
    given = [slot for slot in range(len(cut.node.inputs)) if cut.has(slot)]
    rank = max(len(cut.shape(slot)) for slot in given)
    found: Picked = {}
    for slot in given:
        for axis, index in cut.of(slot).items():
            found.setdefault(axis + rank - len(cut.shape(slot)), index)
    for slot in given:
        shape = cut.shape(slot)
        for place, index in found.items():
            axis = place - rank + len(shape)
            if axis >= 0 and shape[axis] != 1:
                cut.want(slot, axis, index)
    cut.give(found)


def _first(cut: Cut) -> None:
    """The output keeps what the first input keeps; further inputs are settings."""
    cut.give(cut.of(0))


def _pooled(cut: Cut) -> None:
    if any(axis > 1 for axis in cut.of(0)):
        raise Resists("it runs along an axis that is sliced")
    for output in range(len(cut.node.outputs)):
        cut.give(cut.of(0), output)


def _normalised(cut: Cut) -> None:
    """Normalisation of each channel: scale, offset and statistics beside axis 1."""
    for slot in range(1, len(cut.node.inputs)):
        cut.meet(0, 1, slot, 0)
    cut.give(cut.of(0))


def _layer_normalised(cut: Cut) -> None:
    axis = cut.axis(-1)
    for slot in range(1, len(cut.node.inputs)):
        for place in range(axis, len(cut.shape())):
            if cut.has(slot):
                cut.meet(0, place, slot, place - axis)
    cut.give(cut.of(0))


def _convolved(cut: Cut) -> None:
    is_turned = cut.node.operator == "ConvTranspose"
    source, weight = cut.shape(), cut.shape(1)
    groups = int(cut.get("group", 1))
    _fit_kernel(cut)
    taken = cut.of(0).get(1, np.arange(source[1]))
    if is_turned:
        cut.meet(0, 1, 1, 0)
        taken = cut.of(0).get(1, np.arange(source[1]))
        kept, _ = grid(taken, (groups, source[1] // groups))
        inner = cut.of(1).get(1, np.arange(weight[1]))
        made = (kept[:, None] * weight[1] + inner).ravel()
        whole = groups * weight[1]
    else:
        if groups == 1:
            cut.meet(0, 1, 1, 1)
        made, whole = cut.of(1).get(0, np.arange(weight[0])), weight[0]
        kept, inner = grid(taken, (groups, source[1] // groups)) if groups > 1 else [np.zeros(1, np.int64), taken]
        rows, _ = grid(made, (groups, weight[0] // groups))
        if groups > 1 and not np.array_equal(rows, kept):
            raise Resists(f"it keeps {len(rows)} of its {groups} groups where its input keeps {len(kept)}")
        if groups > 1 and not np.array_equal(cut.of(1).get(1, np.arange(weight[1])), inner):
            raise Resists("its weights keep other channels of a group than its input")
    if len(kept) != groups:
        cut.set("group", len(kept))
    found = {axis: index for axis, index in cut.of(0).items() if axis != 1}
    if any(axis > 1 for axis in found):
        raise Resists("it runs along an axis that is sliced")
    if not np.array_equal(made, np.arange(whole)):
        found[1] = made
        if cut.has(2):
            cut.want(2, 0, made)
    elif cut.of(2):
        raise Resists(f"{cut.node.inputs[2]!r} keeps other channels than what it meets")
    cut.give(found)


def _fit_kernel(cut: Cut) -> None:
    """A part of a kernel: the taps that go were beyond its edge, so that much less padding is read."""
    picked = {axis - 2: index for axis, index in cut.of(1).items() if axis > 1}
    if not picked:
        return
    count = len(cut.shape(1)) - 2
    if cut.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
        raise Resists("its padding follows from its kernel (auto_pad), which is sliced")
    shape, pads = list(cut.shape(1)[2:]), list(cut.get("pads", [0] * 2 * count))
    stretch = list(cut.get("dilations", [1] * count))
    for axis, index in picked.items():
        if not np.array_equal(index, np.arange(index[0], index[0] + len(index))):
            raise Resists("what it keeps of its kernel is no block")
        pads[axis] -= int(index[0]) * stretch[axis]
        pads[count + axis] -= (shape[axis] - 1 - int(index[-1])) * stretch[axis]
        shape[axis] = len(index)
    if min(pads) < 0:
        raise Resists("less padding surrounds its input than its kernel loses")
    cut.set("kernel_shape", shape)
    cut.set("pads", pads)


def _gemm(cut: Cut) -> None:
    a, b = int(cut.get("transA", 0)), int(cut.get("transB", 0))
    cut.meet(0, 0 if a else 1, 1, 1 if b else 0)
    found = {0: cut.of(0).get(1 if a else 0), 1: cut.of(1).get(0 if b else 1)}
    picked = {axis: index for axis, index in found.items() if index is not None}
    if cut.has(2):
        shape = cut.shape(2)
        for axis, index in picked.items():
            place = axis - 2 + len(shape)
            if place >= 0 and shape[place] != 1:
                cut.want(2, place, index)
        if set(cut.of(2)) - {axis - 2 + len(shape) for axis in picked}:
            raise Resists(f"{cut.node.inputs[2]!r} keeps other channels than what it meets")
    cut.give(picked)


def _matmul(cut: Cut) -> None:
    left, right = len(cut.shape(0)), len(cut.shape(1))
    if min(left, right) < 2:
        raise Resists("it multiplies a vector")
    cut.meet(0, left - 1, 1, right - 2)
    rank = max(left, right)
    found: Picked = {}
    for slot, ndim in ((0, left), (1, right)):
        for axis in range(ndim - 2):
            if axis in cut.of(slot):
                found.setdefault(axis + rank - ndim, cut.of(slot)[axis])
    for slot, ndim in ((0, left), (1, right)):
        for place, index in found.items():
            axis = place - rank + ndim
            if axis >= 0 and cut.shape(slot)[axis] != 1:
                cut.want(slot, axis, index)
    for slot, axis, place in ((0, left - 2, rank - 2), (1, right - 1, rank - 1)):
        if axis in cut.of(slot):
            found[place] = cut.of(slot)[axis]
    cut.give(found)


def _einsum(cut: Cut) -> None:
    equation = cut.get("equation", b"")
    text = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    left, arrow, right = text.partition("->")
    if "." in text or not arrow:
        raise Resists(f"its equation {text!r} does not name every axis")
    terms = left.split(",")
    letters: dict[str, Index] = {}
    for slot, term in enumerate(terms):
        letters.update({term[axis]: index for axis, index in cut.of(slot).items()})
    for slot, term in enumerate(terms):
        for axis, letter in enumerate(term):
            if letter in letters:
                cut.want(slot, axis, letters[letter])
    cut.give({axis: letters[letter] for axis, letter in enumerate(right) if letter in letters})


def _transposed(cut: Cut) -> None:
    order = list(cut.get("perm", range(len(cut.shape()))[::-1]))
    cut.give({order.index(axis): index for axis, index in cut.of(0).items()})


def _refolded(cut: Cut) -> None:
    """Flatten, Squeeze and Unsqueeze: their sizes follow by themselves."""
    cut.give(refold(cut.shape(), cut.of(0), cut.facts.shape(cut.node.outputs[0])))


def _reshaped(cut: Cut) -> None:
    """Every size that is fixed is written anew; a free one is copied from its place, left, or the one that is told."""
    name, source, before = cut.node.outputs[0], cut.node.inputs[0], cut.shape()
    after = cut.facts.shape(name)
    if cut.get("allowzero", 0):
        raise Resists("its target may hold zeros (allowzero)")
    picked = refold(before, cut.of(0), after)
    target: list[int | None] = []
    is_constant = cut.node.inputs[1] in cut.facts.arrays
    for axis, size in enumerate(after):
        is_copied = axis < len(before) and before[axis] == size and axis not in cut.of(0)
        if not cut.facts.is_free(name, axis):
            target.append(len(picked[axis]) if axis in picked else size)
        elif axis not in picked and is_copied and cut.facts.is_free(source, axis):
            target.append(0)
        else:
            target.append(-1 if axis in picked or is_constant else None)
    if target.count(None) == 1 and -1 not in target:
        target[target.index(None)] = -1
    if target.count(-1) > 1:
        raise Resists("more than one of its sizes is free")
    cut.mix(1, target)
    cut.give(picked)


def _expanded(cut: Cut) -> None:
    name, before = cut.node.outputs[0], cut.shape()
    after = cut.facts.shape(name)
    shift = len(after) - len(before)
    picked = {axis + shift: index for axis, index in cut.of(0).items()}
    sizes = cut.sizes.get(cut.node.inputs[1], (None,) * len(after))
    target: list[int | None] = []
    for axis, size in enumerate(after):
        if axis >= shift and before[axis - shift] == size:
            target.append(1)
            continue
        told = sizes[axis - len(after) + len(sizes)] if axis - len(after) + len(sizes) >= 0 else None
        if told is False:
            raise Resists("its target is computed from the size of a sliced axis")
        if told is not None and told is not True:
            picked[axis] = told
        target.append(None if cut.facts.is_free(name, axis) else len(picked[axis]) if axis in picked else size)
    if cut.node.inputs[1] in cut.facts.arrays:
        target = [size if each is None else each for each, size in zip(target, after, strict=True)]
    cut.mix(1, target)
    cut.give(picked)


def _filled(cut: Cut) -> None:
    sizes = cut.sizes.get(cut.node.inputs[0], ())
    if False in [each for each in sizes if isinstance(each, bool)]:
        raise Resists("its shape is computed from the size of a sliced axis")
    cut.give({axis: each for axis, each in enumerate(sizes) if each is not None and not isinstance(each, bool)})


def _concatenated(cut: Cut) -> None:
    axis = cut.axis(0)
    given = range(len(cut.node.inputs))
    found = {each: index for slot in given for each, index in cut.of(slot).items() if each != axis}
    for slot in given:
        for each, index in found.items():
            try:
                cut.want(slot, each, index)
            except Resists as error:
                raise Resists(f"its inputs keep different channels of axis {each}") from error
    if any(axis in cut.of(slot) for slot in given):
        parts, start = [], 0
        for slot in given:
            size = cut.shape(slot)[axis]
            parts.append(cut.of(slot).get(axis, np.arange(size)) + start)
            start += size
        found[axis] = np.concatenate(parts)
    cut.give(found)


def _split(cut: Cut) -> None:
    axis = cut.axis(0)
    index = cut.of(0).get(axis)
    rest = {each: kept for each, kept in cut.of(0).items() if each != axis}
    if index is None:
        for output in range(len(cut.node.outputs)):
            cut.give(rest, output)
        return
    sizes, start = [], 0
    for output, name in enumerate(cut.node.outputs):
        size = cut.facts.shape(name)[axis]
        part, _ = _part(index, start, start + size)
        cut.give({**rest, **({} if len(part) == size else {axis: part})}, output)
        sizes.append(len(part))
        start += size
    if "split" in cut.node.attributes:
        cut.set("split", sizes)
    else:
        cut.put(1, sizes)


def _part(index: Index, start: int, end: int) -> tuple[Index, int]:
    """What is kept of a part of an axis, counted from its start, and where that begins among what is kept of all."""
    places = np.flatnonzero((index >= start) & (index < end))
    if not len(places):
        raise Resists("nothing is kept of a part that it takes")
    if places[-1] - places[0] + 1 != len(places):
        raise Resists("what is kept of a part that it takes does not lie together")
    return index[places] - start, int(places[0])


def _sliced(cut: Cut) -> None:
    picked = dict(cut.of(0))
    shape = cut.shape()
    axes = [each + len(shape) if each < 0 else each for each in cut.numbers(3, "axes", range(len(shape)))]
    if any(slot < len(cut.node.inputs) and cut.node.inputs[slot] in cut.sizes for slot in (1, 2)) and not (
        set(axes) <= set(picked)
    ):
        raise Resists("its ends are computed from the size of a sliced axis")
    if not set(axes) & set(picked):
        cut.give(picked)
        return
    starts, ends = cut.numbers(1, "starts"), cut.numbers(2, "ends")
    steps = cut.numbers(4, "steps", [1] * len(axes))
    for number, axis in enumerate(axes):
        if axis not in picked:
            continue
        if steps[number] != 1:
            raise Resists("it takes every so many-th of the channels of a sliced axis")
        start, end, _ = slice(starts[number], ends[number]).indices(shape[axis])
        part, first = _part(picked[axis], start, end)
        starts[number], ends[number] = first, first + len(part)
        picked[axis] = part
        if len(part) == end - start:
            del picked[axis]
    for slot, name, value in ((1, "starts", starts), (2, "ends", ends)):
        if cut.has(slot):
            cut.put(slot, value)
        else:
            cut.set(name, value)
    cut.give(picked)


def _gathered(cut: Cut) -> None:
    axis, taken = cut.axis(0), len(cut.shape(1))
    if cut.of(1):
        raise Resists("it looks up by what is sliced")
    index = cut.of(0).get(axis)
    found = {
        each if each < axis else each + taken - 1: kept for each, kept in cut.of(0).items() if each != axis
    }
    if index is not None:
        if taken > 1 or cut.node.inputs[1] not in cut.facts.arrays:
            raise Resists("it looks up along a sliced axis")
        size = cut.shape()[axis]
        wanted = np.array(cut.numbers(1)) % size
        where = {int(each): place for place, each in enumerate(index)}
        stays = [number for number, each in enumerate(wanted.tolist()) if each in where]
        if not stays or (taken == 0 and len(stays) != 1):
            raise Resists("nothing is kept of what it takes")
        new = np.array([where[int(wanted[number])] for number in stays], np.int64)
        cut.proto.input[1] = cut.constant(new if taken else new.reshape(()), cut.node.inputs[1])
        if taken and len(stays) < len(wanted):
            found[axis] = np.array(stays, np.int64)
    cut.give(found)


def _reduced(cut: Cut) -> None:
    shape = cut.shape()
    axes = cut.numbers(1, "axes", [] if cut.get("noop_with_empty_axes", 0) else range(len(shape)))
    gone = {each + len(shape) if each < 0 else each for each in axes}
    left = [axis for axis in range(len(shape)) if axis not in gone]
    keeps = bool(cut.get("keepdims", 1))
    cut.give({axis if keeps else left.index(axis): index for axis, index in cut.of(0).items() if axis not in gone})


def _chosen(cut: Cut) -> None:
    """ArgMax and ArgMin: positions along a sliced axis mean others than before."""
    axis = cut.axis(0)
    if axis in cut.of(0):
        raise Resists("it numbers the channels of a sliced axis")
    keeps = bool(cut.get("keepdims", 1))
    cut.give({each if keeps or each < axis else each - 1: index for each, index in cut.of(0).items()})


def _padded(cut: Cut) -> None:
    picked = cut.of(0)
    pads = cut.numbers(1, "pads")
    axes = cut.numbers(3, "", range(len(cut.shape()))) if cut.has(3) else list(range(len(cut.shape())))
    for number, axis in enumerate(axes):
        if axis in picked and (pads[number] or pads[len(axes) + number]):
            raise Resists("it pads a sliced axis")
    cut.give(picked)


def _resized(cut: Cut) -> None:
    if any(axis > 1 for axis in cut.of(0)):
        raise Resists("it runs along an axis that is sliced")
    sizes = cut.facts.arrays.get(cut.node.inputs[3]) if cut.has(3) else None
    if sizes is not None and len(sizes) == len(cut.shape()):
        cut.put(3, [len(cut.of(0)[axis]) if axis in cut.of(0) else int(each) for axis, each in enumerate(sizes)])
    cut.give(cut.of(0))


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _recurred(cut: Cut) -> None:
    """LSTM, GRU and RNN: weights (directions, gates · hidden, in), one hidden size for both directions."""
    if cut.get("layout", 0):
        raise Resists("its batch comes first (layout)")
    if any(axis == 0 for slot in (1, 2, 3) for axis in cut.of(slot)):
        raise Resists("one of its directions is sliced away")
    gates = GATES[cut.node.operator]
    cut.meet(0, 2, 1, 2)
    whole = cut.shape(2)[2]
    rows = cut.of(1).get(1, np.arange(gates * whole))
    kept, hidden = grid(rows, (gates, whole))
    if len(kept) != gates:
        raise Resists("one of its gates is sliced away")
    cut.meet(1, 1, 2, 1)
    picked: Picked = {}
    if len(hidden) < whole or not np.array_equal(hidden, np.arange(whole)):
        picked = {3: hidden}
        cut.want(2, 2, hidden)
        if cut.has(3):
            cut.want(3, 1, (np.arange(2 * gates)[:, None] * whole + hidden).ravel())
        for slot in (5, 6):
            if cut.has(slot):
                cut.want(slot, 2, hidden)
        if cut.has(7):
            raise Resists("it has peepholes")
        cut.set("hidden_size", len(hidden))
    elif any(cut.of(slot) for slot in (2, 3, 5, 6)):
        raise Resists("its weights keep different channels")
    cut.give(picked)
    for output in (1, 2):
        cut.give({axis - 1: index for axis, index in picked.items()}, output)


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            "Add Sub Mul Div Pow Min Max Sum Mean Mod Where PRelu Equal Less Greater LessOrEqual GreaterOrEqual And Or "
            "Xor BitShift"
        ).split(),
        _elementwise,
    ),
    **dict.fromkeys(
        (
            "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Mish Gelu ThresholdedRelu "
            "Erf Exp Log Sqrt Reciprocal Neg Abs Sign Floor Ceil Round Sin Cos Tan Sinh Cosh Asin Acos Atan Not IsNaN "
            "IsInf Cast CastLike Identity Dropout Clip Softmax LogSoftmax Hardmax CumSum Swish"
        ).split(),
        _first,
    ),
    **dict.fromkeys(
        "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool LRN".split(),
        _pooled,
    ),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), _normalised),
    "LayerNormalization": _layer_normalised,
    **dict.fromkeys(("Conv", "ConvTranspose"), _convolved),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Einsum": _einsum,
    "Transpose": _transposed,
    **dict.fromkeys(("Flatten", "Squeeze", "Unsqueeze"), _refolded),
    "Reshape": _reshaped,
    "Expand": _expanded,
    "ConstantOfShape": _filled,
    "Concat": _concatenated,
    "Split": _split,
    "Slice": _sliced,
    "Gather": _gathered,
    **dict.fromkeys(
        (
            "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum "
            "ReduceLogSumExp"
        ).split(),
        _reduced,
    ),
    **dict.fromkeys(("ArgMax", "ArgMin"), _chosen),
    "Pad": _padded,
    "Resize": _resized,
    **dict.fromkeys(GATES, _recurred),
}
"""What each operator of ONNX does to what is kept; one that is not here must meet nothing sliced."""


def follow_sizes(cut: Cut) -> bool:
    """Follow sizes of sliced axes through the computing of shapes; whether the operator only did that."""
    operator, name = cut.node.operator, cut.node.outputs[0] if cut.node.outputs else ""
    if operator == "Shape":
        rank = len(cut.shape())
        places = range(rank)[slice(cut.get("start", 0), cut.get("end", None))]
        cut.sizes[name] = tuple(cut.of(0).get(axis) for axis in places)
        return True
    told = {each: cut.sizes[each] for each in cut.node.inputs if each in cut.sizes}
    if operator == "Size" and cut.of(0):
        cut.sizes[name] = (False,)
        return True
    if not told or name in cut.facts.fed or operator in ("Reshape", "Expand", "ConstantOfShape") and not (
        cut.node.inputs[0] in told and operator == "Reshape"
    ):
        return False
    try:
        cut.sizes[name] = _followed(cut, told)
    except (Resists, KeyError, IndexError, ValueError):
        count = math.prod(cut.facts.shapes.get(name, (_FEW,)))
        cut.sizes[name] = (False,) * min(count, _FEW)
    return not any(cut.of(slot) for slot in range(len(cut.node.inputs)))


def _followed(cut: Cut, told: Mapping[str, Sizes]) -> Sizes:
    """The elements of a computed shape."""
    first = told.get(cut.node.inputs[0])
    if cut.node.operator in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape") and first is not None:
        return first
    if cut.node.operator == "Gather" and first is not None:
        return tuple(first[each] for each in cut.numbers(1))
    if cut.node.operator == "Slice" and first is not None:
        step = cut.numbers(4, "steps", [1])[0]
        return first[slice(cut.numbers(1, "starts")[0], cut.numbers(2, "ends")[0], step)]
    if cut.node.operator == "Concat":
        found: list[Index | bool | None] = []
        for each in cut.node.inputs:
            found.extend(told.get(each, (None,) * math.prod(cut.facts.shape(each))))
        return tuple(found)
    if cut.node.operator == "Where" and cut.node.inputs[0] not in told:
        count = math.prod(cut.facts.shape(cut.node.outputs[0]))
        sides = [told.get(each, (None,) * count) for each in cut.node.inputs[1:]]
        return tuple(one if one is not None else other for one, other in zip(*sides, strict=True))
    if cut.node.operator == "Equal":
        # Whether a size is -1 is asked before a tensor is expanded: no size is.
        return (None,) * math.prod(cut.facts.shape(cut.node.outputs[0]))
    raise Resists("it computes with sizes")
