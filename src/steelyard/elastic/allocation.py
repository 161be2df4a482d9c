"""How many channels each group keeps so that a share of the multiply-accumulates is left."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.elastic.groups import Anatomy, Group
from steelyard.elastic.importance import best_of

FLOOR = 0.08
"""The least share of its channels that a group keeps: a layer of next to none lets nothing through."""
SMALL_ROUND = 4
"""Groups too small for the rounding asked are rounded to this many: the floats of the narrowest vector kernels."""

READ, WRITTEN = 11.0, 27.0
"""What reading a stored number and writing a result take, in multiply-accumulates, one row an inference.

Fitted to kernels of ONNX Runtime 1.31 with AVX-512 on one core: .011 ns a multiply-accumulate, .12 ns a weight, .3 ns
an output. A dense layer of 803k weights takes 109 µs, a convolution of 3.6 M multiply-accumulates of 18k weights 35 µs.
"""
Of = Literal["macs", "time"]
"""What a share to keep is a share of."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Groups that shrink together, and the sizes that the smallest of them may have, falling."""

    groups: tuple[Group, ...]
    sizes: tuple[int, ...]

    def counts(self, size: int) -> dict[str, int]:
        """How many channels each of the groups keeps where the smallest keeps `size`."""
        return {each.name: size * each.step for each in self.groups}


def units_of(groups: Sequence[Group], round_to: int) -> tuple[Unit, ...]:
    """Groups by what must shrink together, with sizes rounded to what vector kernels like.

    Multiples of `round_to` where a group has twice as many or more, of 4 where it has 8 or more, and any size below;
    the full size always. At least 8 % and one.
    """
    sets: dict[str, list[Group]] = {}
    for each in groups:
        sets.setdefault(each.alike or f" {each.name}", []).append(each)
    return tuple(
        Unit(tuple(each), _sizes(min(one.size // one.step for one in each), round_to)) for each in sets.values()
    )


def _sizes(full: int, round_to: int) -> tuple[int, ...]:
    by = next((each for each in (round_to, min(SMALL_ROUND, round_to)) if full >= 2 * each), 1)
    least = max(1, int(np.ceil(FLOOR * full)))
    multiples = [size for size in range(by, full, by) if size >= least]
    return (full, *reversed(multiples))


class Arithmetic:
    """Multiply-accumulates by the number of channels each group keeps. One evaluation is O(operators · groups)."""

    def __init__(self, anatomy: Anatomy) -> None:
        """Read how many positions of each operator's axes stand for a channel of each group."""
        self.names = [each.name for each in anatomy.groups]
        size = {each.name: each.size for each in anatomy.groups}
        axes = [axis for term in anatomy.terms for axis in term.axes]
        self.each = np.array([term.each for term in anatomy.terms])
        self.weights = np.array([term.weights for term in anatomy.terms])
        self.starts = np.cumsum([0, *(len(term.axes) for term in anatomy.terms)])
        self.rates = np.zeros((len(axes), len(self.names)))
        self.rest = np.zeros(len(axes))
        for row, axis in enumerate(axes):
            self.rest[row] = axis.length
            for name, channels in axis.channels.items():
                if name in size:
                    taken = int((channels >= 0).sum())
                    self.rest[row] -= taken
                    self.rates[row, self.names.index(name)] = taken / size[name]

    def cost(self, counts: Mapping[str, int], of: Of) -> float:
        """What a row costs where each group keeps so many channels: multiply-accumulates, or the time of so many."""
        lengths = self.rest + self.rates @ np.array([counts[name] for name in self.names], dtype=float)
        products = np.array([np.prod(lengths[a:b]) for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)])
        macs = float(self.each @ products)
        if of == "macs":
            return macs
        # Every kernel reads its weights once and writes its outputs: at one row an inference that is much of the time.
        positions = self.each / np.maximum(self.weights, 1.0)
        written = positions * lengths[np.minimum(self.starts[:-1], len(lengths) - 1)]
        return macs + READ * float(self.weights @ products) + WRITTEN * float(written.sum())


def by_ratio(anatomy: Anatomy, scores: Mapping[str, Array], ratio: float, *, round_to: int) -> dict[str, Array]:
    """Channels kept where every group loses the same share `ratio` of them, to the nearest size allowed."""
    units = units_of(anatomy.groups, round_to)
    sizes = [_nearest(unit, 1 - ratio) for unit in units]
    return _chosen(anatomy, scores, units, sizes)


def by_sizes(anatomy: Anatomy, scores: Mapping[str, Array], sizes: Sequence[int]) -> dict[str, Array]:
    """Channels kept where each set of groups that shrink together keeps the size named for it, in their order.

    Raises:
        InputError: if there are more or fewer sizes than sets, or a set has fewer channels.
    """
    units = units_of(anatomy.groups, 1)
    most = [unit.sizes[0] for unit in units]
    if len(sizes) != len(units) or any(size > full for size, full in zip(sizes, most, strict=True)):
        raise InputError(
            f"'sizes' must name {len(units)} sizes of at most {'-'.join(map(str, most))}, "
            f"got {'-'.join(map(str, sizes))}.",
            field="sizes",
        )
    return _chosen(anatomy, scores, units, sizes)


def by_macs(
    anatomy: Anatomy, scores: Mapping[str, Array], keep: float, *, is_global: bool, round_to: int, of: Of = "macs"
) -> dict[str, Array]:
    """Channels kept where at most a share `keep` of the multiply-accumulates, or of the rough time, is left.

    Uniform: the same share in every group. Global: step by step the group shrinks by one size whose channels have
    the least score for what goes with them. Where every group is at its least size before
    the share is reached, that is what is kept. O(steps · units · operators · groups).
    """
    units = units_of(anatomy.groups, round_to)
    arithmetic = Arithmetic(anatomy)
    goal = keep * arithmetic.cost(_counts(units, [unit.sizes[0] for unit in units]), of) * (1 + 1e-9)
    if is_global:
        sizes = _greedy(units, scores, lambda sizes: arithmetic.cost(_counts(units, sizes), of), goal)
    else:
        tried = ([_nearest(unit, share) for unit in units] for share in np.linspace(1, 0, 1001))
        least = [unit.sizes[-1] for unit in units]
        sizes = next((each for each in tried if arithmetic.cost(_counts(units, each), of) <= goal), least)
    return _chosen(anatomy, scores, units, sizes)


def _greedy(
    units: Sequence[Unit], scores: Mapping[str, Array], cost: Callable[[Sequence[int]], float], goal: float
) -> list[int]:
    sizes: list[int] = []
    for sizes, now in falling_sizes(units, scores, cost):  # noqa: B007  the last is what is kept
        if now <= goal:
            break
    return sizes


def falling_sizes(
    units: Sequence[Unit], scores: Mapping[str, Array], cost: Callable[[Sequence[int]], float]
) -> Iterator[tuple[list[int], float]]:
    """Sizes of the units and what they cost, from the full ones down to the least, one unit's next size at a time.

    Each time the unit shrinks whose channels have the least score for the cost that goes with them.
    """
    places = [0] * len(units)
    falling = {name: np.concatenate([[0.0], np.cumsum(np.sort(each))]) for name, each in scores.items()}
    now = cost([unit.sizes[0] for unit in units])
    yield [unit.sizes[0] for unit in units], now
    while True:
        best: tuple[float, int, float] | None = None
        for number, unit in enumerate(units):
            if places[number] + 1 == len(unit.sizes):
                continue
            sizes = [each.sizes[place] for each, place in zip(units, places, strict=True)]
            before, after = sizes[number], unit.sizes[places[number] + 1]
            sizes[number] = after
            left = cost(sizes)
            lost = sum(
                falling[each.name][each.size - after * each.step] - falling[each.name][each.size - before * each.step]
                for each in unit.groups
            )
            price = lost / max(now - left, np.finfo(float).tiny)
            if best is None or price < best[0]:
                best = (price, number, left)
        if best is None:
            return
        _, number, now = best
        places[number] += 1
        yield [unit.sizes[place] for unit, place in zip(units, places, strict=True)], now


def _counts(units: Sequence[Unit], sizes: Sequence[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for unit, size in zip(units, sizes, strict=True):
        found.update(unit.counts(size))
    return found


def _nearest(unit: Unit, share: float) -> int:
    """The size allowed that is nearest to a share of the full one; of two the larger."""
    return min(unit.sizes, key=lambda size: (abs(size - share * unit.sizes[0]), -size))


def _chosen(
    anatomy: Anatomy, scores: Mapping[str, Array], units: Sequence[Unit], sizes: Sequence[int]
) -> dict[str, Array]:
    counts = _counts(units, sizes)
    return {each.name: best_of(scores[each.name], counts[each.name], each) for each in anatomy.groups}
