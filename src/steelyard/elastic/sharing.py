"""Which numbers of a larger module's parameters a smaller module of the same code uses: matched by name and channel."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from steelyard.core.task import Array
from steelyard.elastic.groups import Axis, read_anatomy

Places = Mapping[int, Array]
"""For each axis of a tensor that is longer in the larger module, the positions that the smaller one uses."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The stored tensors of a module: their shapes, the channels along their axes, and which are kernels.

    Attributes:
        shapes: by name.
        axes: by name and number of the axis, the channels that run along it, where there are any.
        kernels: names whose axes from the third on are a window, which is cut from its middle.
    """

    shapes: Mapping[str, tuple[int, ...]]
    axes: Mapping[str, Mapping[int, Axis]]
    kernels: frozenset[str]


def layout_of(module: nn.Module, example: tuple[Tensor, ...]) -> Layout:
    """The layout of a module's parameters and buffers.

    Args:
        module: it is left as it was.
        example: one tensor an input, (rows, ...), two rows or more.

    Raises:
        InputError: if the module can't be traced.
    """
    windows = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    kernels = {
        f"{name}.weight" if name else "weight" for name, each in module.named_modules() if isinstance(each, windows)
    }
    stored = (*module.named_parameters(), *module.named_buffers())
    shapes = {name: tuple(each.shape) for name, each in stored}
    anatomy = read_anatomy(module, example)
    axes = {name: found for name, found in anatomy.axes.items() if name in shapes}
    return Layout(shapes, axes, frozenset(kernels & shapes.keys()))


def places_of(name: str, small: Layout, large: Layout) -> Places | None:
    """Where a smaller module's parameter lies in the larger one's of the same name; None where it does not.

    Channels correspond by their number in the group that runs along the axis, so the first ones are shared. Where a
    channel has several positions (pixels of a flattened picture), it must have as many in both. Windows are cut from
    the middle, whatever has no channels from the start.
    """
    if name not in large.shapes or len(large.shapes[name]) != len(small.shapes[name]):
        return None
    found: dict[int, Array] = {}
    for number, (length, whole) in enumerate(zip(small.shapes[name], large.shapes[name], strict=True)):
        if length > whole:
            return None
        if number >= 2 and name in large.kernels:
            index = None if (whole - length) % 2 else np.arange(length) + (whole - length) // 2
        else:
            index = _along(length, small.axes.get(name, {}).get(number), large.axes.get(name, {}).get(number))
        if index is None:
            return None
        if length < whole:
            found[number] = index
    return found


def _along(length: int, small: Axis | None, large: Axis | None) -> Array | None:
    """The positions along one axis; None where channels have different numbers of positions."""
    if large is None:
        return np.arange(length)
    bases = [int(channels.max()) + 2 for channels in large.channels.values()]
    codes, turns = _numbered(list(large.channels.values()), bases)
    each = int(turns.max()) + 1
    if small is None or len(small.channels) != len(bases):
        # A single channel is no group of its own.
        return np.arange(length) if length % each == 0 else None
    own, own_turns = _numbered(list(small.channels.values()), bases)
    if int(own_turns.max()) + 1 != each:
        return None
    order = np.lexsort((turns, codes))
    keys, wanted = codes * each + turns, own * each + own_turns
    at = np.searchsorted(keys[order], wanted)
    index = order[np.minimum(at, len(order) - 1)]
    return index if (keys[index] == wanted).all() else None


def _numbered(channels: list[Array], bases: list[int]) -> tuple[Array, Array]:
    """For each position a number for the channels that run there, and how often these came before."""
    codes = np.zeros(len(channels[0]), np.int64)
    for each, base in zip(channels, bases, strict=True):
        codes = codes * base + np.minimum(each + 1, base - 1)
    order = np.argsort(codes, kind="stable")
    ranked = codes[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    turns = np.empty(len(codes), np.int64)
    turns[order] = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    return codes, turns
