"""The torch module of SqueezeNet."""

import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.families.grids import STAGES, course_of
from steelyard.families.parts import Model, back_of, front_of

SQUEEZE = 8
"""Channels out of a fire module over those of its squeeze: 128 over 16 (Iandola et al., 2016, table 1)."""


def squeezenet(scale: Scale, task: Task, seed: int) -> Model:
    """SqueezeNet for small pictures, with batch norm; He's normal initialisation, seeded."""
    torch.manual_seed(seed)
    front = front_of(task, scale.integer("resolution", 0) or None)
    body = _FireBody(front.shape, task.output.width, scale.integer("width", 32), scale.integer("depth", 1))
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return Model(front, body, back_of(task.output))


def _convolution(incoming: int, outgoing: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(incoming, outgoing, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outgoing), nn.ReLU())


class _Fire(nn.Module):
    """Few channels by a 1 × 1 convolution, from them half the output by a 1 × 1 and half by a 3 × 3 convolution."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        super().__init__()
        squeezed, half = max(1, outgoing // SQUEEZE), outgoing // 2
        self.squeeze = _convolution(incoming, squeezed, 1)
        self.narrow = _convolution(squeezed, half, 1)
        self.wide = _convolution(squeezed, half, 3)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        return torch.cat([self.narrow(squeezed), self.wide(squeezed)], dim=1)


class _FireBody(nn.Module):
    """Stem, three stages of fire modules, pooling before those that halve, a 1 × 1 convolution to the outputs, mean."""

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, depth: int) -> None:
        super().__init__()
        channels, height, across = shape
        course = course_of(height, across)
        self.stem = _convolution(channels, width, 3, course.stem)
        stages: list[nn.Module] = []
        incoming = width
        for stage, stride in enumerate(course.stages):
            outgoing = width * 2**stage
            pool: nn.Module = nn.MaxPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
            fires = [_Fire(incoming if at == 0 else outgoing, outgoing) for at in range(depth)]
            stages.append(nn.Sequential(pool, *fires))
            incoming = outgoing
        self.stages = nn.Sequential(*stages)
        self.last = nn.Conv2d(width * 2 ** (STAGES - 1), outputs, 1)
        # A fixed window, so that any runtime can run it.
        self.pool = nn.AvgPool2d(course.grid)
        self.flat = nn.Flatten()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.flat(self.pool(self.last(self.stages(self.stem(x)))))
        return out
