"""Trained weights as the start of other modules: what of a file is a module's own, and the slices of smaller ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError
from steelyard.elastic.sharing import Layout, layout_of, places_of
from steelyard.elastic.supernet import view

LEVELS = 3
"""Parts of a name, from its front, that may be a wrapper's: weights kept as `model.encoder.0.weight`, for one."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Trained numbers by the names of a module, and that module's layout, which says where smaller ones lie in them.

    Attributes:
        values: parameters and buffers that were found, of the module's shapes.
        layout: of the module that they belong to.
        is_traced: whether channels are known; if not, only whole tensors are taken over.
    """

    values: Mapping[str, Tensor]
    layout: Layout
    is_traced: bool = True


@dataclass(frozen=True, slots=True)
class Taken:
    """What a module took over.

    Attributes:
        names: of its parameters that start from trained numbers.
        fresh: of its other parameters.
        share: of its parameters' numbers that start so, from 0 to 1.
        is_cut: whether some of them are slices.
    """

    names: frozenset[str]
    fresh: tuple[str, ...]
    share: float
    is_cut: bool


def matched(found: Mapping[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """The tensors of a file that are a module's by name and shape, under the module's names.

    Names may begin with what a wrapper put before them, on either side: of all ways to take up to `LEVELS` parts off
    the front, the one that fits the most numbers counts.
    """
    own = dict(body.state_dict())
    best: dict[str, Tensor] = {}
    for ours in _wrappers(own):
        bare = {name.removeprefix(ours): name for name in own if name.startswith(ours)}
        for theirs in _wrappers(found):
            fits = {
                bare[rest]: value
                for name, value in found.items()
                if name.startswith(theirs)
                and (rest := name.removeprefix(theirs)) in bare
                and value.shape == own[bare[rest]].shape
            }
            if _numbers(fits.values()) > _numbers(best.values()):
                best = fits
    return best


def source_of(values: Mapping[str, Tensor], body: nn.Module, example: tuple[Tensor, ...]) -> Source:
    """The source that trained numbers of a module make.

    Args:
        values: by the module's names, of its shapes.
        body: the module; it is left as it was.
        example: one tensor an input, (rows, ...), two rows or more.
    """
    layout, is_traced = _layout(body, example)
    return Source(dict(values), layout, is_traced)


def take(source: Source, body: nn.Module, example: tuple[Tensor, ...], *, head: bool) -> Taken:
    """Fill a module, in place, with the numbers of a source that it has places for.

    Args:
        source: the trained numbers.
        body: a module of the same names, as large as the source's or smaller.
        example: as for `source_of`.
        head: whether the last layer is taken over too.
    """
    layout, is_traced = _layout(body, example)
    is_traced = is_traced and source.is_traced
    last = frozenset() if head else head_of(body)
    own = {**dict(body.named_parameters()), **dict(body.named_buffers())}
    names, is_cut = set(), False
    with torch.no_grad():
        for name, tensor in own.items():
            value = None if name in last else source.values.get(name)
            if value is None or not (is_traced or value.shape == tensor.shape):
                continue
            places = places_of(name, layout, source.layout)
            if places is not None:
                tensor.copy_(view(value, places))
                names.add(name)
                is_cut = is_cut or bool(places)
    sizes = {name: each.numel() for name, each in body.named_parameters()}
    taken = frozenset(names & sizes.keys())
    share = sum(sizes[name] for name in taken) / max(1, sum(sizes.values()))
    return Taken(taken, tuple(name for name in sizes if name not in taken), share, is_cut)


def head_of(body: nn.Module) -> frozenset[str]:
    """Names of the parameters and buffers of the last layer: the last part of the module that has some of its own."""
    owners = [
        (name, each) for name, each in body.named_modules() if next(each.parameters(recurse=False), None) is not None
    ]
    if not owners:
        return frozenset()
    name, last = owners[-1]
    return frozenset(f"{name}.{each}" if name else each for each in last.state_dict())


def _layout(body: nn.Module, example: tuple[Tensor, ...]) -> tuple[Layout, bool]:
    """The layout, and whether its channels are known: what can't be traced has shapes alone."""
    try:
        return layout_of(body, example), True
    except InputError:
        stored = (*body.named_parameters(), *body.named_buffers())
        return Layout({name: tuple(each.shape) for name, each in stored}, {}, frozenset()), False


def _wrappers(names: Mapping[str, Tensor]) -> Sequence[str]:
    """Beginnings that names may have from a wrapper, the empty one first."""
    found = dict.fromkeys(["", *(begin for name in names for begin in _beginnings(name))])
    return tuple(found)


def _beginnings(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) + "." for count in range(1, min(LEVELS, len(parts) - 1) + 1))


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(each.numel() for each in tensors)
