"""The torch module of residual networks."""

import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.families.parts import Model, back_of, front_of

RESIDUAL_STAGES = 3
"""Stages of a residual network for small pictures (He et al., CVPR 2016, section 4.2)."""


def resnet(scale: Scale, task: Task, seed: int) -> Model:
    """A residual network of basic blocks in up to three stages; He's normal initialisation (ICCV 2015), seeded.

    Names of parameters do not depend on the scale, so that a smaller network's are parts of a larger one's.
    """
    return _residual(scale, task, seed, _Basic)


def bottleneck(scale: Scale, task: Task, seed: int) -> Model:
    """The same of bottleneck blocks, whose width is that of their narrow inside."""
    return _residual(scale, task, seed, _Bottleneck)


def _residual(scale: Scale, task: Task, seed: int, block: "type[_Basic | _Bottleneck]") -> Model:
    torch.manual_seed(seed)
    front = front_of(task, scale.integer("resolution", 0) or None)
    channels, height, width = front.shape
    body = _ResidualBody(
        channels, (height, width), task.output.width, scale.integer("width", 16), scale.integer("depth", 1), block
    )
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return Model(front, body, back_of(task.output))


class _Basic(nn.Module):
    """Two convolutions beside a shortcut, which is a 1 × 1 convolution where the shape changes."""

    widening = 1

    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(incoming, outgoing, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outgoing)
        self.conv2 = nn.Conv2d(outgoing, outgoing, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outgoing)
        self.act = nn.ReLU()
        self.shortcut = _shortcut(incoming, outgoing, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm1(self.conv1(x)))
        out: Tensor = self.act(self.norm2(self.conv2(y)) + self.shortcut(x))
        return out


class _Bottleneck(nn.Module):
    """Narrow by a 1 × 1 convolution, look around, widen again, beside a shortcut."""

    widening = 4

    def __init__(self, incoming: int, inside: int, stride: int) -> None:
        super().__init__()
        outgoing = inside * self.widening
        self.conv1 = nn.Conv2d(incoming, inside, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, outgoing, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(outgoing)
        self.act = nn.ReLU()
        self.shortcut = _shortcut(incoming, outgoing, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm1(self.conv1(x)))
        y = self.act(self.norm2(self.conv2(y)))
        out: Tensor = self.act(self.norm3(self.conv3(y)) + self.shortcut(x))
        return out


def _shortcut(incoming: int, outgoing: int, stride: int) -> nn.Module:
    if stride == 1 and incoming == outgoing:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(incoming, outgoing, 1, stride, bias=False), nn.BatchNorm2d(outgoing))


class _ResidualBody(nn.Module):
    """Stem, stages (each halves the picture and doubles the channels, but for the first), mean, linear layer."""

    def __init__(  # noqa: PLR0917  what a network is made of
        self,
        channels: int,
        size: tuple[int, int],
        outputs: int,
        width: int,
        depth: int,
        block: type[_Basic | _Bottleneck],
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        stages: list[nn.Module] = []
        incoming, inside = width, width
        height, across = size
        for stage in range(RESIDUAL_STAGES):
            stride = 1 if stage == 0 or min(height, across) < 2 else 2
            outgoing = inside * block.widening
            blocks = [block(incoming if at == 0 else outgoing, inside, stride if at == 0 else 1) for at in range(depth)]
            stages.append(nn.Sequential(*blocks))
            height, across = -(-height // stride), -(-across // stride)
            incoming, inside = outgoing, inside * 2
        self.stages = nn.Sequential(*stages)
        # A fixed window, so that any runtime can run it.
        self.pool = nn.AvgPool2d((height, across))
        self.flat = nn.Flatten()
        self.head = nn.Linear(incoming, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.flat(self.pool(self.stages(self.stem(x)))))
        return out
