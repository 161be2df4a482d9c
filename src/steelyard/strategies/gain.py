"""The expected gain of hypervolume of candidates whose objectives are known with an error; all are minimised."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Array = NDArray[np.float64]
CHUNK = 2_000_000
"""Boxes times candidates worked on at once: 16 MB a column."""


def expected_gain(means: Array, deviations: Array, known: Array, reference: Array) -> Array:
    """How much each candidate is expected to add to the hypervolume of the known points; exact.

    The space that no known point dominates is cut into boxes. A candidate's gain within a box is the product of the
    lengths that it covers along each axis, and as the objectives are independent, so is the expected gain the product
    of expected lengths, differences of E[(u − Y)⁺].

    Args:
        means: (n, m), the predicted objectives.
        deviations: (n, m), standard deviations of the errors, independent and normal; 0 means known exactly.
        known: (k, m), what has been found.
        reference: (m,), the worst corner: the volume ends there.

    Returns:
        (n,) gains of at least 0, in the product of the objectives' units. O(n k^(m−1)).

    References:
        Emmerich, Giannakoglou, Naujoks: Single- and multiobjective evolutionary optimization assisted by Gaussian
        random field metamodels, IEEE Transactions on Evolutionary Computation, 2006 (the measure).
        Emmerich, Deutz, Klinkenberg: Hypervolume-based expected improvement: monotonicity properties and exact
        computation, IEEE CEC, 2011.
        Daulton, Balandat, Bakshy: Differentiable expected hypervolume improvement for parallel multi-objective
        Bayesian optimization, NeurIPS, 2020 (the sum over boxes).
    """
    means, deviations = np.atleast_2d(means), np.atleast_2d(deviations)
    lows, highs = free_boxes(known, reference)
    total = np.zeros(len(means))
    step = max(CHUNK // max(len(lows), 1), 1)
    for start in range(0, len(means), step):
        part = slice(start, start + step)
        product = np.ones((len(means[part]), len(lows)))
        for axis in range(means.shape[1]):
            edges, where = np.unique(np.concatenate([lows[:, axis], highs[:, axis]]), return_inverse=True)
            below = _expected_excess(edges, means[part, axis], deviations[part, axis])
            product *= below[:, where[len(lows) :]] - below[:, where[: len(lows)]]
        total[part] = product.sum(axis=1)
    return np.maximum(total, 0.0)


def free_boxes(known: Array, reference: Array) -> tuple[Array, Array]:
    """The space below the reference point that no known point dominates, as disjoint boxes.

    Args:
        known: (k, m), minimised; points not below the reference point in every column dominate nothing.
        reference: (m,), the worst corner.

    Returns:
        (boxes, m) lower corners, −∞ where a box is unbounded, and (boxes, m) upper corners. O(k^(m−1)) boxes.

    References:
        While, Hingston, Barone, Huband: A faster algorithm for calculating hypervolume, IEEE Transactions on
        Evolutionary Computation, 2006 (slices along the last objective).
    """
    corner = np.asarray(reference, dtype=np.float64)
    inside = np.asarray(known, dtype=np.float64).reshape(-1, len(corner))
    inside = inside[np.all(inside < corner, axis=1)]
    if len(corner) == 1:
        low, high = np.array([[-np.inf]]), np.array([[min([*inside[:, 0], corner[0]])]])
        return low, high
    front = inside[undominated(inside)]
    front = front[np.argsort(front[:, -1], kind="stable")]
    edges = np.concatenate([[-np.inf], front[:, -1], corner[-1:]])
    lows, highs = [], []
    for count in range(len(front) + 1):
        if edges[count + 1] > edges[count]:
            low, high = free_boxes(front[:count, :-1], corner[:-1])
            lows.append(np.column_stack([low, np.full(len(low), edges[count])]))
            highs.append(np.column_stack([high, np.full(len(high), edges[count + 1])]))
    return np.concatenate(lows), np.concatenate(highs)


def undominated(points: Array) -> NDArray[np.bool_]:
    """Which points no other dominates; of equal ones the first is kept.

    Args:
        points: (n, m), minimised, without NaN.

    Returns:
        (n,) mask. O(n f m) for f points on the front.
    """
    mask = np.zeros(len(points), dtype=bool)
    left = np.lexsort(points.T[::-1])
    while len(left):
        best = left[0]
        mask[best] = True
        left = left[~np.all(points[left] >= points[best], axis=1)]
    return mask


def _expected_excess(edges: Array, means: Array, deviations: Array) -> Array:
    """E[(u − Y)⁺] for each candidate's normal Y and each edge u: (n, edges). 0 for an edge at −∞."""
    room = edges[None, :] - means[:, None]
    spread = deviations[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.where(spread > 0, room / spread, np.where(room > 0, np.inf, -np.inf))
    finite = np.isfinite(at)
    density = np.where(finite, np.exp(-0.5 * np.where(finite, at, 0.0) ** 2), 0.0) / np.sqrt(2 * np.pi)
    return np.where(np.isneginf(at), 0.0, np.where(np.isinf(room), 0.0, room) * ndtr(at) + spread * density)
