"""One convolution and one dense layer for digits, at three sizes that are often told as "the half"."""

from typing import Literal

from torch import nn

SIZES = {"quarter": (16, 64), "half": (32, 64), "whole": (32, 128)}
"""Filters of the convolution and units of the dense layer."""


def build(shape: tuple[int, int, int], outputs: int, size: Literal["quarter", "half", "whole"] = "whole") -> nn.Module:
    """The network; `shape` (channels, height, width) and `outputs` are filled in, `size` is searched."""
    filters, units = SIZES[size]
    channels, height, width = shape
    grid = (height - 2) // 2 * ((width - 2) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(filters * grid, units), nn.ReLU(), nn.Linear(units, outputs),
    )  # fmt: skip
