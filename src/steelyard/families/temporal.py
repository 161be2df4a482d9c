"""The torch modules of networks over sequences: convolutional, recurrent, attending."""

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import SequenceInput
from steelyard.families.fronts import SeriesFront, SoundFront, Stem, TextFront, sequence_front
from steelyard.families.parts import Model, back_of
from steelyard.families.sequences import EMBEDDED, HEAD_CHANNELS

POOLED_FROM = 16
"""Sequences of this many steps or more are halved behind a convolution."""
TEXT_DROPOUT, DROPOUT = 0.5, 0.1
"""Shares of features left out while training, in front of the last layer: Kim, EMNLP 2014, for texts."""
EMBEDDING_DROPOUT = 0.2
FAINT = -30.0
"""What is added to the attention on a missing step: e^−30 is nothing in float32, and does not widen 8-bit ranges."""


def cnn1d(scale: Scale, task: Task, seed: int) -> Model:
    """Blocks of convolution along the steps, batch norm, ReLU and pooling; He's normal initialisation, seeded."""
    front, stem = _begun(scale, task, seed)
    core = _Convolutions(
        stem.channels,
        front.shape[-1],
        scale.integer("width", 32),
        scale.integer("depth", 2),
        scale.integer("kernel", 5),
    )
    return _finished(front, stem, core, task)


def lstm(scale: Scale, task: Task, seed: int) -> Model:
    """Layers of long short-term memory; torch's default initialisation, seeded."""
    front, stem = _begun(scale, task, seed)
    return _finished(front, stem, _Recurrent(nn.LSTM, stem.channels, *_size(scale)), task)


def gru(scale: Scale, task: Task, seed: int) -> Model:
    """Layers of gated recurrent units; torch's default initialisation, seeded."""
    front, stem = _begun(scale, task, seed)
    return _finished(front, stem, _Recurrent(nn.GRU, stem.channels, *_size(scale)), task)


def transformer(scale: Scale, task: Task, seed: int) -> Model:
    """An encoder of blocks that normalise first; torch's default initialisation, learned positions, seeded."""
    front, stem = _begun(scale, task, seed)
    width, depth = _size(scale)
    core = _Encoder(stem.channels, front.shape[-1], width, depth, scale.integer("heads", 2))
    return _finished(front, stem, core, task)


def _size(scale: Scale) -> tuple[int, int]:
    return scale.integer("width", 32), scale.integer("depth", 1)


def _begun(scale: Scale, task: Task, seed: int) -> tuple[SeriesFront | SoundFront | TextFront, Stem]:
    """The front, and the stem with its weights drawn from the seed."""
    torch.manual_seed(seed)
    front = sequence_front(_sequence(task), str(dict(scale.settings).get("vocabulary", "")))
    return front, Stem(front, min(EMBEDDED, 2 * scale.integer("width", 32)))


def _sequence(task: Task) -> SequenceInput:
    if isinstance(task.input, SeriesInput | TextInput | SoundInput):
        return task.input
    raise TypeError(f"{task.name} has no sequences")


def _finished(front: nn.Module, stem: Stem, core: "_Convolutions | _Recurrent | _Encoder", task: Task) -> Model:
    is_text = isinstance(task.input, TextInput)
    body = _Body(stem, core, task.output.width, TEXT_DROPOUT if is_text else DROPOUT, is_text=is_text)
    return Model(front, body, back_of(task.output))


class _Body(nn.Module):
    """Stem, core, then mean and maximum over the steps that are there, and a linear layer."""

    def __init__(
        self, stem: Stem, core: "_Convolutions | _Recurrent | _Encoder", outputs: int, dropout: float, *, is_text: bool
    ) -> None:
        super().__init__()
        self.stem = stem
        self.drop_tokens = nn.Dropout(EMBEDDING_DROPOUT if is_text else 0.0)
        self.core = core
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(2 * core.channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        sequence, mask = self.stem(x)
        sequence, mask = self.core(self.drop_tokens(sequence), mask)
        out: Tensor = self.head(self.drop(_pooled(sequence, mask)))
        return out


def _pooled(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean and maximum (n, 2 × channels) over the steps of (n, channels, steps) that are there."""
    if mask is None:
        return torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)
    mean = (x * mask).sum(dim=2) / mask.sum(dim=2).clamp(min=1.0)
    return torch.cat([mean, (x + (mask - 1.0) * -FAINT).amax(dim=2)], dim=1)


class _Convolutions(nn.Module):
    """Blocks; each doubles the channels and halves the steps while they are many. Missing steps stay zero."""

    def __init__(self, incoming: int, steps: int, width: int, depth: int, kernel: int) -> None:
        super().__init__()
        self.convs, self.norms, self.pools = nn.ModuleList(), nn.ModuleList(), []
        for block in range(depth):
            outgoing = width * 2**block
            conv = nn.Conv1d(incoming, outgoing, kernel, padding=kernel // 2, bias=False)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            self.convs.append(conv)
            self.norms.append(nn.BatchNorm1d(outgoing))
            self.pools.append(steps >= POOLED_FROM)
            steps, incoming = steps // (1 + self.pools[-1]), outgoing
        self.channels = incoming

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for conv, norm, pools in zip(self.convs, self.norms, self.pools, strict=True):
            x = F.relu(norm(conv(x)))
            x = x if mask is None else x * mask
            if pools:
                x, mask = F.max_pool1d(x, 2), None if mask is None else F.max_pool1d(mask, 2)
        return x, mask


class _Recurrent(nn.Module):
    """Layers that read the steps in their order; padding stands behind and changes nothing before it."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU], incoming: int, width: int, depth: int) -> None:
        super().__init__()
        self.cells = kind(incoming, width, num_layers=depth, batch_first=True)
        self.channels = width

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        states, _ = self.cells(x.transpose(1, 2))
        return states.transpose(1, 2), mask


class Attending(nn.Module):
    """Attention with heads, and two linear layers with GELU between, each beside a shortcut and behind a norm.

    References:
        Vaswani et al., "Attention is all you need", NeurIPS 2017; Xiong et al., "On layer normalization in the
        transformer architecture", ICML 2020, for the place of the norms.
    """

    def __init__(self, width: int, heads: int) -> None:
        """Make a block of `width` channels with `heads` heads of `HEAD_CHANNELS` each."""
        super().__init__()
        self.heads, inner = heads, heads * HEAD_CHANNELS
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, faint: Tensor | None) -> Tensor:
        """Of (n, steps, width); `faint` is added to the attention (n or 1, 1, steps or 1, steps)."""
        y = self.norm1(x)
        query, key, value = (
            part(y).unflatten(2, (self.heads, HEAD_CHANNELS)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) * HEAD_CHANNELS**-0.5
        weights = (scores if faint is None else scores + faint).softmax(dim=3)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        out: Tensor = x + self.outer(F.gelu(self.inner(self.norm2(x))))
        return out


class _Encoder(nn.Module):
    """A linear map of each step, its position added, blocks of attention to the steps that are there, a norm."""

    def __init__(self, incoming: int, steps: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.inlet = nn.Linear(incoming, width)
        self.positions = nn.Parameter(0.02 * torch.randn(1, steps, width))
        self.blocks = nn.ModuleList(Attending(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.channels = width

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.inlet(x.transpose(1, 2)) + self.positions
        faint = None if mask is None else (mask.unsqueeze(2) - 1.0) * -FAINT
        for block in self.blocks:
            x = block(x, faint)
        return self.norm(x).transpose(1, 2), mask
