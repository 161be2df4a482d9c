"""Quality of a model and its drop against another: which way is worse, by how much, and how sure."""

import math

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import DataError, MeasurementError
from steelyard.core.protocols import Metric
from steelyard.core.quantity import Quantity
from steelyard.core.task import Array
from steelyard.statistics import binomial, bootstrap
from steelyard.statistics.partitions import row_silhouettes

_CELLS = 2_000_000
"""Output cells that an interval may look at over all its resamples: about 0.2 s."""
_FEWEST, _ENOUGH = 25, 400
"""Resamples: with fewer than `_ENOUGH` a percentile is too coarse, and the interval is normal with a jackknife error
of as many blocks."""
_NORMAL_95 = 1.959964
"""The 97.5 % quantile of the standard normal distribution."""


def loss(metric: Metric, value: float) -> float:
    """The quality turned so that lower is better."""
    return -value if metric.higher_is_better else value


def drop(
    metric: Metric, reference_value: float, candidate_value: float, *, relative: bool, floor: float = 0.0
) -> float:
    """How much worse the candidate is: positive is worse, whichever way the metric points.

    Args:
        metric: tells which way is better.
        reference_value: quality of the reference.
        candidate_value: quality of the candidate.
        relative: whether to divide by |reference|.
        floor: the least divisor. For rmse: 1e-4 × the targets' standard deviation, which float32 outputs can't
            resolve; so a reference without error does not make every candidate infinitely worse.

    Returns:
        The drop in the metric's unit, or as a share; infinite where a quality is not finite or the divisor is 0.
    """
    difference = loss(metric, candidate_value) - loss(metric, reference_value)
    if math.isnan(difference):
        return math.inf
    if not relative or difference == 0:
        return difference
    divisor = max(abs(reference_value), floor)
    return difference / divisor if divisor > 0 else math.copysign(math.inf, difference)


def quality_interval(metric: Metric, outputs: Array, targets: Array, *, seed: int) -> Quantity:
    """The quality with its two-sided 95 % interval.

    Accuracy and agreement have the exact Clopper-Pearson interval. Other metrics have the percentile interval of a
    class-stratified bootstrap of 400 resamples; where the outputs are so many that these would take over 0.2 s, plus
    and minus 1.96 errors of the grouped jackknife. The silhouette has the normal interval of a mean over rows.

    Args:
        metric: what to compute.
        outputs: (n, width).
        targets: (n,).
        seed: of the resamples.

    Raises:
        DataError: if there is no row.
        MeasurementError: if the quality is not finite.
    """
    n = len(targets)
    if not n:
        raise DataError(f"'{metric.name}' must be computed on at least one row, got none.")
    value = metric(outputs, targets)
    if not math.isfinite(value):
        raise MeasurementError(f"'{metric.name}' must be a finite number, got {value!r}; the outputs can't be used.")
    if is_share(metric):
        low, high = binomial.two_sided(int(right(outputs, targets).sum()), n)
        return Quantity(value, metric.unit, min(low, value), max(high, value), n)
    rows = rowwise(metric, outputs, targets)
    if rows is not None and n > 1:
        half = _NORMAL_95 * float(rows.std(ddof=1)) / math.sqrt(n)
        return Quantity(value, metric.unit, value - half, value + half, n)
    resamples = min(max(_CELLS // max(1, outputs.size), _FEWEST), _ENOUGH)

    def statistic(rows: NDArray[np.int64]) -> float:
        return metric(outputs[rows], targets[rows])

    limits: tuple[float, float] | None
    if resamples >= _ENOUGH:
        limits = bootstrap.percentile_interval(statistic, strata(targets), np.random.default_rng(seed), resamples)
    else:
        half = _NORMAL_95 * bootstrap.jackknife_error(statistic, strata(targets), blocks=resamples)
        limits = (value - half, value + half) if math.isfinite(half) else None
    if limits is None:
        return Quantity(value, metric.unit, None, None, n)
    if metric.in_unit_range:
        limits = (limits[0], min(limits[1], 1.0))
    return Quantity(value, metric.unit, min(limits[0], value), max(limits[1], value), n)


def drop_error(
    metric: Metric,
    reference_outputs: Array,
    candidate_outputs: Array,
    targets: Array,
    *,
    relative: bool,
    floor: float = 0.0,
) -> float:
    """The standard error of the paired drop, by the class-stratified jackknife over 100 blocks, always the same.

    Args:
        metric: what quality is.
        reference_outputs: (n, width) of the reference.
        candidate_outputs: (n, width) of the candidate on the same rows.
        targets: (n,).
        relative: as in `drop`.
        floor: as in `drop`.

    Returns:
        A number of at least 0; infinite where it can't be known.
    """
    known = [rowwise(metric, each, targets) for each in (reference_outputs, candidate_outputs)]
    if known[0] is not None and known[1] is not None and len(targets) > 1:
        error = float((known[0] - known[1]).std(ddof=1)) / math.sqrt(len(targets))
        return error / max(abs(float(known[0].mean())), floor, 1e-12) if relative else error

    def statistic(rows: NDArray[np.int64]) -> float:
        reference = metric(reference_outputs[rows], targets[rows])
        return drop(metric, reference, metric(candidate_outputs[rows], targets[rows]), relative=relative, floor=floor)

    return bootstrap.jackknife_error(statistic, strata(targets))


def rowwise(metric: Metric, outputs: Array, targets: Array) -> NDArray[np.float64] | None:
    """The figure of each row (n,) whose mean the metric is, where computing it anew on resamples would take too long.

    That is the silhouette, whose time grows with the square of the rows; None for others.
    """
    if metric.name != "silhouette":
        return None
    return row_silhouettes(np.asarray(targets[:, 1:], dtype=np.float64), decisions(outputs))


def decisions(outputs: Array) -> NDArray[np.int64]:
    """The class decided for each row (n,): the first highest output; −1, no class, where an output is no number.

    Of outputs (n, ..., classes) with several decisions a row, all of them (n, decisions).
    """
    found: NDArray[np.int64] = np.where(np.isfinite(outputs).all(axis=-1), np.argmax(outputs, axis=-1), -1)
    return found if found.ndim == 1 else found.reshape(len(found), -1)


def every(holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where all decisions of a row hold (n,), from those of each decision (n,) or (n, decisions)."""
    return np.asarray(holds.reshape(len(holds), -1).all(axis=1), dtype=np.bool_)


def right(outputs: Array, targets: Array) -> NDArray[np.bool_]:
    """Which rows are decided rightly (n,); never those with an output that is no number.

    Targets are classes (n,), or the scores (n, width) of a reference, whose decisions are right then.
    """
    truth = np.asarray(targets)
    hits: NDArray[np.bool_] = decisions(outputs) == (decisions(truth) if truth.ndim > 1 else truth)
    return every(hits)


def is_share(metric: Metric) -> bool:
    """Whether the metric is the share of rows decided rightly, so that counting is all there is to it."""
    return metric.proof in ("trinomial", "disagreement")


def strata(targets: Array) -> NDArray[np.int64]:
    """The class of each row where the targets are one class a row, else one class for all."""
    targets = np.asarray(targets)
    if targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
        return np.unique(targets, return_inverse=True)[1].astype(np.int64)
    return np.zeros(len(targets), dtype=np.int64)
