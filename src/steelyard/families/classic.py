"""The torch module of LeNet-like networks."""

import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.families.parts import Model, back_of, front_of

SECOND = 16 / 6
"""Channels of the second convolution over those of the first (LeCun et al., 1998, figure 2)."""
LAST = 84 / 120
"""Units of the second dense layer over those of the first (the same)."""


def lenet(scale: Scale, task: Task, seed: int) -> Model:
    """LeNet-5's layout with ReLU and max pooling; He's normal initialisation, seeded."""
    torch.manual_seed(seed)
    front = front_of(task, scale.integer("resolution", 0) or None)
    body = _LenetBody(front.shape, task.output.width, scale)
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return Model(front, body, back_of(task.output))


class _LenetBody(nn.Module):
    """Two convolutions with pooling, three dense layers; the second convolution is not padded where it fits."""

    def __init__(self, shape: tuple[int, ...], outputs: int, scale: Scale) -> None:
        super().__init__()
        channels, height, across = shape
        width, kernel, dense = scale.integer("width", 6), scale.integer("kernel", 5), scale.integer("dense", 120)
        second, last = round(width * SECOND), max(1, round(dense * LAST))
        self.conv1 = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
        height, across = height // 2, across // 2
        padding = kernel // 2 if min(height, across) <= kernel else 0
        self.conv2 = nn.Conv2d(width, second, kernel, padding=padding)
        shrunk = 0 if padding else kernel - 1
        height, across = (height - shrunk) // 2, (across - shrunk) // 2
        self.pool, self.act, self.flat = nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()
        self.dense1 = nn.Linear(second * height * across, dense)
        self.dense2 = nn.Linear(dense, last)
        self.dense3 = nn.Linear(last, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        out: Tensor = self.dense3(self.act(self.dense2(self.act(self.dense1(self.flat(x))))))
        return out
