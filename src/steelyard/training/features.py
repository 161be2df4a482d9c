"""What layers inside a student compute, compared with those inside its teacher."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.training.distillation import evaluating

MOST_LAYERS = 4
"""Layers that are compared at most, spread evenly from first to last; more add time and little else."""
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
"""Layers whose outputs are compared by name, and the last of which takes the features before the decision."""


class Features:
    """Layers of two modules that are compared: those of one name and shape, else what their last layers take.

    The inputs of last layers mostly differ in width, so a linear map from the student's to the teacher's learns along.

    References:
        A. Romero et al., FitNets: hints for thin deep nets, ICLR 2015.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, names: tuple[str, ...], bridge: nn.Linear | None
    ) -> None:
        """Compare the outputs of the layers with these names, or over a bridge the inputs of the two last layers."""
        self.student = student
        self.teacher = teacher
        self.names = names
        self.bridge = bridge
        self._own: dict[str, Tensor] = {}

    @classmethod
    def of(cls, student: nn.Module, teacher: nn.Module, example: tuple[Tensor, ...]) -> Self | None:
        """Find what can be compared from a few rows; None where nothing can."""
        seen = []
        for module in (student, teacher):
            with torch.no_grad(), evaluating(module), _watching(module, _weighted(module), is_input=False) as found:
                module(*example)
            seen.append({name: tuple(out.shape) for name, out in found.items()})
        own, wanted = seen
        # The last layer gives the outputs themselves, which are compared anyway.
        same = [name for name in list(own)[:-1] if wanted.get(name) == own[name]]
        if same:
            keep = sorted({round(i * (len(same) - 1) / (MOST_LAYERS - 1)) for i in range(MOST_LAYERS)})
            return cls(student, teacher, tuple(same[i] for i in keep), None)
        if not own or not wanted:
            return None
        return cls._before_the_last(student, teacher, (list(own)[-1], list(wanted)[-1]), example)

    @classmethod
    def _before_the_last(
        cls, student: nn.Module, teacher: nn.Module, names: tuple[str, str], example: tuple[Tensor, ...]
    ) -> Self | None:
        taken = []
        for module, name in zip((student, teacher), names, strict=True):
            with torch.no_grad(), evaluating(module), _watching(module, (name,), is_input=True) as found:
                module(*example)
            taken.append(found[name])
        if taken[0].shape[:-1] != taken[1].shape[:-1]:
            return None
        return cls(student, teacher, names, nn.Linear(taken[0].shape[-1], taken[1].shape[-1]))

    def parameters(self) -> list[nn.Parameter]:
        """What learns along with the student."""
        return [] if self.bridge is None else list(self.bridge.parameters())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep what the student's layers compute for a while."""
        names = self.names if self.bridge is None else self.names[:1]
        with _watching(self.student, names, is_input=self.bridge is not None) as found:
            yield
        self._own = found

    def distance(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Mean squared difference from the teacher's layers over their mean square, as an average of the layers."""
        names = self.names if self.bridge is None else self.names[1:]
        with (
            torch.no_grad(),
            evaluating(self.teacher),
            _watching(self.teacher, names, is_input=self.bridge is not None) as wanted,
        ):
            self.teacher(*inputs)
        pairs = (
            [(self._own[name], wanted[name]) for name in names]
            if self.bridge is None
            else [(self.bridge(self._own[self.names[0]]), wanted[self.names[1]])]
        )
        apart = [F.mse_loss(own, other) / other.square().mean().clamp(min=1e-12) for own, other in pairs]
        return torch.stack(apart).mean()


def _weighted(module: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, part in module.named_modules() if isinstance(part, WEIGHTED))


@contextmanager
def _watching(module: nn.Module, names: tuple[str, ...], *, is_input: bool) -> Iterator[dict[str, Tensor]]:
    """What layers give, or take, by name in the order they ran; of several calls the last."""
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name in names:

            def watch(_: nn.Module, taken: tuple[Tensor, ...], given: Tensor, name: str = name) -> None:
                found.pop(name, None)
                found[name] = taken[0] if is_input else given

            stack.callback(module.get_submodule(name).register_forward_hook(watch).remove)
        yield found
