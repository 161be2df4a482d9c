"""Default ranges of knobs, taken from the task."""

import math
from collections.abc import Callable

from steelyard.core.protocols import Task
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import ImageInput, PairInput, TensorInput

EPOCH_MACS = 1.2e11
"""Multiply-accumulates of an epoch's forward pass: about 15 seconds of training on one core of a server of 2020."""


def feature_count(task: Task) -> int:
    """Features after the front: pixels times channels, or numbers, indicators and one-hot categories."""
    if isinstance(task.input, ImageInput):
        return task.input.height * task.input.width * task.input.channels
    if isinstance(task.input, TensorInput):
        return sum(math.prod(size for size in port.shape or () if isinstance(size, int)) for port in task.input.ports)
    if isinstance(task.input, SeriesInput):
        return (task.input.channels + task.input.has_padding) * task.input.steps
    if isinstance(task.input, SoundInput):
        return task.input.mels * task.input.frames
    if isinstance(task.input, TextInput):
        return task.input.of("word").size
    return sum(
        len(column.categories) if column.kind == "category" else 1 + column.has_missing for column in task.input.columns
    )


def hidden_widths(task: Task) -> tuple[int, ...]:
    """Five powers of two, the largest about twice the features, between 64 and 512."""
    largest = 2 ** round(math.log2(max(64, min(512, 2 * feature_count(task)))))
    return tuple(largest // 2**i for i in (4, 3, 2, 1, 0))


def resolutions(task: Task) -> tuple[int, ...]:
    """Input heights from half to full, in even steps; the full height alone where the input is no image."""
    if not isinstance(task.input, ImageInput) or task.input.height < 8:
        return ()
    full = task.input.height
    if full < 16:
        return (full // 2, full)
    return (full // 2, 2 * round(0.375 * full), full)


def plain_refusal(task: Task) -> str | None:
    """Why a network of plain layers can't learn a task; None where a row is a list of numbers."""
    if isinstance(task.input, PairInput):
        return "users and items are names, not numbers; factorization takes them"
    return None


def picture_refusal(task: Task) -> str | None:
    """Why a convolutional network can't learn a task; None for images of 4 pixels or more a side."""
    if not isinstance(task.input, ImageInput):
        return "it needs images; mlp and linear take tables"
    if min(task.input.height, task.input.width) < 4:
        return "it needs images of at least 4 pixels a side"
    return None


def affordable_widths(
    task: Task, largest_macs: Callable[[Task, int], int], widths: tuple[int, ...] = (4, 8, 16, 32)
) -> tuple[int, ...]:
    """Widths, two at least, without the largest ones while an epoch of these would take more than `EPOCH_MACS`.

    Args:
        task: whose training rows make an epoch.
        largest_macs: multiply-accumulates of one image through the largest network of a width.
        widths: from small to large.
    """
    while len(widths) > 2 and len(task.train) * largest_macs(task, widths[-1]) > EPOCH_MACS:
        widths = widths[:-1]
    return widths
