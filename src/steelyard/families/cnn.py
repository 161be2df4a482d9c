"""A plain convolutional network."""

from dataclasses import dataclass

import torch
from torch import nn

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import ImageInput
from steelyard.families.inputs import Model, back_of, front_of
from steelyard.families.ranges import resolutions

LARGEST_GRID = 4
"""Feature maps larger than this are averaged down to it before the last layer, so that it stays small."""


@dataclass(frozen=True, slots=True)
class Cnn:
    """Blocks of convolution, batch norm, ReLU and pooling, then one linear layer.

    Knobs: `depth` blocks, `width` channels of the first one (doubled in each), `kernel` size, and the input's
    `resolution` (its height after resizing inside the graph).
    """

    name: str = "cnn"

    def refusal(self, task: Task) -> str | None:
        """Takes images of 4 pixels or more a side."""
        if not isinstance(task.input, ImageInput):
            return "it needs images; mlp and linear take tables"
        if min(task.input.height, task.input.width) < 4:
            return "it needs images of at least 4 pixels a side"
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 to 3, width 4 to 32, kernel 3 and 5, and resolutions from half to full."""
        knobs = [Knob("depth", (1, 2, 3)), Knob("width", (4, 8, 16, 32)), Knob("kernel", (3, 5))]
        heights = resolutions(task)
        return (*knobs, Knob("resolution", heights)) if heights else tuple(knobs)

    def build(self, scale: Scale, task: Task, seed: int) -> Model:
        """Weights by He's normal initialisation (He et al., ICCV 2015), seeded."""
        torch.manual_seed(seed)
        front = front_of(task, scale.integer("resolution", 0) or None)
        channels, height, width = front.shape
        kernel, outgoing = scale.integer("kernel", 3), scale.integer("width", 16)
        layers: list[nn.Module] = []
        for _ in range(scale.integer("depth", 2)):
            layers += _block(channels, outgoing, kernel, pools=min(height, width) >= 2)
            if min(height, width) >= 2:
                height, width = height // 2, width // 2
            channels, outgoing = outgoing, outgoing * 2
        pool, height, width = _pooled(height, width)
        layers += [pool, nn.Flatten(), nn.Linear(channels * height * width, task.output.width)]
        return Model(front, nn.Sequential(*layers), back_of(task.output))


def _block(incoming: int, outgoing: int, kernel: int, *, pools: bool) -> list[nn.Module]:
    conv = nn.Conv2d(incoming, outgoing, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    block: list[nn.Module] = [conv, nn.BatchNorm2d(outgoing), nn.ReLU()]
    return [*block, nn.MaxPool2d(2)] if pools else block


def _pooled(height: int, width: int) -> tuple[nn.Module, int, int]:
    """Average pooling to at most LARGEST_GRID a side, with fixed windows so that any runtime can run it."""
    to_height, to_width = min(height, LARGEST_GRID), min(width, LARGEST_GRID)
    if (to_height, to_width) == (height, width):
        return nn.Identity(), height, width
    stride = (height // to_height, width // to_width)
    window = (height - (to_height - 1) * stride[0], width - (to_width - 1) * stride[1])
    return nn.AvgPool2d(window, stride), to_height, to_width
