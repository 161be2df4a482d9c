"""LeNet-300-100 and Caffe's LeNet-5, their rows, and how the references are trained."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from steelyard.core.task import Rows

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist_35k.npz"
TURN, ZOOM, SHIFT = 12.0, 0.12, 2.0
"""Augmentation, uniform within these: degrees, share of the size, pixels."""


def lenet_300_100() -> nn.Module:
    """266,610 parameters (LeCun et al., Gradient-based learning applied to document recognition, 1998)."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def lenet_5() -> nn.Module:
    """431,080 parameters: the LeNet-5 that comes with Caffe, which has no activation behind its convolutions."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


def split(name: str) -> Rows:
    """One split of the data: pictures (n, 1, 28, 28) in [0, 1], and digits."""
    with np.load(DATA) as arrays:
        x = arrays[f"x_{name}"].astype(np.float32)[:, None] / np.float32(255)
        return Rows(x, arrays[f"y_{name}"].astype(np.int64))


def augmented(x: Tensor, seed: int) -> Tensor:
    """A copy of the pictures, each turned, zoomed and shifted a little at random."""
    draw = torch.Generator().manual_seed(seed)

    def within(limit: float, *shape: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=draw) - 1) * limit

    angle, zoom = within(math.radians(TURN), len(x)), 1 + within(ZOOM, len(x))
    matrix = torch.zeros(len(x), 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = torch.cos(angle) * zoom
    matrix[:, 1, 0] = torch.sin(angle) * zoom
    matrix[:, 0, 1] = -matrix[:, 1, 0]
    # An affine grid counts in halves of the picture.
    matrix[:, :, 2] = within(SHIFT, len(x), 2) / 14
    parts = []
    for start in range(0, len(x), 2000):
        part = x[start : start + 2000]
        grid = functional.affine_grid(matrix[start : start + 2000], list(part.shape), align_corners=False)
        parts.append(functional.grid_sample(part, grid, align_corners=False))
    return torch.cat(parts)


def error(module: nn.Module, rows: Rows) -> float:
    """The share of rows that the module gets wrong."""
    wrong = 0
    module.eval()
    with torch.no_grad():
        for start in range(0, len(rows), 1000):
            out = module(torch.from_numpy(rows.x[start : start + 1000]))
            wrong += int((out.argmax(1).numpy() != rows.y[start : start + 1000]).sum())
    return wrong / len(rows)


def trained(
    module: nn.Module, train: Rows, *, seed: int, epochs: int, augment: bool = True, rate: float = 2e-3
) -> nn.Module:
    """The module trained in place by Adam, its rate falling to nothing along half a cosine."""
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * math.ceil(len(x) / 128)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    module.train()
    for epoch in range(epochs):
        seen = augmented(x, seed * 1000 + epoch) if augment else x
        for index in _orders(len(x), 128, seed * 1000 + epoch):
            optimizer.zero_grad()
            functional.cross_entropy(module(seen[index]), y[index]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return module.eval()


def _orders(rows: int, size: int, seed: int) -> Iterator[Tensor]:
    yield from torch.randperm(rows, generator=torch.Generator().manual_seed(seed)).split(size)
