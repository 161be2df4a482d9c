"""A module that was given, its parameters shared by every smaller structure of it: channels by importance, then cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.elastic.allocation import Arithmetic, Of, Unit, falling_sizes
from steelyard.elastic.extraction import extracted
from steelyard.elastic.groups import Anatomy, slices_of
from steelyard.elastic.importance import best_of

Sizes = tuple[int, ...]
"""A structure: how many channels each unit keeps, in the order of the units."""
FEWEST = 4
"""Channels below which no group that has more goes."""


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A sub-network: a module of its sizes without weights of its own, and which slices of the shared ones it has."""

    shell: nn.Module
    slices: Mapping[str, Mapping[int, Tensor]]

    def weights(self, shared: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Its parameters as slices of the shared ones; gradients flow into these."""
        found: dict[str, Tensor] = {}
        for name, value in shared.items():
            part: Tensor = value
            for axis, index in self.slices.get(name, {}).items():
                part = part.index_select(axis, index)
            found[name] = part
        return found


@dataclass(slots=True)
class Slimmable:
    """One set of weights for all structures of a module that differ in the sizes of its groups of channels.

    A structure keeps the first channels of each group in the order of their importance, which is found once. So of two
    structures the smaller's channels are among the larger's, group by group, and both train the same numbers.

    Attributes:
        module: holds the shared parameters; it is this object's own copy.
        anatomy: of the module.
        scores: importance of the channels of each group.
        units: groups that shrink together, with the sizes that they may have.

    References:
        J. Yu et al., Slimmable neural networks, ICLR 2019; H. Cai et al., Once-for-all, ICLR 2020 (channels sorted by
        importance before weights are shared).
    """

    module: nn.Module
    anatomy: Anatomy
    scores: Mapping[str, Array]
    units: tuple[Unit, ...]
    _cuts: dict[Sizes, Cut] = field(default_factory=dict)
    _arithmetic: Arithmetic | None = None

    @property
    def full(self) -> Sizes:
        """The sizes of the module itself."""
        return tuple(unit.sizes[0] for unit in self.units)

    def shared(self) -> dict[str, nn.Parameter]:
        """Everything that is trained, by name."""
        return dict(self.module.named_parameters())

    def kept(self, sizes: Sizes) -> dict[str, Array]:
        """The channels that a structure keeps of each group.

        Raises:
            InputError: if it has not a size for each unit.
        """
        if len(sizes) != len(self.units):
            raise InputError(f"'sizes' must name {len(self.units)} sizes, one a set of groups, got {len(sizes)}.")
        counts: dict[str, int] = {}
        for unit, size in zip(self.units, sizes, strict=True):
            counts.update(unit.counts(size))
        return {each.name: best_of(self.scores[each.name], counts[each.name], each) for each in self.anatomy.groups}

    def slices(self, sizes: Sizes) -> dict[str, dict[int, Array]]:
        """For each stored tensor that shrinks, the indices kept along each axis that does."""
        return slices_of(self.anatomy, self.kept(sizes))

    def extracted(self, sizes: Sizes) -> nn.Module:
        """A module of its own with the shared values; statistics of batch norm are to be estimated anew."""
        return extracted(self.module, self.anatomy, self.kept(sizes))

    def cut(self, sizes: Sizes) -> Cut:
        """The sub-network of a structure, made at first need.

        Raises:
            InputError: if the smaller module has other parameters than the whole one.
        """
        if sizes not in self._cuts:
            kept = self.kept(sizes)
            shell = extracted(self.module, self.anatomy, kept)
            if dict(shell.named_parameters()).keys() != self.shared().keys():
                raise InputError("the smaller module's parameters have other names than the whole one's.")
            _emptied(shell)
            slices = {
                name: {axis: torch.from_numpy(np.ascontiguousarray(index)) for axis, index in axes.items()}
                for name, axes in slices_of(self.anatomy, kept).items()
            }
            self._cuts[sizes] = Cut(shell, slices)
        return self._cuts[sizes]

    def outputs(self, sizes: Sizes, inputs: tuple[Tensor, ...]) -> Any:
        """What a structure in training gives for inputs; gradients flow into the shared parameters."""
        cut = self.cut(sizes)
        return functional_call(cut.shell.train(), cut.weights(self.shared()), inputs)

    def cost(self, sizes: Sizes, of: Of = "time") -> float:
        """Multiply-accumulates of a structure, or its rough time in as many."""
        counts: dict[str, int] = {}
        for unit, size in zip(self.units, sizes, strict=True):
            counts.update(unit.counts(size))
        if self._arithmetic is None:
            self._arithmetic = Arithmetic(self.anatomy)
        return self._arithmetic.cost(counts, of)


def fine_units(anatomy: Anatomy, block: int) -> tuple[Unit, ...]:
    """Groups that shrink together, with sizes down to a few channels: multiples of a block, below it of four.

    Below eight channels, where a channel may be a head of attention, every number.
    """
    sets: dict[str, list[Any]] = {}
    for each in anatomy.groups:
        sets.setdefault(each.alike or f" {each.name}", []).append(each)
    return tuple(Unit(tuple(each), _sizes(min(one.size // one.step for one in each), block)) for each in sets.values())


def _sizes(full: int, block: int) -> Sizes:
    if full < 2 * FEWEST:
        return tuple(range(full, 0, -1))
    found = {*range(block, full, block), *range(FEWEST, min(block, full), FEWEST), full}
    return tuple(sorted(found, reverse=True))


def ladder(net: Slimmable, shares: Sequence[float]) -> list[Sizes]:
    """Structures along three ways of shrinking, one for each share of the whole's cost that is left at most.

    The ways are the group whose channels have the least score for the multiply-accumulates, or for the rough time, that
    go with them, step by step; and the same share of every group. Where a way can't go so far, its last is the end.
    """
    found: list[Sizes] = []
    for of in ("macs", "time"):
        path = falling_sizes(net.units, net.scores, lambda sizes, of=of: net.cost(tuple(sizes), of))  # type: ignore[misc]
        found += _along([(tuple(sizes), cost) for sizes, cost in path], shares)
    alike = []
    for share in np.linspace(1, 0, 101):
        sizes = tuple(min(unit.sizes, key=lambda size: abs(size - share * unit.sizes[0])) for unit in net.units)
        alike.append((sizes, net.cost(sizes)))
    return list(dict.fromkeys([*found, *_along(alike, shares)]))


def _along(path: Sequence[tuple[Sizes, float]], shares: Sequence[float]) -> list[Sizes]:
    whole = path[0][1]
    return [next((sizes for sizes, cost in path if cost <= share * whole), path[-1][0]) for share in shares]


def varied(net: Slimmable, sizes: Sizes, random: np.random.Generator) -> Sizes:
    """A structure like another: each unit stays, or moves by one or two of its sizes, either way."""
    moved = []
    for unit, size in zip(net.units, sizes, strict=True):
        step = int(random.choice([-2, -1, 0, 1, 2], p=[0.05, 0.2, 0.5, 0.2, 0.05]))
        place = min(max(unit.sizes.index(size) + step, 0), len(unit.sizes) - 1)
        moved.append(unit.sizes[place])
    return tuple(moved)


def crossed(one: Sizes, other: Sizes, random: np.random.Generator) -> Sizes:
    """A structure with each size from one of two others."""
    return tuple(a if random.random() < 0.5 else b for a, b in zip(one, other, strict=True))


def _emptied(module: nn.Module) -> None:
    """Let the numbers of a module go; what was one parameter in two places stays one."""
    for each in module.parameters():
        each.data = torch.empty(0)
