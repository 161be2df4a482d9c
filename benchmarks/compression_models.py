"""Models of the benchmarks of compression: ordinary ones, somewhat larger than their tasks need, with seeded weights.

Each function takes no argument and returns a module from raw inputs (n, ...) to outputs (n, classes).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

WORDS = 1230
"""Words that benchmarks/compression_data.py finds in the training texts of banking77, with padding and the unknown."""


def _convolved(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def mnist_cnn() -> nn.Module:
    """Three convolutions and two dense layers for pictures of 1×28×28: 897k parameters."""
    torch.manual_seed(0)
    return nn.Sequential(
        *_convolved(1, 32), nn.MaxPool2d(2),
        *_convolved(32, 64), nn.MaxPool2d(2),
        *_convolved(64, 128), nn.Flatten(),
        nn.Linear(128 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10),
    )  # fmt: skip


class _Block(nn.Module):
    """A basic block (He et al., Deep Residual Learning for Image Recognition, CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm1(self.conv1(x)))
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def cifar_resnet() -> nn.Module:
    """A residual net of three stages of two blocks for pictures of 3×32×32: 1.0M parameters."""
    torch.manual_seed(0)
    return nn.Sequential(
        *_convolved(3, 32), nn.MaxPool2d(2),
        _Block(32, 32, 1), _Block(32, 32, 1),
        _Block(32, 64, 2), _Block(64, 64, 1),
        _Block(64, 160, 2), _Block(160, 160, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, 10),
    )  # fmt: skip


def fsdd_cnn() -> nn.Module:
    """Four convolutions and two dense layers for spectrograms of 1×64×32: 767k parameters."""
    torch.manual_seed(0)
    return nn.Sequential(
        *_convolved(1, 32), nn.MaxPool2d(2),
        *_convolved(32, 64), nn.MaxPool2d(2),
        *_convolved(64, 128), nn.MaxPool2d(2),
        *_convolved(128, 128), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(128 * 8 * 4, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        steps = x.shape[1]
        q, k, v = (
            each(x).reshape(-1, steps, self.heads, each.out_features // self.heads).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5) + mask, dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(-1, steps, self.out.in_features))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), _Attention(width, heads)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.norm1(x), mask))
        return x + self.drop(self.down(functional.gelu(self.up(self.norm2(x)))))


class _Transformer(nn.Module):
    """An encoder over words with the mean of the words that are no padding."""

    def __init__(self, words: int, classes: int, *, width: int, layers: int, heads: int, steps: int = 32) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=0)
        self.places = nn.Parameter(torch.randn(1, steps, width) * 0.02)
        self.drop = nn.Dropout(0.3)
        self.layers = nn.ModuleList([_Layer(width, heads, 0.2) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, classes)
        nn.init.normal_(self.words.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        seen = (tokens != 0).to(self.places.dtype)
        # −30 hides a word as well as −10,000 does, and keeps the range of values that a quantizer sees short.
        mask = (seen[:, None, None, :] - 1.0) * 30.0
        x = self.drop(self.words(tokens) + self.places[:, : tokens.shape[1]])
        for layer in self.layers:
            x = layer(x, mask)
        kept = seen[:, :, None]
        return self.last((self.norm(x) * kept).sum(1) / kept.sum(1).clamp(min=1.0))


def banking_transformer() -> nn.Module:
    """An encoder of four layers of 128 for 32 words: 965k parameters."""
    torch.manual_seed(0)
    return _Transformer(WORDS, 77, width=128, layers=4, heads=4)


class _Recurrent(nn.Module):
    """Layers of LSTM in both directions over frames of a few readings, and the mean of all steps."""

    def __init__(self, frame: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.frame = frame
        self.lstm = nn.LSTM(frame, hidden, num_layers=2, batch_first=True, bidirectional=True, dropout=0.2)
        self.last = nn.Linear(2 * hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(x.reshape(-1, x.shape[1] // self.frame, self.frame))[0].mean(1))


def devices_lstm() -> nn.Module:
    """A bidirectional LSTM of two layers of 128 over 24 frames of a series of 96 readings: 534k parameters."""
    torch.manual_seed(0)
    return _Recurrent(4, 128, 7)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mnist": mnist_cnn,
    "cifar10": cifar_resnet,
    "fsdd": fsdd_cnn,
    "banking77": banking_transformer,
    "electric_devices": devices_lstm,
}
"""The model of each task."""
