"""The torch modules of networks of inverted residual blocks: MobileNetV2 and EfficientNet."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.families.grids import STAGES, course_of
from steelyard.families.parts import Model, back_of, front_of

PUBLISHED_EXPANSION = 6
"""How many times wider a block is inside than outside (Sandler et al., CVPR 2018, table 2)."""
HEAD = 4
"""Channels before the last layer, over those of the last stage (1280 over 320; the same table)."""
SQUEEZE = 4
"""Channels into a block over those of its squeeze (Tan and Le, ICML 2019)."""

Activation = Callable[[], nn.Module]


def mobilenetv2(scale: Scale, task: Task, seed: int) -> Model:
    """MobileNetV2 for small pictures: three stages, ReLU6; He's normal initialisation, seeded."""
    return _inverted(scale, task, seed, nn.ReLU6, squeezes=False)


def efficientnet(scale: Scale, task: Task, seed: int) -> Model:
    """EfficientNet for small pictures: three stages, squeeze-and-excitation, SiLU; initialised likewise."""
    return _inverted(scale, task, seed, nn.SiLU, squeezes=True)


def _inverted(scale: Scale, task: Task, seed: int, act: Activation, *, squeezes: bool) -> Model:
    torch.manual_seed(seed)
    front = front_of(task, scale.integer("resolution", 0) or None)
    style = _Style(scale.integer("kernel", 3), scale.integer("expansion", PUBLISHED_EXPANSION), act, squeezes)
    body = _InvertedBody(front.shape, task.output.width, scale.integer("width", 16), scale.integer("depth", 1), style)
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return Model(front, body, back_of(task.output))


@dataclass(frozen=True, slots=True)
class _Style:
    """What all blocks of a network have in common."""

    kernel: int
    expansion: int
    act: Activation
    squeezes: bool


class _Excitation(nn.Module):
    """Scales each channel by what the means of all say (Hu et al., Squeeze-and-excitation networks, CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int, act: Activation) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, squeezed, 1)
        self.act = act()
        self.up = nn.Conv2d(squeezed, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.gate(self.up(self.act(self.down(x.mean((2, 3), keepdim=True)))))
        return out


class _Inverted(nn.Module):
    """Widen by a 1 × 1 convolution, look around by one a channel, narrow; added to its input where shapes allow."""

    def __init__(self, incoming: int, outgoing: int, stride: int, style: _Style) -> None:
        super().__init__()
        inside, kernel, act = incoming * style.expansion, style.kernel, style.act
        self.widen = nn.Sequential(nn.Conv2d(incoming, inside, 1, bias=False), nn.BatchNorm2d(inside), act())
        look = nn.Conv2d(inside, inside, kernel, stride, kernel // 2, groups=inside, bias=False)
        self.look = nn.Sequential(look, nn.BatchNorm2d(inside), act())
        self.excite = _Excitation(inside, max(1, incoming // SQUEEZE), act) if style.squeezes else nn.Identity()
        self.narrow = nn.Sequential(nn.Conv2d(inside, outgoing, 1, bias=False), nn.BatchNorm2d(outgoing))
        self.adds = stride == 1 and incoming == outgoing

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(self.excite(self.look(self.widen(x))))
        return x + y if self.adds else y


class _InvertedBody(nn.Module):
    """Stem, three stages of inverted blocks (channels double in each), a wide 1 × 1 convolution, mean, linear layer."""

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, depth: int, style: _Style) -> None:
        super().__init__()
        channels, height, across = shape
        act = style.act
        course = course_of(height, across)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, course.stem, padding=1, bias=False), nn.BatchNorm2d(width), act()
        )
        stages: list[nn.Module] = []
        incoming = width
        for stage in range(STAGES):
            outgoing = width * 2**stage
            blocks: list[nn.Module] = []
            for at in range(depth):
                stride = course.stages[stage] if at == 0 else 1
                blocks.append(_Inverted(incoming, outgoing, stride, style))
                incoming = outgoing
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        last = incoming * HEAD
        self.head = nn.Sequential(nn.Conv2d(incoming, last, 1, bias=False), nn.BatchNorm2d(last), act())
        # A fixed window, so that any runtime can run it.
        self.pool = nn.AvgPool2d(course.grid)
        self.flat = nn.Flatten()
        self.last = nn.Linear(last, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.flat(self.pool(self.head(self.stages(self.stem(x))))))
        return out
