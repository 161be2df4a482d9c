"""A residual network for small pictures."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.registry import Lazy
from steelyard.core.task import ImageInput
from steelyard.families.pictures import PictureFamily
from steelyard.families.ranges import affordable_widths, picture_refusal, resolutions


@dataclass(frozen=True, slots=True)
class Resnet:
    """Three stages of basic residual blocks, the mean over the picture, one linear layer.

    Knobs: `depth` blocks a stage, `width` channels of the first stage (doubled in each), and the input's `resolution`
    (its height after resizing inside the graph).

    References:
        K. He et al., Deep residual learning for image recognition, CVPR 2016.
    """

    name: str = "resnet"

    def refusal(self, task: Task) -> str | None:
        """Takes images of 4 pixels or more a side."""
        return picture_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 to 3, width from 4, and resolutions from half to full.

        The largest width is 32, halved while training the largest network takes long (`affordable_widths`).
        """
        widths = affordable_widths(task, largest_macs)
        knobs = [Knob("depth", (1, 2, 3)), Knob("width", widths)]
        heights = resolutions(task)
        return (*knobs, Knob("resolution", heights)) if heights else tuple(knobs)

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import residual  # noqa: PLC0415  imports torch, which proposing a scale must not

        return residual.resnet(scale, task, seed)


def largest_macs(task: Task, width: int) -> int:
    """Multiply-accumulates of one image through the convolutions at depth 3 and full resolution.

    Each stage has a quarter of the pixels and four times the products a pixel, so all three cost the same.
    """
    if not isinstance(task.input, ImageInput):
        return 0
    return task.input.height * task.input.width * 9 * (task.input.channels * width + 3 * 6 * width * width)


RESNET = Resnet()
"""The entry of the registry."""


def largest_bottleneck_macs(spec: ImageInput, width: int) -> int:
    """Multiply-accumulates of one image through bottleneck blocks at depth 3: 17 times width² a pixel and block."""
    return spec.height * spec.width * (9 * spec.channels * width + 3 * 3 * 17 * width * width)


BOTTLENECK = PictureFamily(
    "resnet-bottleneck",
    Lazy("steelyard.families.residual:bottleneck"),
    (Knob("depth", (1, 2, 3)),),
    largest_bottleneck_macs,
)
"""The same of bottleneck blocks (He et al., CVPR 2016, figure 5); `width` is that of their inside, a quarter of theirs.
"""
