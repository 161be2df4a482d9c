"""Your own PyTorch model: every argument that steelyard does not fill in is a knob of the search."""

from typing import Literal

from torch import nn


def build(inputs: int, outputs: int, width: Literal[8, 32, 128] = 32) -> nn.Module:
    """Two layers; `inputs` and `outputs` are filled in, `width` is searched."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))
