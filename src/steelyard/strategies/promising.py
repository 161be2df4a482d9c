"""Which candidate to evaluate next: the one whose evaluation is expected to add most to the hypervolume."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from steelyard.core.errors import InputError
from steelyard.strategies.forecast import Evidence, error_of_estimates, forecast
from steelyard.strategies.gain import expected_gain, undominated

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
STARTUP = 8
"""Candidates spread over the space before the surrogate is believed, where nothing else is known of them."""
WARM_STARTUP = 3
"""The same where losses are estimated but costs are not known."""
POOL = 1_000
"""Candidates drawn at random for each proposal; a space over twice as large is not scored whole."""
NEIGHBOURS = 30
"""Nearest candidates of each point of the front that are scored too."""
MOST_NEAR = 25
"""Points of the front whose neighbours are looked for, drawn at random where it has more."""


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
        A row that is neither known nor pending: a function of the arguments alone.

    Raises:
        InputError: if all candidates are known or pending, an objective is no finite number, or shapes do not fit.

    References:
        Jones, Schonlau, Welch: Efficient global optimization of expensive black-box functions, Journal of Global
        Optimization, 1998 (the loop). `gain` and `surrogate` name theirs.
    """
    evidence = _evidence(features, known, objectives, costs=costs, estimates=estimates, reference=reference)
    waiting = np.asarray(pending, dtype=np.int64).reshape(-1)
    taken = np.zeros(len(evidence.features), dtype=bool)
    taken[evidence.known] = taken[waiting] = True
    free = np.flatnonzero(~taken)
    if not len(free):
        raise InputError("'features' must hold a candidate that is neither known nor pending, got none.")
    rng = np.random.default_rng((seed, len(evidence.known), len(waiting)))
    if len(evidence.known) < _startup(evidence):
        return _farthest(evidence.features, free, np.flatnonzero(taken), rng)
    evidence = evidence.with_believed(waiting)
    pool = _pool(evidence, free, rng)
    told = forecast(evidence, pool)
    gains = expected_gain(told.means, told.deviations, evidence.objectives, evidence.reference)
    best = np.flatnonzero(gains >= gains.max() * (1 - 1e-12))
    return int(pool[rng.choice(best)])


def _evidence(
    features: Array,
    known: Indices,
    objectives: Array,
    *,
    costs: Array | None,
    estimates: Array | None,
    reference: Array,
) -> Evidence:
    """The arguments, checked, with the error of the estimates; estimates of nothing are none."""
    reference = np.asarray(reference, dtype=np.float64)
    known = np.asarray(known, dtype=np.int64).reshape(-1)
    count, width = len(features), len(reference)
    wanted: list[tuple[str, Array, tuple[int, ...]]] = [("objectives", objectives, (len(known), width))]
    wanted += [("costs", costs, (count, width - 1))] if costs is not None else []
    wanted += [("estimates", estimates, (count,))] if estimates is not None else []
    for name, table, shape in wanted:
        if np.shape(table) != shape:
            raise InputError(f"'{name}' must have the shape {shape}, got {np.shape(table)}.")
    if not np.all(np.isfinite(objectives)):
        raise InputError("'objectives' must be finite numbers, got NaN or infinity; leave failures out.")
    error = None
    if estimates is not None and np.isfinite(estimates).any():
        error = error_of_estimates(estimates[known], objectives[:, 0], float(np.nanstd(estimates)))
    scaled = _unit(np.asarray(features, dtype=np.float64))
    return Evidence(scaled, known, objectives, costs, estimates if error else None, reference, error)


def _startup(evidence: Evidence) -> int:
    """How many candidates are spread over the space first."""
    if evidence.estimates is None:
        return STARTUP
    return WARM_STARTUP if evidence.costs is None else 0


def _farthest(features: Array, free: Indices, taken: Indices, rng: np.random.Generator) -> int:
    """The free candidate farthest from those taken, of a sample; the first is the one nearest to the middle."""
    sample = np.sort(rng.choice(free, min(POOL, len(free)), replace=False))
    if not len(taken):
        middle = np.abs(features[sample] - features.mean(axis=0)).sum(axis=1)
        return int(sample[rng.choice(np.flatnonzero(middle <= middle.min() + 1e-12))])
    nearest = cdist(features[sample], features[taken], "cityblock").min(axis=1)
    return int(sample[rng.choice(np.flatnonzero(nearest >= nearest.max() - 1e-12))])


def _pool(evidence: Evidence, free: Indices, rng: np.random.Generator) -> Indices:
    """The free candidates to score: all of a small space, else a sample, the best estimates, the front's neighbours."""
    if len(free) <= 2 * POOL:
        return free
    parts = [rng.choice(free, POOL, replace=False), _shortlist(evidence, free)]
    front = evidence.known[undominated(evidence.objectives)]
    if len(front):
        chosen = rng.choice(front, min(len(front), MOST_NEAR), replace=False)
        others = evidence.features[free]
        squares = (others**2).sum(axis=1) - 2 * evidence.features[chosen] @ others.T
        near = np.argpartition(squares, NEIGHBOURS, axis=1)
        parts.append(free[np.unique(near[:, :NEIGHBOURS])])
    return np.unique(np.concatenate(parts))


def _shortlist(evidence: Evidence, free: Indices) -> Indices:
    """Those that look best by their corrected estimates alone; none without estimates."""
    if evidence.estimates is None or evidence.error is None:
        return free[:0]
    there = free[np.isfinite(evidence.estimates[free])]
    losses = evidence.error.slope * evidence.estimates[there] + evidence.error.offset
    if evidence.costs is None:
        return there[np.argsort(losses, kind="stable")[: POOL // 2]]
    means = np.column_stack([losses, evidence.costs[there]])
    deviations = np.zeros_like(means)
    deviations[:, 0] = evidence.error.deviation
    gains = expected_gain(means, deviations, evidence.objectives, evidence.reference)
    return there[np.argsort(-gains, kind="stable")[: POOL // 2]]


def _unit(features: Array) -> Array:
    """Each column scaled to [0, 1]; one without a choice becomes 0."""
    low, high = features.min(axis=0), features.max(axis=0)
    if not low.any() and np.all(high == 1.0):
        return features
    scaled: Array = np.divide(features - low, high - low, out=np.zeros_like(features), where=high > low)
    return scaled
