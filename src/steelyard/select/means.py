"""Drops of quality as the mean of one number per row, Z: the drop is at least epsilon exactly when E[Z] >= 0.

Z is a weighted sum of columns that do not depend on epsilon, so one set of resamples serves every epsilon. All columns
add up over the rows of a group, so groups need no formulas of their own.

Z, with squared errors e², variance v of the targets and m the reference's rmse:

- rmse, relative: e_c² − (1 + eps)² e_r².
- rmse, absolute: e_c² − (rmse_r + eps)², where rmse_r is m + (e_r² − m²) / 2m to first order (the delta method).
- r2, absolute: e_c² − e_r² − eps·(y − mean y)².
- r2, relative: e_c² − e_r² − eps·(v − e_r²), with the sign of R² of the reference.
- accuracy, in groups: right_r − right_c − eps, or − eps·right_r where relative.
- disagreement, in groups: differs − eps.
- perplexity, relative: nll_c − nll_r − ln(1 + eps)·tokens, in blocks of 1,000 tokens or more.
- silhouette: s_r − s_c − eps, or − eps·sign·s_r where relative, of the silhouette s of each row among all.
- output_error, absolute: |c − r|² − eps²·|r|², of which the reference's own error is 0.
- return, relative: G_r − G_c − eps·G_r, with the sign of the mean of G_r; absolute: G_r − G_c − eps.

References:
    Efron, Tibshirani: An Introduction to the Bootstrap, Chapman and Hall, 1993, chapter 12.
    Oehlert: A note on the delta method, The American Statistician, 1992.
    Fieller: Some problems in interval estimation, Journal of the Royal Statistical Society B, 1954 (a ratio as a mean).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.core.protocols import Metric
from steelyard.core.task import Array
from steelyard.select.quality import decisions, every, is_share, right, rowwise
from steelyard.statistics.likelihood import token_losses

Floats = NDArray[np.float64]
BLOCK_TOKENS = 1_000
"""Tokens of a block: neighbouring tokens of a text are no independent evidence."""


@dataclass(frozen=True, slots=True)
class MeanForm:
    """Columns (n, k) of each row and the weights (k,) that make Z of them for a threshold.

    `share` maps a threshold to the share of the population on which such a loss may hide, None where it is no share:
    a sample without that share proves nothing about it (`steelyard.statistics.bootstrap.unseen`).
    """

    columns: Floats
    weights: Callable[[float], Floats]
    share: Callable[[float], float] | None = None

    def summed(self, groups: Array | None) -> "MeanForm":
        """The same with the rows of each group summed: one row a group."""
        if groups is None:
            return self
        index = np.unique(groups, return_inverse=True)[1]
        sums = np.zeros((int(index.max()) + 1, self.columns.shape[1]))
        np.add.at(sums, index, self.columns)
        return MeanForm(sums, self.weights, self.share)


def mean_form(  # noqa: PLR0911  each form has its own
    metric: Metric, reference: Array, candidate: Array, targets: Array, *, relative: bool, floor: float
) -> MeanForm | None:
    """The mean form of a drop; None where the metric has none.

    Args:
        metric: rmse, r2, perplexity, silhouette, return, output_error, or one whose proof is "trinomial" or
        "disagreement".
        reference: outputs (n, width) of the reference.
        candidate: outputs (n, width) of the candidate.
        targets: (n,).
        relative: whether epsilon is a share of |reference|.
        floor: the least |reference| of a relative drop: below it, epsilon × floor is tested as an absolute drop.
    """
    rows = [rowwise(metric, each, targets) for each in (reference, candidate)]
    if rows[0] is not None and rows[1] is not None:
        return _rowwise(rows[0], rows[1], relative=relative)
    if metric.proof == "trinomial":
        return _accuracy(right(reference, targets), right(candidate, targets), relative=relative)
    if metric.proof == "disagreement":
        differs = ~agreeing(reference, candidate)
        return MeanForm(_table(differs, np.ones(len(differs))), _less, float)
    if metric.name in ("rmse", "r2"):
        errors = squared_errors(candidate, targets), squared_errors(reference, targets)
        return (
            _rmse(*errors, relative=relative, floor=floor)
            if metric.name == "rmse"
            else _r2(*errors, deviations(targets), relative=relative, floor=floor)
        )
    if metric.name == "perplexity" and relative:
        return _perplexity(reference, candidate, targets)
    if metric.name == "return":
        return _return(reference[:, 0], candidate[:, 0], relative=relative, floor=floor)
    return _output_error(candidate, targets) if metric.name == "output_error" and not relative else None


def quality_form(metric: Metric, outputs: Array, targets: Array) -> MeanForm | None:
    """The mean form of "the loss is t or more", where a metric's loss is itself, or minus itself if higher is better.

    Accuracy: −right − t. Rmse: e² − t². R²: e² − (1 + t)·(y − mean y)². Return: −G − t. None for all others.

    Args:
        metric: what quality is.
        outputs: (n, width).
        targets: (n,).
    """
    if is_share(metric):
        hits = right(outputs, targets)
        return MeanForm(_table(-1.0 * hits, np.ones(len(hits))), _less, lambda t: 1 + t)
    if metric.name == "rmse":
        columns = _table(squared_errors(outputs, targets), np.ones(len(targets)))
        return MeanForm(columns, lambda t: np.array([1.0, -t * abs(t)]))
    if metric.name == "r2":
        columns = _table(squared_errors(outputs, targets), deviations(targets))
        return MeanForm(columns, lambda t: np.array([1.0, -(1 + t)]))
    if metric.name == "return":
        return MeanForm(_table(-outputs[:, 0], np.ones(len(outputs))), _less)
    return None


def squared_errors(outputs: Array, targets: Array) -> Floats:
    """The squared error of each row (n,) of outputs (n, 1)."""
    errors: Floats = (np.asarray(outputs, np.float64).reshape(len(targets), -1)[:, 0] - targets) ** 2
    return errors


def deviations(targets: Array) -> Floats:
    """The squared deviation of each target from their mean."""
    values = np.asarray(targets, dtype=np.float64)
    squares: Floats = (values - values.mean()) ** 2
    return squares


def agreeing(first: Array, second: Array) -> NDArray[np.bool_]:
    """Which rows get the same decision; never those where an output is no number."""
    one, other = decisions(first), decisions(second)
    return every((one == other) & (one >= 0))


def _accuracy(reference: NDArray[np.bool_], candidate: NDArray[np.bool_], *, relative: bool) -> MeanForm:
    lost = reference.astype(np.float64) - candidate
    if relative:
        accuracy = float(reference.mean())
        return MeanForm(_table(lost, reference), _less, lambda epsilon: epsilon * accuracy)
    return MeanForm(_table(lost, np.ones(len(lost))), _less, float)


def _rmse(candidate: Floats, reference: Floats, *, relative: bool, floor: float) -> MeanForm:
    columns = _table(candidate, reference, np.ones(len(reference)))
    m = float(np.sqrt(reference.mean()))
    if relative and m > floor:
        return MeanForm(columns, lambda epsilon: np.array([1.0, -((1 + epsilon) ** 2), 0.0]))
    unit = floor if relative else 1.0
    if m > floor:
        return MeanForm(columns, lambda epsilon: np.array([1.0, -(1 + epsilon / m), -epsilon * m - epsilon**2]))
    # So near 0 the delta method fails; the cross term then is as good as constant.
    return MeanForm(columns, lambda epsilon: np.array([1.0, -1.0, -2 * epsilon * unit * m - (epsilon * unit) ** 2]))


def _r2(candidate: Floats, reference: Floats, spread: Floats, *, relative: bool, floor: float) -> MeanForm:
    columns = _table(candidate - reference, spread, reference)
    variance = float(spread.mean())
    r2 = 1 - float(reference.mean()) / variance if variance > 0 else 0.0
    if relative and abs(r2) > floor:
        sign = 1.0 if r2 > 0 else -1.0
        return MeanForm(columns, lambda epsilon: np.array([1.0, -epsilon * sign, epsilon * sign]))
    unit = floor if relative else 1.0
    return MeanForm(columns, lambda epsilon: np.array([1.0, -epsilon * unit, 0.0]))


def _rowwise(reference: Floats, candidate: Floats, *, relative: bool) -> MeanForm:
    """Each row's silhouette is taken as its own, although it depends a little on which other rows there are."""
    sign = 1.0 if reference.mean() >= 0 else -1.0
    against = sign * reference if relative else np.ones(len(reference))
    return MeanForm(_table(reference - candidate, against), _less)


def _output_error(candidate: Array, targets: Array) -> MeanForm:
    wanted = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
    apart = ((np.asarray(candidate, dtype=np.float64).reshape(wanted.shape) - wanted) ** 2).sum(axis=1)
    return MeanForm(_table(apart, (wanted**2).sum(axis=1)), lambda epsilon: np.array([1.0, -(epsilon**2)]))


def _perplexity(reference: Array, candidate: Array, targets: Array) -> MeanForm:
    """Rows are put together into blocks of enough tokens that one block says little of the next."""
    ours, counts = token_losses(candidate, targets)
    theirs, _ = token_losses(reference, targets)
    form = MeanForm(_table(ours - theirs, counts), lambda epsilon: np.array([1.0, -np.log1p(epsilon)]))
    rows = int(np.ceil(BLOCK_TOKENS / max(1.0, float(counts.mean()))))
    # What is left over at the end belongs to the last whole block.
    return form.summed(np.minimum(np.arange(len(counts)) // rows, max(0, len(counts) // rows - 1)))


def _return(reference: Array, candidate: Array, *, relative: bool, floor: float) -> MeanForm:
    mean = float(np.mean(reference))
    lost = reference - candidate
    if relative and abs(mean) > floor:
        # A policy that fails altogether in as large a share of the episodes loses so much, and may not show.
        return MeanForm(_table(lost, math.copysign(1.0, mean) * reference), _less, float)
    unit = floor if relative else 1.0
    return MeanForm(_table(lost, np.full(len(lost), unit)), _less)


def _less(threshold: float) -> Floats:
    """The first column less the threshold's share of the second."""
    return np.array([1.0, -threshold])


def _table(*columns: Array) -> Floats:
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
