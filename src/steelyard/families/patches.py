"""The torch module of a vision transformer."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.task import ImageInput
from steelyard.families.parts import Model, back_of, front_of

HEAD_SIZE = 16
"""Channels of a head, whatever their number: one more or less changes no other (Chen et al., AutoFormer, ICCV 2021)."""
FEED_FORWARD = 2
"""Width of the feed-forward layer over the model's, for small pictures (Hassani et al., arXiv:2104.05704, 2021)."""
SPREAD = 0.02
"""Standard deviation of the first weights of embeddings (Dosovitskiy et al., ICLR 2021)."""


def vit(scale: Scale, task: Task, seed: int) -> Model:
    """A vision transformer: patches, encoder layers with norms before, mean over the patches; seeded."""
    torch.manual_seed(seed)
    front = front_of(task, scale.integer("resolution", 0) or None)
    height = task.input.height if isinstance(task.input, ImageInput) else front.shape[1]
    body = _PatchBody(front.shape, patch_of(height), task.output.width, scale)
    return Model(front, body, back_of(task.output))


def patch_of(height: int) -> int:
    """Pixels of a patch's side: about an eighth of the raw picture's height, a power of two, 2 at least."""
    return max(2, 1 << max(0, round(math.log2(height / 8))))


class _Attention(nn.Module):
    """Self-attention of heads of one size, over (n, patches, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        inside = heads * HEAD_SIZE
        self.query, self.key, self.value = (nn.Linear(width, inside) for _ in range(3))
        self.out = nn.Linear(inside, width)

    def forward(self, x: Tensor) -> Tensor:
        patches = x.shape[1]
        query, key, value = (
            each(x).reshape(-1, patches, self.heads, HEAD_SIZE).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        weights = torch.softmax(query @ key.transpose(-1, -2) * HEAD_SIZE**-0.5, dim=-1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).reshape(-1, patches, self.heads * HEAD_SIZE))
        return out


class _Layer(nn.Module):
    """Attention and two linear layers, each added to what it was given."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.act = nn.Linear(width, FEED_FORWARD * width), nn.GELU()
        self.down = nn.Linear(FEED_FORWARD * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.down(self.act(self.up(self.norm2(x))))
        return out


class _PatchBody(nn.Module):
    """Patches to vectors, a place's embedding added (its row's and its column's), layers, norm, mean, linear layer."""

    def __init__(self, shape: tuple[int, ...], patch: int, outputs: int, scale: Scale) -> None:
        super().__init__()
        channels, height, across = shape
        width, depth, heads = scale.integer("width", 32), scale.integer("depth", 2), scale.integer("heads", 2)
        rows, columns = -(-height // patch), -(-across // patch)
        self.padding = (0, columns * patch - across, 0, rows * patch - height)
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.rows = nn.Parameter(torch.randn(1, width, rows, 1) * SPREAD)
        self.columns = nn.Parameter(torch.randn(1, width, 1, columns) * SPREAD)
        self.layers = nn.Sequential(*(_Layer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            x = functional.pad(x, self.padding)
        patches = (self.embed(x) + self.rows + self.columns).flatten(2).transpose(1, 2)
        out: Tensor = self.last(self.norm(self.layers(patches)).mean(1))
        return out
