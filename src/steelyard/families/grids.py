"""How a network of three stages goes through a picture: where it halves it, and what is left at the end."""

from dataclasses import dataclass

STAGES = 3
"""Stages of a network for small pictures (He et al., CVPR 2016, section 4.2)."""
STEM_HALVES = 64
"""Pixels of the shorter side from which the stem halves the picture, as networks for photographs do."""
FIRST_HALVES = 128
"""Pixels of the shorter side from which the first stage halves it too."""


@dataclass(frozen=True, slots=True)
class Course:
    """The strides of the stem and of each stage, and the height and width of what comes out."""

    stem: int
    stages: tuple[int, ...]
    grid: tuple[int, int]


def course_of(height: int, width: int) -> Course:
    """The strides for pictures of a size: stages halve, but for the first of a small picture and what is 1 wide.

    Strides divide as padded convolutions do, to the upper whole number.
    """
    side = min(height, width)
    stem = 2 if side >= STEM_HALVES else 1
    size = _divided((height, width), stem)
    strides = []
    for stage in range(STAGES):
        halves = side >= FIRST_HALVES if stage == 0 else min(size) >= 2
        strides.append(2 if halves else 1)
        size = _divided(size, strides[-1])
    return Course(stem, tuple(strides), size)


def _divided(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return -(-size[0] // stride), -(-size[1] // stride)
