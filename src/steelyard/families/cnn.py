"""A plain convolutional network."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import ImageInput
from steelyard.families.ranges import affordable_widths, picture_refusal, resolutions


@dataclass(frozen=True, slots=True)
class Cnn:
    """Blocks of convolution, batch norm, ReLU and pooling, then one linear layer.

    Knobs: `depth` blocks, `width` channels of the first one (doubled in each), `kernel` size, and the input's
    `resolution` (its height after resizing inside the graph).
    """

    name: str = "cnn"

    def refusal(self, task: Task) -> str | None:
        """Takes images of 4 pixels or more a side."""
        return picture_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 to 3, width from 4, kernel 3 and 5, and resolutions from half to full.

        The largest width is 32, halved while training the largest network takes long (`affordable_widths`).
        """
        widths = affordable_widths(task, largest_macs)
        knobs = [Knob("depth", (1, 2, 3)), Knob("width", widths), Knob("kernel", (3, 5))]
        heights = resolutions(task)
        return (*knobs, Knob("resolution", heights)) if heights else tuple(knobs)

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import nets  # noqa: PLC0415  imports torch, which proposing a scale must not

        return nets.cnn(scale, task, seed)


def largest_macs(task: Task, width: int) -> int:
    """Multiply-accumulates of one image through the convolutions at depth 3, kernel 5 and full resolution."""
    if not isinstance(task.input, ImageInput):
        return 0
    pixels, incoming, total = task.input.height * task.input.width, task.input.channels, 0
    for block in range(3):
        outgoing = width * 2**block
        total += pixels * incoming * outgoing * 25
        pixels, incoming = pixels // 4, outgoing
    return total


CNN = Cnn()
"""The entry of the registry."""
