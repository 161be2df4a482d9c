"""Light changes of images that leave their meaning as it is."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

Augment = Literal["none", "shift", "shift-flip"]
AUGMENTS: tuple[Augment, ...] = ("none", "shift", "shift-flip")
FURTHEST = 2
"""Pixels that an image is shifted by at most."""
MOST_CHANNELS = 4
"""A first or last axis of an image up to this size holds its channels; longer ones are height and width."""


def augmented(inputs: tuple[Tensor, ...], how: Augment) -> tuple[Tensor, ...]:
    """Inputs whose images are shifted by up to two pixels each way, and where asked mirrored half the time.

    What comes in over an edge repeats the pixels at the edge. Inputs that are no images, of another shape than
    (n, h, w), (n, h, w, channels) or (n, channels, h, w), or not of floats, stay as they are. Chance is torch's.
    """
    return tuple(_changed(each, how) if is_image(each) and how != "none" else each for each in inputs)


def is_image(x: Tensor) -> bool:
    """Whether a batch looks like images: height and width of at least 8, and one to four channels."""
    height, width = _plane(x)
    return x.is_floating_point() and min(height, width) >= 4 * FURTHEST


def _plane(x: Tensor) -> tuple[int, int]:
    """Height and width of images; 0 and 0 of anything else."""
    if x.ndim == 3:
        return x.shape[1], x.shape[2]
    if x.ndim == 4 and x.shape[-1] <= MOST_CHANNELS:
        return x.shape[1], x.shape[2]
    if x.ndim == 4 and x.shape[1] <= MOST_CHANNELS:
        return x.shape[2], x.shape[3]
    return 0, 0


def _changed(x: Tensor, how: Augment) -> Tensor:
    is_last = x.ndim == 4 and x.shape[-1] <= MOST_CHANNELS
    planes = x.movedim(-1, 1) if is_last else x if x.ndim == 4 else x.unsqueeze(1)
    rows, _, height, width = planes.shape
    padded = F.pad(planes, (FURTHEST,) * 4, mode="replicate")
    down, right = torch.randint(2 * FURTHEST + 1, (2, rows))
    rows_at = down[:, None] + torch.arange(height)
    columns_at = right[:, None] + torch.arange(width)
    if how == "shift-flip":
        is_mirrored = torch.rand(rows) < 0.5
        columns_at = torch.where(is_mirrored[:, None], columns_at.flip(1), columns_at)
    moved = padded[torch.arange(rows)[:, None, None], :, rows_at[:, :, None], columns_at[:, None, :]]
    # Picking by three indices puts the channels last.
    return moved if is_last else moved.movedim(-1, 1) if x.ndim == 4 else moved.squeeze(-1)
