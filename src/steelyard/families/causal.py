"""The torch module of decoders."""

import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import PADDING, TextInput
from steelyard.families.fronts import TextFront
from steelyard.families.parts import Model, back_of
from steelyard.families.temporal import Attending

_STD = 0.02
"""Of embeddings: Radford et al. 2019."""
HIDDEN = -1e4
"""What is added to the attention on a token to come; no score outweighs it: a model must not read what it foretells."""


def decoder(scale: Scale, task: Task, seed: int) -> Model:
    """A causal transformer with learned positions that normalises first; torch's default initialisation, seeded.

    Raises:
        TypeError: if the task has no texts.
    """
    if not isinstance(task.input, TextInput):
        raise TypeError(f"{task.name} has no texts")
    torch.manual_seed(seed)
    (tokens,) = task.input.tokens
    front = TextFront(task.input, tokens.kind)
    width, depth = scale.integer("width", 64), scale.integer("depth", 2)
    body = _Causal(tokens.size, tokens.length, width, depth, scale.integer("heads", 2))
    return Model(front, body, back_of(task.output))


class _Causal(nn.Module):
    """Tokens (n, steps) to scores (n, steps, vocabulary) of the next one at each place."""

    faint: Tensor

    def __init__(self, size: int, steps: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.size = size
        self.table = nn.Embedding(size, width)
        nn.init.normal_(self.table.weight, std=_STD)
        self.positions = nn.Parameter(_STD * torch.randn(1, steps, width))
        self.blocks = nn.ModuleList(Attending(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, size)
        self.register_buffer("faint", HIDDEN * torch.ones(steps, steps).triu(1).view(1, 1, steps, steps))

    def forward(self, x: Tensor) -> Tensor:
        index = x.clamp(PADDING, self.size - 1).to(torch.int64)
        states = self.table(index) + self.positions
        for block in self.blocks:
            states = block(states, self.faint)
        out: Tensor = self.head(self.norm(states))
        return out
