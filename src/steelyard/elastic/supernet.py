"""One set of weights that holds every smaller model of a space: each is a view of it, run without a copy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.candidate import Scale
from steelyard.core.errors import InputError
from steelyard.elastic.sharing import Layout, Places, layout_of, places_of


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Numbers that parameters of one name share, and the layout of the module that they were made for."""

    key: str
    layout: Layout
    value: nn.Parameter


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A sub-network: a model (front, body, back) whose body has no weights of its own, and where they are shared."""

    scale: Scale
    model: Any
    places: Mapping[str, tuple[Entry, Places]]
    layout: Layout

    def weights(self) -> dict[str, Tensor]:
        """Its parameters as views of the shared ones where they are contiguous; gradients flow into these."""
        return {name: view(entry.value, places) for name, (entry, places) in self.places.items()}

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs of the body for front outputs x (n, ...), in whatever mode the body is."""
        out: Tensor = functional_call(self.model.body, self.weights(), (x,))
        return out


@dataclass(slots=True)
class Supernet:
    """Models of one family at many scales over one set of weights.

    What a smaller model does not share with the largest one of its name (a last layer behind another number of
    pixels), it shares with those it can, and else has alone.

    Attributes:
        build: the model (front, body, back) of a scale, with fresh weights.
        scales: the largest first; models made later may add weights, but enlarge none.

    References:
        J. Yu et al., Slimmable neural networks, ICLR 2019; H. Cai et al., Once-for-all, ICLR 2020.
    """

    build: Callable[[Scale], Any]
    scales: Sequence[Scale]
    entries: dict[str, Entry] = field(default_factory=dict)
    _names: dict[str, list[Entry]] = field(default_factory=dict)
    _members: dict[Scale, Member] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the members, the largest first.

        Raises:
            InputError: if there is nothing to share, or a module can't be traced.
        """
        for scale in self.scales:
            self.member(scale)
        if not self.entries:
            raise InputError("the model has no weights to share.")
        if len(self.scales) > 1 and not any(self.share(scale) for scale in self.scales[1:]):
            raise InputError("the models of the space share no weights.")

    def member(self, scale: Scale) -> Member:
        """The sub-network of a scale."""
        if scale not in self._members:
            self._members[scale] = self._made(scale)
        return self._members[scale]

    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [entry.value for entry in self.entries.values()]

    def extracted(self, scale: Scale) -> Any:
        """A model of its own with the values of its sub-network; statistics of batch norm are to be estimated anew."""
        member = self.member(scale)
        model = self.build(scale)
        own = dict(model.body.named_parameters())
        with torch.no_grad():
            for name, value in member.weights().items():
                own[name].copy_(value)
        return model

    def save(self, path: Path) -> None:
        """Write the shared weights by their keys."""
        save_file({key: entry.value.detach().contiguous() for key, entry in self.entries.items()}, path)

    def load(self, path: Path) -> None:
        """Take the values of a file that `save` wrote for the same scales."""
        values = load_file(path)
        with torch.no_grad():
            for key, entry in self.entries.items():
                entry.value.copy_(values[key])

    def share(self, scale: Scale) -> float:
        """The part of a sub-network's numbers that it shares with the largest model."""
        first = self.member(self.scales[0]).places
        theirs = {id(entry) for entry, _ in first.values()}
        placed = self.member(scale).places.values()
        sizes = [(view(entry.value, places).numel(), id(entry) in theirs) for entry, places in placed]
        return sum(size for size, is_shared in sizes if is_shared) / max(1, sum(size for size, _ in sizes))

    def _made(self, scale: Scale) -> Member:
        model = self.build(scale)
        model.body.to(memory_format=torch.channels_last)
        example = torch.randn(2, *model.front.shape, generator=torch.Generator().manual_seed(0))
        layout = layout_of(model.body, (example,))
        values = dict(model.body.named_parameters())
        places = {name: self._placed(name, layout, values[name]) for name in values}
        _emptied(model.body)
        return Member(scale, model, places, layout)

    def _placed(self, name: str, layout: Layout, value: nn.Parameter) -> tuple[Entry, Places]:
        known = self._names.setdefault(name, [])
        for entry in known:
            places = places_of(name, layout, entry.layout)
            if places is not None:
                return entry, places
        key = name if not known else f"{name}#{len(known) + 1}"
        entry = Entry(key, layout, nn.Parameter(value.detach().clone(), requires_grad=value.requires_grad))
        known.append(entry)
        self.entries[key] = entry
        return entry, {}


def view(value: Tensor, places: Places) -> Tensor:
    """The part of a tensor at places along its axes: a view where they follow one another, else a copy.

    Gradients flow back either way.
    """
    for axis, index in places.items():
        first, count = int(index[0]), len(index)
        if int(index[-1]) - first == count - 1 and (count == 1 or (np.diff(index) == 1).all()):
            value = value.narrow(axis, first, count)
        else:
            value = value.index_select(axis, torch.from_numpy(np.ascontiguousarray(index)))
    return value


def _emptied(body: nn.Module) -> None:
    """Take the weights out of a module; what was one parameter in two places stays one."""
    empty: dict[int, nn.Parameter] = {}
    for each in body.modules():
        for name, value in list(each._parameters.items()):
            if value is not None:
                shell = empty.setdefault(
                    id(value), nn.Parameter(value.detach().to("meta"), requires_grad=value.requires_grad)
                )
                each._parameters[name] = shell
