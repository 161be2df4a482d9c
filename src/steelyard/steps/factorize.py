"""Factorization: layers are replaced by products of smaller ones where that saves multiplications."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.wire import Plain
from steelyard.steps.lowrank import Form, Ranks, Seen, by_outputs, tucker
from steelyard.training.distillation import evaluating
from steelyard.training.lesson import Lesson

BATCH = 32
"""Rows that pass the module at once."""
MOST_SAMPLES = 4_096
"""Positions a batch whose moments are summed; more add time and tell little."""
_TOLD = 3
"""Layers that a message names."""
WORTH = 0.9
"""A layer is replaced where its multiplications fall at least to this part: more operators cost time of their own."""


@dataclass(frozen=True, slots=True)
class Factorize:
    """Linear layers become two by singular values; convolutions two (channels) or three (Tucker), whichever is smaller.

    A layer keeps its name and place; grouped convolutions, shared weights and layers that would not save are left as
    they are.

    Attributes:
        energy: part of the outputs' variance that is kept in each layer.
        rank: share of each layer's full rank, 0 to 1, instead of the energy.
        rows: training rows that tell how outputs vary; 0 judges by the weights alone.
        multiple: ranks are rounded up to it.
        only: names of the layers that may be replaced; empty for all.
    """

    energy: float = 0.95
    rank: float | None = None
    rows: int = 256
    multiple: int = 4
    only: tuple[str, ...] = ()
    name: str = "factorize"
    learns: ClassVar[bool] = False
    keeps_structure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            InputError: one sentence naming the setting.
        """
        for name in ("energy", "rank"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise InputError(f"'{name}' must be above 0 and at most 1, got {value!r}.", field=name)
        if self.rows < 0:
            raise InputError(f"'rows' must be at least 0, got {self.rows!r}.", field="rows")
        if self.multiple < 1:
            raise InputError(f"'multiple' must be at least 1, got {self.multiple!r}.", field="multiple")

    def apply(self, module: nn.Module, lesson: Lesson) -> tuple[nn.Module, Plain]:
        """A copy with smaller layers, and for each layer its ranks and error, or why it was left.

        Raises:
            SteelyardError: if no layer can be replaced with profit.
        """
        changed = copy.deepcopy(module).eval()
        left: dict[str, str] = {}
        layers = dict(self._layers(changed, left))
        watched = _watch(changed, layers, lesson, self.rows)
        done: dict[str, Plain] = {}
        before = after = 0
        for name, layer in layers.items():
            passage = watched[name]
            if not passage.samples:
                left[name] = "the rows never reach it"
                continue
            own = _weights(layer) * passage.given
            form, cost = self._best(layer, passage)
            before += own
            if cost > WORTH * own:
                left[name] = f"would need {cost / own:.2f} of its multiplications"
                after += own
                continue
            changed.set_submodule(name, form.layer.train(layer.training))
            after += cost
            done[name] = {
                "scheme": form.scheme,
                "ranks": list(form.ranks),
                "error": form.error,
                "macs_before": own,
                "macs_after": cost,
            }
        if not done:
            raise SteelyardError(f"factorize found no layer that would need fewer multiplications{_why(left)}.")
        return changed, {"layers": done, "left": left, "macs_before": before, "macs_after": after}

    def _layers(self, module: nn.Module, left: dict[str, str]) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
        """The layers that may be replaced by name; others with weights are told why not."""
        owners: dict[int, int] = {}
        for part in module.modules():
            for parameter in part.parameters(recurse=False):
                owners[id(parameter)] = owners.get(id(parameter), 0) + 1
        for name, part in module.named_modules():
            # A subclass may read its weight in ways of its own: attention's projections do.
            if type(part) not in (nn.Linear, nn.Conv2d) or not name:
                continue
            assert isinstance(part, nn.Linear | nn.Conv2d)  # noqa: S101  for the type checker
            if self.only and name not in self.only:
                left[name] = "not asked for"
            elif isinstance(part, nn.Conv2d) and part.groups > 1:
                left[name] = "its channels are in groups"
            elif owners[id(part.weight)] > 1:
                left[name] = "shares its weights"
            elif not bool(part.weight.any()):
                left[name] = "all its weights are zero"
            else:
                yield name, part

    def _best(self, layer: nn.Linear | nn.Conv2d, passage: "_Passage") -> tuple[Form, int]:
        """The form that needs the fewest multiplications, and how many."""
        ranks = Ranks(self.energy, self.rank, self.multiple)
        seen = passage.seen() if self.rows else None
        forms = [by_outputs(layer, seen, ranks)]
        if isinstance(layer, nn.Conv2d) and math.prod(layer.kernel_size) > 1:
            forms.append(tucker(layer, seen, ranks))
        costs = [_cost(form, passage) for form in forms]
        best = min(range(len(forms)), key=costs.__getitem__)
        return forms[best], costs[best]


@dataclass(slots=True)
class _Passage:
    """What passed through a layer: how many positions a row takes and gives, and sums over some of them."""

    given: int = 0
    taken: int = 0
    samples: int = 0
    entries: int = 0
    total: Any = 0.0
    outputs: Any = 0.0
    inputs: Any = 0.0

    def add(self, layer: nn.Linear | nn.Conv2d, taken: Tensor, given: Tensor) -> None:
        x, y = _flat(layer, taken), _flat(layer, given)
        self.taken += len(x)
        self.given += len(y)
        y = y[:: math.ceil(len(y) / MOST_SAMPLES)].double()
        self.samples += len(y)
        self.total = self.total + y.sum(0)
        self.outputs = self.outputs + y.T @ y
        if isinstance(layer, nn.Conv2d):
            x = x[:: math.ceil(len(x) / MOST_SAMPLES)].double()
            self.entries += len(x)
            self.inputs = self.inputs + x.T @ x

    def seen(self) -> Seen:
        mean = self.total / self.samples
        outputs = self.outputs / self.samples - torch.outer(mean, mean)
        inputs = self.inputs / self.entries if self.entries else torch.zeros(0, 0)
        return Seen(mean, outputs, inputs, self.samples)


def _flat(layer: nn.Linear | nn.Conv2d, x: Tensor) -> Tensor:
    """Positions as rows, channels as columns."""
    return (x.movedim(-3, -1) if isinstance(layer, nn.Conv2d) else x).flatten(0, -2)


@contextmanager
def _watching(layers: dict[str, nn.Linear | nn.Conv2d], found: dict[str, _Passage]) -> Iterator[None]:
    def watcher(name: str) -> Any:
        def watch(layer: Any, taken: tuple[Tensor, ...], given: Tensor) -> None:
            found[name].add(layer, taken[0], given)

        return watch

    handles = [layer.register_forward_hook(watcher(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _watch(
    module: nn.Module, layers: dict[str, nn.Linear | nn.Conv2d], lesson: Lesson, rows: int
) -> dict[str, _Passage]:
    """Pass training rows through the module, at least two, and keep what each layer took and gave."""
    found = {name: _Passage() for name in layers}
    passed = 0
    with _watching(layers, found), evaluating(module), torch.no_grad():
        for inputs, _ in lesson.batches(min(BATCH, max(2, rows))):
            module(*inputs)
            passed += len(inputs[0])
            if passed >= rows:
                break
    for passage in found.values():
        passage.given //= passed
        passage.taken //= passed
    return found


def _cost(form: Form, passage: _Passage) -> int:
    """Multiplications a row of a low-rank form; what stands before a convolution works at each of its inputs."""
    positions = [passage.taken if form.scheme == "tucker" and not i else passage.given for i in range(len(form.layer))]
    return sum(_weights(part) * each for part, each in zip(form.layer, positions, strict=True))


def _weights(layer: nn.Module) -> int:
    return layer.weight.numel() if isinstance(layer.weight, Tensor) else 0


def _why(left: dict[str, str]) -> str:
    """The first layers that were left, and why."""
    told = [f"{name} {reason}" for name, reason in list(left.items())[:_TOLD]]
    return f" ({'; '.join(told)})" if told else ": it has no linear layer and no convolution of its own"


FACTORIZE = Factorize()
"""The entry of the registry."""
