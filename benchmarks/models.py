"""Models of the benchmarks: one of each kind that people ship, of ordinary sizes, with seeded weights."""

import torch
from torch import nn
from torch.nn import functional


def cnn() -> nn.Module:
    """A plain convolutional net for pictures of 3×32×32."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(4096, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norms[0](self.first(x)))
        return functional.relu(x + self.norms[1](self.second(y)))


def residual() -> nn.Module:
    """A residual net of three stages for pictures of 3×32×32."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), _Block(16), nn.Conv2d(16, 32, 3, 2, 1), _Block(32),
        nn.Conv2d(32, 64, 3, 2, 1), _Block(64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 64, batch_first=True)
        self.last = nn.Linear(64, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(x)[0][:, -1])


def lstm() -> nn.Module:
    """An LSTM for series of 29 steps of 12 channels."""
    torch.manual_seed(0)
    return _Recurrent()


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mixed, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, width = x.shape[1], x.shape[2]
        q, k, v = self.mixed(self.before(x)).chunk(3, dim=-1)
        q, k, v = (each.reshape(-1, steps, self.heads, width // self.heads).transpose(1, 2) for each in (q, k, v))
        weights = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, dim=-1)
        x = x + self.joined((weights @ v).transpose(1, 2).reshape(-1, steps, width))
        return x + self.down(functional.gelu(self.up(self.between(x))))


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_Layer(64, 4), _Layer(64, 4))
        self.last = nn.Linear(64, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(x).mean(1))


def encoder() -> nn.Module:
    """A transformer encoder of two layers for 32 steps of 64 channels."""
    torch.manual_seed(0)
    return _Encoder()
