"""Ranges of activations from calibration rows: by extremes, percentile, divergence or squared error.

References:
    H. Wu et al., Integer quantization for deep learning inference: principles and empirical evaluation, 2020
    (percentile 99.99, entropy on 2048 bins). R. Banner et al., Post training 4-bit quantization of convolutional
    networks for rapid-deployment, NeurIPS 2019 (clipping by squared error).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from steelyard.core.errors import DataError
from steelyard.steps.quantizing.feeding import Feeds, open_model

Method = Literal["minmax", "entropy", "percentile", "mse"]
Range = tuple[float, float]
Floats = NDArray[np.float64]

BINS = 2048
"""Bins of a histogram between a tensor's extremes."""
LEVELS = 256
"""Values that eight bits can take."""
KEPT = 0.9999
"""Share of the values that a percentile range holds."""
_SHRINKS = np.linspace(1.0, 0.3, 29)
"""Ranges that are tried, as shares of the whole one."""
_LEAST_MASS = 1e-9


def find_ranges(model: onnx.ModelProto, names: Sequence[str], feeds: Feeds, method: Method) -> Mapping[str, Range]:
    """The range of each named tensor; every range holds zero, which must be exact.

    The rows run once for the extremes and, by the methods on histograms, a second time; no activation is kept.

    Raises:
        DataError: if a tensor is not finite on these rows.
    """
    session = open_model(tapped(model, names))
    extremes: dict[str, Range] = {}
    for feed in feeds:
        for name, array in zip(names, session.run(list(names), dict(feed)), strict=True):
            low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
            before = extremes.get(name, (low, high))
            extremes[name] = (min(low, before[0]), max(high, before[1]))
    for name, found in extremes.items():
        if not np.isfinite(found).all():
            raise DataError(f"the model's tensor {name!r} is not finite on the calibration rows; check the rows.")
    if method == "minmax":
        return extremes
    counts = {name: np.zeros(BINS) for name in names}
    for feed in feeds:
        for name, array in zip(names, session.run(list(names), dict(feed)), strict=True):
            counts[name] += np.histogram(array, BINS, _widened(extremes[name]))[0]
    choose = _CHOICES[method]
    return {name: choose(counts[name], _widened(extremes[name])) for name in names}


def tapped(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with more of its tensors as outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    return copy


def _widened(found: Range) -> Range:
    low, high = min(found[0], 0.0), max(found[1], 0.0)
    return (low, high) if high > low else (low, low + 1e-6)


def _percentile(counts: Floats, whole: Range) -> Range:
    """The range without the outermost values, half of what is left out at each end."""
    share = np.cumsum(counts) / max(counts.sum(), 1.0)
    edges = np.linspace(*whole, BINS + 1)
    low = edges[int(np.searchsorted(share, (1 - KEPT) / 2))]
    high = edges[min(int(np.searchsorted(share, (1 + KEPT) / 2)) + 1, BINS)]
    return min(float(low), 0.0), max(float(high), 0.0)


def _squared_error(counts: Floats, whole: Range) -> Range:
    """The range of least squared rounding and clipping error."""
    edges = np.linspace(*whole, BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2

    def loss(low: float, high: float) -> float:
        step = (high - low) / (LEVELS - 1)
        rounded = np.clip(np.round((centres - low) / step), 0, LEVELS - 1) * step + low
        # A bin wider than a step is spread over the steps inside it: their rounding error is that of a uniform value.
        inside = (centres >= low) & (centres <= high)
        error = np.where(inside, step**2 / 12, (centres - rounded) ** 2)
        return float(counts @ error)

    return _best(whole, loss)


def _divergence(counts: Floats, whole: Range) -> Range:
    """The range whose rounded histogram diverges least from the true one (Kullback and Leibler)."""
    edges = np.linspace(*whole, BINS + 1)

    def loss(low: float, high: float) -> float:
        first = int(np.searchsorted(edges, low, side="left"))
        last = max(int(np.searchsorted(edges, high, side="right")) - 1, first + 1)
        inside = counts[first:last]
        clipped = inside.copy()
        clipped[0] += counts[:first].sum()
        clipped[-1] += counts[last:].sum()
        level = np.minimum(np.arange(len(inside)) * LEVELS // len(inside), LEVELS - 1)
        filled = inside > 0
        mass = np.bincount(level, inside, LEVELS)
        bins = np.maximum(np.bincount(level, filled, LEVELS), 1)
        rounded = np.where(filled, (mass / bins)[level], 0.0)
        true = clipped / max(clipped.sum(), _LEAST_MASS)
        guessed = rounded / max(rounded.sum(), _LEAST_MASS)
        seen = true > 0
        return float(np.sum(true[seen] * np.log(true[seen] / np.maximum(guessed[seen], _LEAST_MASS))))

    return _best(whole, loss)


def _best(whole: Range, loss: Callable[[float, float], float]) -> Range:
    """The candidate of least loss: each end shrinks by itself, one after the other."""
    low, high = whole
    high = min((high * share for share in _SHRINKS), key=lambda end: loss(low, end)) if high > 0 else high
    low = min((low * share for share in _SHRINKS), key=lambda end: loss(end, high)) if low < 0 else low
    return low, high


_CHOICES: Mapping[str, Callable[[Floats, Range], Range]] = {
    "percentile": _percentile,
    "mse": _squared_error,
    "entropy": _divergence,
}
