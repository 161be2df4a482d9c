"""Series of numbers: their axes, fitted on the training split, and raw rows as the graph takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.sequence import SeriesInput
from steelyard.core.task import Array, Fact
from steelyard.tasks.preprocess import numbers

FEWEST_STEPS = 4
"""Series shorter than this are tables."""


def series_array(raw: Any, *, origin: str, lengths: Array | None = None) -> Array:
    """Raw series as an array of float32, NaN after the end of shorter ones: (n, steps), or with a second axis.

    Args:
        raw: an array (n, steps), (n, channels, steps) or (n, steps, channels), a sequence of such rows of unequal
            length, or columns of a table, a step each.
        origin: where the rows come from, for messages.
        lengths: true lengths (n,), where rows are filled up.

    Raises:
        DataError: if these are no series.
    """
    if isinstance(raw, Mapping):
        raw = np.stack([numbers(values, name=str(name)) for name, values in raw.items()], axis=1)
    array = raw if isinstance(raw, np.ndarray) and raw.dtype != object else _filled(raw, origin)
    if array.ndim not in (2, 3) or array.dtype.kind not in "buif" or 0 in array.shape[1:]:
        raise DataError(
            f"series of {origin} must be numbers (n, steps) or (n, channels, steps), got {array.dtype} {array.shape}.",
            field="data",
        )
    with np.errstate(over="ignore"):
        series = array.astype(np.float32)
    if np.isinf(series).any():
        raise DataError(
            f"series of {origin} must hold numbers within float32, got infinite or larger ones; clean or rescale them.",
            field="data",
        )
    return series if lengths is None else _ended(series, lengths, origin)


def _filled(raw: Any, origin: str) -> Array:
    """Rows of unequal length as one array, NaN after the end."""
    rows = [np.asarray(each) for each in raw]
    if not rows or any(each.ndim != rows[0].ndim or each.dtype.kind not in "buif" for each in rows):
        raise DataError(f"series of {origin} must be rows of numbers with equal axes, got others.", field="data")
    differing = {axis for axis in range(rows[0].ndim) if len({each.shape[axis] for each in rows}) > 1}
    if len(differing) > 1:
        shapes = sorted({each.shape for each in rows})[:2]
        raise DataError(
            f"series of {origin} must have as many channels in every row, got {shapes[0]} and {shapes[1]}.",
            field="data",
        )
    shape = tuple(max(each.shape[axis] for each in rows) for axis in range(rows[0].ndim))
    array = np.full((len(rows), *shape), np.nan, dtype=np.float32)
    for row, each in zip(array, rows, strict=True):
        row[tuple(slice(0, size) for size in each.shape)] = each
    return array


def _ended(series: Array, lengths: Array, origin: str) -> Array:
    """Series with NaN after their true lengths."""
    axis = _steps_axis(series.shape, int(lengths.max()))
    steps = series.shape[axis]
    if len(lengths) != len(series) or lengths.ndim != 1 or lengths.min() < 1 or lengths.max() > steps:
        raise DataError(
            f"lengths of {origin} must be one whole number a row from 1 to {steps}, got shape {lengths.shape} from "
            f"{int(lengths.min())} to {int(lengths.max())}.",
            field="data",
        )
    is_after = np.arange(steps)[None, :] >= lengths[:, None]
    places = is_after if series.ndim == 2 else np.expand_dims(is_after, 3 - axis)
    ended: Array = np.where(places, np.float32(np.nan), series)
    return ended


def _steps_axis(shape: Sequence[int], longest: int) -> int:
    """The axis of the steps: the only one as long as the longest series, else the longer one, else the last."""
    if len(shape) == 2:
        return 1
    exact = [axis for axis in (2, 1) if shape[axis] == longest]
    return exact[0] if len(exact) == 1 else 2 if shape[2] >= shape[1] else 1


def _is_steps_first(series: Array) -> bool:
    """Whether axis 1 holds the steps: that along which rows end in all channels at once, else the longer one."""
    if series.ndim == 2:
        return False
    missing = np.isnan(series)
    by_axis = {axis: bool((missing.all(axis=axis) == missing.any(axis=axis)).all()) for axis in (1, 2)}
    if by_axis[1] != by_axis[2]:
        return by_axis[2]
    return bool(series.shape[1] > series.shape[2])


def fit_series(series: Array, train: Array, *, origin: str) -> tuple[SeriesInput, tuple[Fact, ...]]:
    """The specification of series from `series_array`, and a note on unequal lengths.

    Args:
        series: all rows.
        train: numbers of the training rows, the only ones looked at.
        origin: where the rows come from, for messages.

    Raises:
        DataError: if they are too short.
    """
    steps_first = _is_steps_first(series)
    rows = channels_first(series[train], steps_first=steps_first)
    channels, steps = rows.shape[1:]
    if steps < FEWEST_STEPS:
        raise DataError(
            f"series of {origin} must have at least {FEWEST_STEPS} steps, got {steps}; "
            "is tabular-classification meant?",
            field="data",
        )
    is_there = ~np.isnan(rows)
    counts = np.maximum(is_there.sum(axis=(0, 2)), 1)
    values = np.where(is_there, rows, 0).astype(np.float64)
    mean = values.sum(axis=(0, 2)) / counts
    spread = np.where(is_there, values - mean[:, None], 0)
    std = np.sqrt(np.square(spread).sum(axis=(0, 2)) / counts)
    lengths = _lengths(rows)
    spec = SeriesInput(
        channels,
        steps,
        tuple(mean.tolist()),
        tuple(np.where(std > 0, std, 1.0).tolist()),
        has_padding=bool((~is_there).all(axis=1).any()),
        steps_first=steps_first,
    )
    if lengths.min() == steps:
        return spec, ()
    text = f"series of {int(lengths.min()):,} to {int(lengths.max()):,} steps; missing ones are masked"
    return spec, (Fact("lengths", [int(lengths.min()), int(lengths.max())], text),)


def _lengths(rows: Array) -> Array:
    """Steps up to the last one with a value, of rows (n, channels, steps)."""
    there: Array = np.asarray((~np.isnan(rows)).any(axis=1))
    last: Array = rows.shape[2] - there[:, ::-1].argmax(axis=1)
    return np.where(there.any(axis=1), last, 0)


def channels_first(series: Array, *, steps_first: bool) -> Array:
    """Series (n, channels, steps)."""
    if series.ndim == 2:
        return series[:, None, :]
    return series.transpose(0, 2, 1) if steps_first else series


def encode_series(spec: SeriesInput, raw: Any) -> Array:
    """Series (n, channels, steps) float32, NaN where a step is missing; longer ones are cut at their end.

    Raises:
        DataError: if they have other channels, or are no series.
    """
    series = channels_first(series_array(raw, origin="'x'"), steps_first=spec.steps_first)
    if series.shape[1] != spec.channels:
        order = ("n", "steps", str(spec.channels)) if spec.steps_first else ("n", str(spec.channels), "steps")
        raise DataError(f"'x' must have shape ({', '.join(order)}), got {np.shape(raw)}; reshape the series.")
    kept = series[:, :, : spec.steps]
    rows = np.full((len(kept), spec.channels, spec.steps), np.nan, dtype=np.float32)
    rows[:, :, : kept.shape[2]] = kept
    return rows
