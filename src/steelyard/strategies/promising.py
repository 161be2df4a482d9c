"""Which candidate to evaluate next: the one whose evaluation is expected to add most to the hypervolume."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from steelyard.core.errors import InputError
from steelyard.strategies.gain import expected_gain, undominated
from steelyard.strategies.surrogate import predict

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
STARTUP = 8
"""Candidates spread over the space before the surrogate is believed, where nothing else is known of them."""
WARM_STARTUP = 3
"""The same where losses are estimated but costs are not known."""
POOL = 2_000
"""Candidates drawn at random for each proposal; a larger space is not scored whole."""
NEIGHBOURS = 40
"""Nearest candidates of each point of the front that are scored too."""
MOST_POINTS = 400
"""Points that the surrogate learns from: its cost grows with their cube."""
PRIOR_PAIRS = 4.0
"""Pairs of estimate and truth that the belief "estimates are right, with an error of half their spread" is worth."""


@dataclass(frozen=True, slots=True)
class EstimateError:
    """How estimates relate to the truth: truth ≈ slope · estimate + offset, with errors of this standard deviation.

    `pairs` is the number of candidates of which both are known. It is no interval of a certificate.
    """

    slope: float
    offset: float
    deviation: float
    pairs: int


def error_of_estimates(estimates: Array, truths: Array, spread: float | None = None) -> EstimateError:
    """The observed error of estimates; few pairs leave it near what is believed before: slope 1, offset 0.

    Args:
        estimates: (k,) low-fidelity losses; NaN where there is none.
        truths: (k,) the losses found for the same candidates.
        spread: standard deviation of all estimates; that of the given ones where None.

    References:
        Rasmussen, Williams: Gaussian Processes for Machine Learning, MIT Press, 2006, section 2.1 (the linear model).
    """
    both = np.isfinite(estimates) & np.isfinite(truths)
    seen, found = estimates[both], truths[both]
    if spread is None:
        spread = float(seen.std()) if len(seen) > 1 else 0.0
    spread = spread or float(np.finfo(np.float64).tiny)
    middle = float(seen.mean()) if len(seen) else 0.0
    centred = seen - middle
    # Ridge towards slope 1 and offset 0: each prior pair has one spread of estimates for its size.
    slope = 1.0 + float(centred @ (found - seen)) / (float(centred @ centred) + PRIOR_PAIRS * spread**2)
    residuals = found - middle - slope * centred
    shift = float(residuals.sum()) / (len(seen) + 1.0)
    squares = float(((residuals - shift) ** 2).sum())
    variance = (PRIOR_PAIRS * (0.5 * spread) ** 2 + squares) / (PRIOR_PAIRS + len(seen))
    return EstimateError(slope, middle * (1 - slope) + shift, float(np.sqrt(variance)), len(seen))


def most_promising(
    features: Array,
    known: Indices,
    objectives: Array,
    *,
    costs: Array | None,
    estimates: Array | None,
    reference: Array,
    pending: Sequence[int] | Indices = (),
    seed: int,
) -> int:
    """The candidate to evaluate next.

    Args:
        features: (n, d), what is known of each candidate before it is evaluated.
        known: (k,) rows of the candidates that have been evaluated; k may be 0.
        objectives: (k, m), what was found for them, all minimised: the loss of quality, then costs. Costs that span
            decades belong here as logarithms.
        costs: (n, m − 1), the costs of all candidates where they are known exactly; None where they are predicted
            from the evaluated ones, like the loss.
        estimates: (n,), low-fidelity losses, NaN where unknown; None without any.
        reference: (m,), the worst corner of the hypervolume.
        pending: rows of candidates that are being evaluated; they count as found at their prediction.
        seed: decides ties, the start and which candidates of a large space are looked at.

    Returns:
        A row that is neither known nor pending.

    Raises:
        InputError: if all candidates are known or pending, or shapes do not fit.

    References:
        Jones, Schonlau, Welch: Efficient global optimization of expensive black-box functions, Journal of Global
        Optimization, 1998 (the loop).
        Ginsbourger, Le Riche, Carraro: Kriging is well-suited to parallelize optimization, 2010 (pending ones).
        Emmerich et al., 2006 and 2011; Daulton et al., NeurIPS 2020: see `gain.expected_gain`.
    """
    features = _unit(np.asarray(features, dtype=np.float64))
    reference = np.asarray(reference, dtype=np.float64)
    known = np.asarray(known, dtype=np.int64).reshape(-1)
    objectives = np.asarray(objectives, dtype=np.float64).reshape(-1, len(reference))
    waiting = np.asarray(pending, dtype=np.int64).reshape(-1)
    _check(features, known, objectives, costs, estimates, reference)
    taken = np.zeros(len(features), dtype=bool)
    taken[known] = taken[waiting] = True
    free = np.flatnonzero(~taken)
    if not len(free):
        raise InputError("'features' must hold a candidate that is neither known nor pending, got none.")
    rng = np.random.default_rng((seed, len(known), len(waiting)))
    estimated = estimates is not None and bool(np.isfinite(estimates[free]).any())
    if len(known) < (STARTUP if not estimated else 0 if costs is not None else WARM_STARTUP):
        return _farthest(features, free, np.concatenate([known, waiting]), rng)
    pool = _pool(features, free, known, objectives, estimates, rng)
    rows = np.concatenate([waiting, pool])
    means, deviations = _predictions(features, known, objectives, costs, estimates, reference, rows)
    found = np.concatenate([objectives, means[: len(waiting)]])
    gains = expected_gain(means[len(waiting) :], deviations[len(waiting) :], found, reference)
    best = np.flatnonzero(gains >= gains.max() * (1 - 1e-12))
    return int(pool[rng.choice(best)])


def _predictions(
    features: Array,
    known: Indices,
    objectives: Array,
    costs: Array | None,
    estimates: Array | None,
    reference: Array,
    rows: Indices,
) -> tuple[Array, Array]:
    """(rows, m) means of the objectives and standard deviations of their errors."""
    # A loss beyond the reference point is as bad as one at it; outliers would stretch what the surrogate learns.
    losses = np.minimum(objectives[:, 0], reference[0])
    base, extra, error = np.zeros(len(features)), np.zeros(len(features)), None
    if estimates is not None:
        base, extra = _completed(features, estimates, np.concatenate([known, rows]))
        error = error_of_estimates(base[known], losses, float(np.nanstd(estimates)))
        base, extra = error.slope * base + error.offset, abs(error.slope) * extra
    modelled = np.column_stack([losses - base[known], objectives[:, 1:]])[:, : 1 if costs is not None else None]
    means = np.zeros((len(rows), len(reference)))
    deviations = np.zeros_like(means)
    if len(known):
        part = _informative(known, objectives)
        told = predict(
            features[known[part]], modelled[part], features[rows], None if error is None else error.deviation
        )
        width = modelled.shape[1]
        means[:, :width], deviations[:, :width] = told.means, told.deviations
    elif error is not None:
        deviations[:, 0] = error.deviation
    means[:, 0] += base[rows]
    deviations[:, 0] = np.hypot(deviations[:, 0], extra[rows])
    if costs is not None:
        means[:, 1:] = costs[rows]
    return means, deviations


def _completed(features: Array, estimates: Array, rows: Indices) -> tuple[Array, Array]:
    """Estimates for all of `rows`: the missing ones predicted from the features, with the error of that."""
    missing = rows[~np.isfinite(estimates[rows])]
    filled, extra = np.where(np.isfinite(estimates), estimates, 0.0), np.zeros(len(estimates))
    if len(missing):
        there = np.flatnonzero(np.isfinite(estimates))
        there = there[:: max(len(there) // MOST_POINTS, 1)]
        told = predict(features[there], estimates[there][:, None], features[missing])
        filled[missing], extra[missing] = told.means[:, 0], told.deviations[:, 0]
    return filled, extra


def _informative(known: Indices, objectives: Array) -> Indices:
    """At most `MOST_POINTS` of the known: the front, then the last."""
    if len(known) <= MOST_POINTS:
        return np.arange(len(known))
    order = np.argsort(~undominated(objectives), kind="stable")
    front = int(undominated(objectives).sum())
    return np.sort(np.concatenate([order[:front], order[front:][::-1]])[:MOST_POINTS])


def _farthest(features: Array, free: Indices, taken: Indices, rng: np.random.Generator) -> int:
    """The free candidate farthest from those taken, of a sample; the first is drawn near the middle."""
    sample = np.sort(rng.choice(free, min(POOL, len(free)), replace=False))
    if not len(taken):
        middle = np.abs(features[sample] - features.mean(axis=0)).sum(axis=1)
        return int(sample[rng.choice(np.flatnonzero(middle <= middle.min() + 1e-12))])
    nearest = cdist(features[sample], features[taken], "cityblock").min(axis=1)
    return int(sample[rng.choice(np.flatnonzero(nearest >= nearest.max() - 1e-12))])


def _pool(
    features: Array,
    free: Indices,
    known: Indices,
    objectives: Array,
    estimates: Array | None,
    rng: np.random.Generator,
) -> Indices:
    """The free candidates to score: all of a small space, else a sample, the best estimates and the front's neighbours."""
    if len(free) <= 2 * POOL:
        return free
    parts = [rng.choice(free, POOL, replace=False)]
    if estimates is not None:
        there = free[np.isfinite(estimates[free])]
        parts.append(there[np.argsort(estimates[there], kind="stable")[: POOL // 2]])
    front = known[undominated(objectives)] if len(known) else known
    if len(front):
        chosen = rng.choice(front, min(len(front), POOL // NEIGHBOURS), replace=False)
        near = np.argpartition(cdist(features[chosen], features[free], "cityblock"), NEIGHBOURS, axis=1)
        parts.append(free[np.unique(near[:, :NEIGHBOURS])])
    return np.unique(np.concatenate(parts))


def _check(
    features: Array, known: Indices, objectives: Array, costs: Array | None, estimates: Array | None, reference: Array
) -> None:
    count, width = len(features), len(reference)
    wanted = [("objectives", objectives.shape, (len(known), width))]
    if costs is not None:
        wanted.append(("costs", costs.shape, (count, width - 1)))
    if estimates is not None:
        wanted.append(("estimates", estimates.shape, (count,)))
    for name, got, expected in wanted:
        if got != expected:
            raise InputError(f"'{name}' must have the shape {expected} of the candidates and objectives, got {got}.")


def _unit(features: Array) -> Array:
    low, high = features.min(axis=0), features.max(axis=0)
    return np.divide(features - low, high - low, out=np.zeros_like(features), where=high > low)
