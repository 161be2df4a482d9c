"""Groups of channels that can be removed one by one, and what a module's size and cost are by what is kept of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor, nn

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.elastic.labels import RAW
from steelyard.elastic.layers import ALL_RULES
from steelyard.elastic.tracing import Trace, traced

Kept = Mapping[str, Array]
"""Indices of the channels kept, sorted, by the name of their group; a group that is not named keeps all."""
OUTPUTS = "its channels are the module's outputs"
_SIZES = re.compile(r"head|dim|width|size|channel|feature|hidden|embed|unit|plane|filter|model|^[a-z]$|^[nd]_|shape")
_HEAD_SIZE = re.compile(r"head_?(dim|size|width)|(dim|size|width)_?(per_)?head|^d_?head|^d_k$|^d_v$")


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One axis by channels: for each group that runs along it the channel (length,) of each position, or −1.

    A position is kept where every channel that it stands for is.
    """

    length: int
    channels: Mapping[str, Array]

    def kept(self, kept: Kept) -> Array:
        """The positions kept, sorted. O(length)."""
        stays = np.ones(self.length, bool)
        for name, channels in self.channels.items():
            if name in kept:
                stays &= (channels < 0) | np.isin(channels, kept[name])
        return np.flatnonzero(stays)


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that are interchangeable: any of them may go, each with all its slices.

    Attributes:
        name: the operator that made them first.
        size: how many there are.
        alike: groups with the same word here must shrink together; empty where the group is free.
        step: how many channels go at a time, where `alike` groups differ in size by such a factor.
    """

    name: str
    size: int
    alike: str = ""
    step: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """Multiply-accumulates of one operator a row: `each`, times the positions kept along every axis of `axes`.

    Times `weights` instead it is the stored numbers that the operator reads.
    """

    owner: str
    each: float
    axes: tuple[Axis, ...]
    weights: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """An attribute of a module that holds the size of an axis; `place` in it where it is a tuple, else −1."""

    module: str
    attribute: str
    place: int
    axis: Axis
    is_certain: bool


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What of a module can shrink: groups, slices of stored tensors, costs, attributes; and what can't, and why.

    Attributes:
        groups: in the order in which the forward pass meets them.
        refused: reasons by the name of what can't shrink; the module's outputs are not listed.
        axes: for each stored tensor, by its first name, its axes that channels run along, by number.
        terms: multiply-accumulates.
        held: attributes that follow.
        norms: layers whose statistics run over channels.
    """

    groups: tuple[Group, ...]
    refused: Mapping[str, str]
    axes: Mapping[str, Mapping[int, Axis]]
    terms: tuple[Term, ...]
    held: tuple[Held, ...]
    norms: frozenset[str] = field(default_factory=frozenset)

    def group(self, name: str) -> Group:
        """The group of a name.

        Raises:
            InputError: if there is none.
        """
        for each in self.groups:
            if each.name == name:
                return each
        raise InputError(f"the module has no group {name!r}; it has {', '.join(each.name for each in self.groups)}.")

    def check(self, kept: Kept) -> None:
        """Refuse a choice that no module could be made of.

        Raises:
            InputError: if a group is not known, keeps nothing or what it has not, or is out of step with its set.
        """
        steps: dict[str, tuple[str, int]] = {}
        for name, index in kept.items():
            group = self.group(name)
            if len(index) == 0 or (np.diff(index) <= 0).any() or index[0] < 0 or index[-1] >= group.size:
                raise InputError(f"group {name!r} must keep some of its {group.size} channels, sorted, each once.")
        for group in self.groups:
            count = len(kept[group.name]) if group.name in kept else group.size
            other, most = steps.setdefault(group.alike or f" {group.name}", (group.name, count // group.step))
            if count != most * group.step:
                raise InputError(
                    f"groups {other!r} and {group.name!r} shrink together: {group.name!r} must keep "
                    f"{most * group.step} channels, got {count}."
                )

    def slices(self, kept: Kept) -> dict[str, dict[int, Array]]:
        """For each stored tensor that shrinks, the indices kept along each axis that does."""
        found: dict[str, dict[int, Array]] = {}
        for name, axes in self.axes.items():
            for number, axis in axes.items():
                index = axis.kept(kept)
                if len(index) < axis.length:
                    found.setdefault(name, {})[number] = index
        return found

    def macs(self, kept: Kept) -> float:
        """Multiply-accumulates a row of linear layers, convolutions, recurrent nets and attention.

        Element-wise work, pooling, normalising and embedding count nothing, biases neither. Attention's two products
        count, whatever a mask leaves of them; a recurrent cell counts its matrix products, not its gates.
        """
        return sum(self.macs_by_owner(kept).values())

    def macs_by_owner(self, kept: Kept) -> dict[str, float]:
        """Multiply-accumulates a row by the module that does them."""
        found: dict[str, float] = {}
        for term in self.terms:
            sizes = [len(axis.kept(kept)) for axis in term.axes]
            found[term.owner] = found.get(term.owner, 0.0) + term.each * float(np.prod(sizes))
        return found

    def without(self, reasons: Mapping[str, str]) -> "Anatomy":
        """The same with groups refused."""
        left = tuple(each for each in self.groups if each.name not in reasons)
        return replace(self, groups=left, refused={**self.refused, **reasons})


def slices_of(anatomy: Anatomy, kept: Kept) -> dict[str, dict[int, Array]]:
    """For each stored tensor that shrinks, by its first name, the indices kept along each axis that does.

    A tensor that several modules share has one name, as in `named_parameters`. The slices fit values of parameters,
    views of them, and the initializers of an exported file alike.
    """
    return anatomy.slices(kept)


def read_anatomy(module: nn.Module, example: tuple[Tensor, ...]) -> Anatomy:
    """The groups that tracing finds, not yet tried.

    Raises:
        InputError: if the module can't be traced.
    """
    trace = traced(module, example, ALL_RULES)
    roots = trace.labels.find(np.arange(len(trace.labels.parent)))
    members = _members(trace, roots)
    names = _names(trace, members)
    barred = {int(roots[label]): reason for label, reason in reversed(trace.labels.fixed.items())}
    groups, refused = [], {}
    channel_of = np.full(len(roots), -1, np.int64)
    group_of = np.full(len(roots), -1, np.int64)
    for number, (family, channels) in enumerate(members.items()):
        free = [root for root in channels if root not in barred]
        reason = next((barred[root] for root in channels if root in barred), "")
        if len(free) > 1:
            groups.append((family, Group(names[family], len(free))))
            channel_of[free], group_of[free] = np.arange(len(free)), number
        elif reason != OUTPUTS:
            refused[names[family]] = reason or "it is a single channel"
    order = {number: names[family] for number, family in enumerate(members)}

    def axis(labels: Array) -> Axis:
        at = roots[labels]
        found = [int(each) for each in np.unique(group_of[at]) if each >= 0]
        return Axis(labels.size, {order[each]: np.where(group_of[at] == each, channel_of[at], -1) for each in found})

    stored = {
        name: {
            number: found
            for number, labels in enumerate(axes)
            if labels is not None and (found := axis(labels)).channels
        }
        for name, axes in trace.axes.items()
    }
    return Anatomy(
        _with_alike(trace, roots, groups),
        refused,
        {name: axes for name, axes in stored.items() if axes},
        tuple(
            Term(cost.owner, cost.each, tuple(axis(each) for each in cost.factors), cost.weights)
            for cost in trace.costs
        ),
        tuple(_held(module, trace, axis)),
        frozenset(trace.norms),
    )


def _members(trace: Trace, roots: Array) -> dict[int, list[int]]:
    """The channels (roots) of each family of origins: origins whose labels were united are one family."""
    above = list(range(len(trace.labels.origins)))

    def top(origin: int) -> int:
        while above[origin] != origin:
            origin = above[origin]
        return origin

    used = np.flatnonzero(trace.labels.origin != RAW)
    pairs = np.unique(np.stack([trace.labels.origin[used], trace.labels.origin[roots[used]]]), axis=1)
    for one, other in pairs.T.tolist():
        a, b = sorted((top(one), top(other)))
        above[b] = a
    found: dict[int, list[int]] = {}
    for root in np.unique(roots[used]).tolist():
        found.setdefault(top(int(trace.labels.origin[root])), []).append(root)
    return dict(sorted(found.items()))


def _names(trace: Trace, members: Mapping[int, Sequence[int]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for family in members:
        plain = trace.labels.origins[family] or "channels"
        name, number = plain, 2
        while name in names.values():
            name, number = f"{plain}#{number}", number + 1
        names[family] = name
    return names


def _with_alike(trace: Trace, roots: Array, groups: list[tuple[int, Group]]) -> tuple[Group, ...]:
    """Groups with the sets of them that must shrink together."""
    family_of = {}
    origin = trace.labels.origin
    for label in np.flatnonzero(origin != RAW).tolist():
        family_of[int(origin[label])] = int(origin[roots[label]])
    found = dict(groups)
    tied: list[set[int]] = []
    for origins in trace.labels.alike:
        new = {_family(family_of, each) for each in origins}
        for old in [each for each in tied if each & new]:
            tied.remove(old)
            new |= old
        tied.append(new)
    for each in tied:
        members = [family for family in each if family in found]
        word = found[min(members)].name if members else ""
        for family in members:
            found[family] = replace(found[family], alike=word if len(members) > 1 else "")
    return tuple(found.values())


def _family(family_of: Mapping[int, int], origin: int) -> int:
    """The family of an origin: follow the origin of its root until it stays."""
    seen = set()
    while origin not in seen:
        seen.add(origin)
        origin = family_of.get(origin, origin)
    return origin


def _held(module: nn.Module, trace: Trace, axis: Callable[[Array], Axis]) -> Iterator[Held]:
    """Attributes that hold the size of an axis that channels run along."""
    modules = dict(module.named_modules())
    seen = set()
    for extent in trace.extents:
        made = axis(extent.labels)
        owner = modules.get(extent.module)
        if owner is None or not made.channels:
            continue
        for name, place in _places(owner, extent.attribute, made.length):
            if (extent.module, name, place) not in seen:
                seen.add((extent.module, name, place))
                yield Held(extent.module, name, place, made, bool(extent.attribute))


def _places(owner: nn.Module, certain: str, length: int) -> Iterator[tuple[str, int]]:
    """Attributes of a module with a size: the certain one, or those of the user's own modules by name and value."""
    if not certain and type(owner).__module__.startswith("torch.nn.") and not isinstance(owner, nn.Unflatten):
        return
    for name, value in vars(owner).items():
        if certain and name != certain:
            continue
        if not certain and (not _SIZES.search(name) or _HEAD_SIZE.search(name) or name.startswith("_")):
            continue
        if isinstance(value, int) and not isinstance(value, bool) and value == length:
            yield name, -1
        elif isinstance(value, tuple | list):
            yield from ((name, place) for place, each in enumerate(value) if each == length and isinstance(each, int))
