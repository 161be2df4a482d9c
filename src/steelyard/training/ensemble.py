"""Several modules as one teacher."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError
from steelyard.training.distillation import SMALLEST, Distance
from steelyard.training.lesson import first_output


class Ensemble(nn.Module):
    """A module whose output is the mean of its members' first outputs (n, ..., width).

    Decisions are averaged as probabilities and given as their logarithms, whose softmax is the mean again; values are
    averaged as they are.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        """Take the members as they are.

        Raises:
            InputError: if there is none.
        """
        super().__init__()
        if not members:
            raise InputError("'members' must hold at least one module, got none.", field="members")
        self.members = nn.ModuleList(members)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The mean of the members on the same inputs."""
        outputs = [first_output(member(*inputs)) for member in self.members]
        kind = Distance.of(outputs[0]).kind
        if kind == "values":
            return torch.stack(outputs).mean(0)
        chances = torch.stack([each if kind == "probabilities" else each.softmax(-1) for each in outputs]).mean(0)
        return chances if kind == "probabilities" else chances.clamp(min=SMALLEST).log()
