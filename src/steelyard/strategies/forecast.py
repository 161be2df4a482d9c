"""What candidates are expected to be found to be: estimates corrected by their observed error, or a surrogate alone."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from steelyard.strategies.gain import undominated
from steelyard.strategies.surrogate import Prediction, predict

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
MOST_POINTS = 250
"""Points that the surrogate learns from: its cost grows with their cube."""
PRIOR_PAIRS = 4.0
"""Pairs of estimate and truth that the belief "estimates are right, with an error of half their spread" is worth."""


@dataclass(frozen=True, slots=True)
class EstimateError:
    """How estimates relate to the truth: truth ≈ slope · estimate + offset, with errors of this standard deviation.

    `pairs` is the number of candidates of which both are known. The deviation is that of single candidates, no
    interval of a certificate.
    """

    slope: float
    offset: float
    deviation: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known when the next candidate is chosen; `most_promising` tells the fields."""

    features: Array
    known: Indices
    objectives: Array
    costs: Array | None
    estimates: Array | None
    reference: Array
    error: EstimateError | None

    def with_believed(self, rows: Indices) -> "Evidence":
        """As if these rows had been found to be what is predicted of them; the error of the estimates stays.

        References:
            Ginsbourger, Le Riche, Carraro: Kriging is well-suited to parallelize optimization, in: Computational
            Intelligence in Expensive Optimization Problems, 2010 (the "kriging believer").
        """
        if not len(rows):
            return self
        believed = np.concatenate([self.objectives, forecast(self, rows).means])
        return replace(self, known=np.concatenate([self.known, rows]), objectives=believed)


def error_of_estimates(estimates: Array, truths: Array, spread: float | None = None) -> EstimateError:
    """The observed error of estimates; few pairs leave it near what is believed before: slope 1, offset 0.

    Args:
        estimates: (k,) low-fidelity losses; NaN where there is none.
        truths: (k,) the losses found for the same candidates; NaN where there is none.
        spread: standard deviation of the estimates of all candidates; that of the given ones where None.

    References:
        Rasmussen, Williams: Gaussian Processes for Machine Learning, MIT Press, 2006, section 2.1 (the linear model).
    """
    both = np.isfinite(estimates) & np.isfinite(truths)
    seen, found = estimates[both], truths[both]
    if spread is None:
        spread = float(seen.std()) if len(seen) else 0.0
    # Estimates that are all equal tell nothing apart, so the truths alone say how far off they are.
    spread = spread or (float(found.std()) if len(found) else 0.0) or 1.0
    middle = float(seen.mean()) if len(seen) else 0.0
    centred = seen - middle
    # Ridge regression towards slope 1 and offset 0: a prior pair has one spread of estimates for its size.
    slope = 1.0 + float(centred @ (found - seen)) / (float(centred @ centred) + PRIOR_PAIRS * spread**2)
    residuals = found - middle - slope * centred
    shift = float(residuals.sum()) / (len(seen) + 1.0)
    squares = float(((residuals - shift) ** 2).sum()) + PRIOR_PAIRS * (0.5 * spread) ** 2
    deviation = float(np.sqrt(squares / (PRIOR_PAIRS + len(seen))))
    return EstimateError(slope, middle * (1 - slope) + shift, deviation, len(seen))


def forecast(evidence: Evidence, rows: Indices) -> Prediction:
    """The objectives of candidates, (rows, m), with the standard deviations of their errors.

    The loss is a · estimate + b plus a Gaussian process over the features of what that leaves, or the process alone
    without estimates. An estimate that is missing is predicted from the features, and the error of that is added.
    """
    losses, spread = evidence.objectives[:, 0], None
    base, extra = np.zeros(len(evidence.features)), np.zeros(len(rows))
    if evidence.estimates is None or evidence.error is None:
        # A loss beyond the reference point is as bad as one at it; outliers would stretch what the surrogate learns.
        losses = np.minimum(losses, evidence.reference[0])
    else:
        filled, missed = _completed(evidence.features, evidence.estimates, np.concatenate([evidence.known, rows]))
        base = evidence.error.slope * filled + evidence.error.offset
        extra = abs(evidence.error.slope) * missed[rows]
        spread = evidence.error.deviation
    modelled = (losses - base[evidence.known])[:, None]
    if evidence.costs is None:
        modelled = np.column_stack([modelled, evidence.objectives[:, 1:]])
    width = modelled.shape[1]
    means, deviations = np.zeros((len(rows), len(evidence.reference))), np.zeros((len(rows), len(evidence.reference)))
    if len(evidence.known):
        part = _informative(evidence.objectives)
        told = predict(evidence.features[evidence.known[part]], modelled[part], evidence.features[rows], spread)
        means[:, :width], deviations[:, :width] = told.means, told.deviations
    elif spread is not None:
        deviations[:, 0] = spread
    means[:, 0] += base[rows]
    deviations[:, 0] = np.hypot(deviations[:, 0], extra)
    if evidence.costs is not None:
        means[:, 1:] = evidence.costs[rows]
    return Prediction(means, deviations)


def _completed(features: Array, estimates: Array, rows: Indices) -> tuple[Array, Array]:
    """(n,) estimates of all of `rows`, the missing ones predicted, and the standard deviations of that."""
    missing = rows[~np.isfinite(estimates[rows])]
    filled, deviations = np.where(np.isfinite(estimates), estimates, 0.0), np.zeros(len(estimates))
    if len(missing):
        there = np.flatnonzero(np.isfinite(estimates))
        there = there[:: -(-len(there) // MOST_POINTS)]
        told = predict(features[there], estimates[there][:, None], features[missing])
        filled[missing], deviations[missing] = told.means[:, 0], told.deviations[:, 0]
    return filled, deviations


def _informative(objectives: Array) -> Indices:
    """The places of at most `MOST_POINTS` of the known: the front, then the last."""
    if len(objectives) <= MOST_POINTS:
        return np.arange(len(objectives))
    mask = undominated(objectives)
    front, rest = np.flatnonzero(mask), np.flatnonzero(~mask)
    return np.sort(np.concatenate([front, rest[::-1]])[:MOST_POINTS])
