"""Image arrays: their layout, and mean and spread per channel of the training split."""

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, ImageInput, Layout

_MOST_CHANNELS = 16
"""An axis this short, and shorter than the others, is taken for the channels."""


def image_array(x: Array, *, origin: str) -> Array:
    """Images with pixels as uint8 where their numbers allow it, else float32.

    Args:
        x: images (n, h, w), (n, h, w, c) or (n, c, h, w).
        origin: the file's name, for messages.

    Raises:
        DataError: if these are no images, or pixels are no finite numbers.
    """
    if x.ndim not in (3, 4) or 0 in x.shape[1:]:
        raise DataError(
            f"images of {origin} must have shape (n, height, width), with or without a channel axis, got {x.shape}; "
            "reshape them, or ask for tabular-classification.",
            field="data",
        )
    if x.dtype.kind not in "buif":
        raise DataError(f"images of {origin} must hold numbers, got {x.dtype}; save pixels as numbers.", field="data")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind in "bui" and x.size and x.min() >= 0 and x.max() <= 255:
        return x.astype(np.uint8)
    with np.errstate(over="ignore"):
        pixels = x.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise DataError(
            f"images of {origin} must hold finite numbers within float32, got NaN, infinite or larger ones; "
            "clean the pixels.",
            field="data",
        )
    return pixels


def layout_of(shape: tuple[int, ...], *, origin: str) -> Layout:
    """The layout of one image's shape.

    Raises:
        DataError: if no axis can be the channels.
    """
    if len(shape) == 2:
        return "hw"
    if shape[2] in (1, 3, 4):
        return "hwc"
    if shape[0] in (1, 3, 4):
        return "chw"
    if shape[2] <= _MOST_CHANNELS and shape[2] < shape[0]:
        return "hwc"
    if shape[0] <= _MOST_CHANNELS and shape[0] < shape[2]:
        return "chw"
    raise DataError(
        f"images of {origin} must have a channel axis first or last, got rows of shape {shape}; move it there.",
        field="data",
    )


def fit_images(x: Array, layout: Layout) -> ImageInput:
    """The specification of images, mean and standard deviation per channel taken from these rows (1 if constant).

    Args:
        x: training images (n, ...) in the layout, uint8 or float32.
        layout: where the channels are.
    """
    axis = {"hw": None, "hwc": 3, "chw": 1}[layout]
    planes = [x] if axis is None else [np.take(x, channel, axis=axis) for channel in range(x.shape[axis])]
    moments = [_moments(plane) for plane in planes]
    height, width = (x.shape[2], x.shape[3]) if layout == "chw" else (x.shape[1], x.shape[2])
    return ImageInput(
        height=height,
        width=width,
        channels=len(planes),
        layout=layout,
        mean=tuple(mean for mean, _ in moments),
        std=tuple(std or 1.0 for _, std in moments),
    )


def _moments(plane: Array) -> tuple[float, float]:
    """Mean and standard deviation, exact for bytes by their histogram, without a float copy of the pixels."""
    if plane.dtype == np.uint8:
        counts = np.zeros(256, dtype=np.int64)
        for start in range(0, len(plane), 1024):
            counts += np.bincount(plane[start : start + 1024].reshape(-1), minlength=256)
        levels = np.arange(256)
        mean = float((counts * levels).sum() / counts.sum())
        return mean, float(np.sqrt((counts * np.square(levels - mean)).sum() / counts.sum()))
    return float(plane.mean(dtype=np.float64)), float(plane.std(dtype=np.float64))
