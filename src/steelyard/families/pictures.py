"""What families of pictures have in common: depth or the like, an affordable width, and the resolution of the input."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.registry import Lazy
from steelyard.core.task import ImageInput
from steelyard.families.ranges import affordable_widths, picture_refusal, resolutions

MacsOf = Callable[[ImageInput, int], int]
"""Multiply-accumulates of one image through the largest network of a width."""


@dataclass(frozen=True, slots=True)
class PictureFamily:
    """A family of networks that take pictures.

    Attributes:
        name: the family's.
        maker: the function (scale, task, seed) that makes the module; its file imports torch.
        knobs_before: the knobs other than width and resolution.
        largest_macs: how dear the largest network of a width is, to end the widths where an epoch would take long.
        widths: choices of `width` where pictures are few and small.
    """

    name: str
    maker: Lazy
    knobs_before: tuple[Knob, ...]
    largest_macs: MacsOf
    widths: tuple[int, ...] = (4, 8, 16, 32)

    def refusal(self, task: Task) -> str | None:
        """Takes images of 4 pixels or more a side."""
        return picture_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """The family's own, then width, then resolutions from half to full."""
        knobs = (*self.knobs_before, Knob("width", affordable_widths(task, self._macs, self.widths)))
        heights = resolutions(task)
        return (*knobs, Knob("resolution", heights)) if heights else knobs

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        return self.maker.resolve()(scale, task, seed)

    def _macs(self, task: Task, width: int) -> int:
        return self.largest_macs(task.input, width) if isinstance(task.input, ImageInput) else 0
