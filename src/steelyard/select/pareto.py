"""Pareto front, hypervolume and knee of points whose every column is minimised."""

import itertools

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import InputError

Costs = NDArray[np.float64]


def non_dominated(costs: Costs) -> NDArray[np.bool_]:
    """Which points no other point dominates: none is as low in every column and lower in one.

    Args:
        costs: (n, m), minimised. A point with a NaN dominates nothing and is never on the front. Identical points
            do not dominate each other: all of them are kept.

    Returns:
        (n,) mask. O(n² m).
    """
    costs = _table(costs)
    known: NDArray[np.bool_] = ~np.any(np.isnan(costs), axis=1)
    mask = known.copy()
    for index in np.flatnonzero(known):
        others = costs[known]
        dominates = np.all(others <= costs[index], axis=1) & np.any(others < costs[index], axis=1)
        mask[index] = not dominates.any()
    return mask


def hypervolume(costs: Costs, reference_point: Costs) -> float:
    """The volume that the points dominate, up to the reference point; exact.

    Args:
        costs: (n, m), minimised. Points that are not below the reference point in every column add nothing.
        reference_point: (m,) the worst corner. It is no model: the reference of a drop is another thing.

    Returns:
        A volume of at least 0, in the product of the columns' units. O(n^(m−1)) by slicing the last column.

    References:
        Zitzler, Thiele: Multiobjective optimization using evolutionary algorithms, PPSN V, 1998 (the measure).
        While, Hingston, Barone, Huband: A faster algorithm for calculating hypervolume, IEEE Transactions on
        Evolutionary Computation, 2006 (slicing objectives).
    """
    costs = _table(costs)
    corner = np.asarray(reference_point, dtype=np.float64)
    inside = costs[np.all(costs < corner, axis=1)]
    return _volume(inside[non_dominated(inside)], corner)


def knee(costs: Costs) -> int:
    """The index of the knee: where giving up a little of one column stops buying much of the others.

    Each column is scaled to [0, 1] over the front; the knee is the non-dominated point with the smallest sum. With
    two columns that is the point farthest below the line through the front's two ends.

    Args:
        costs: (n, m), minimised, at least one row without NaN.

    Returns:
        A row's index, the first of equals.

    Raises:
        InputError: if there is no point without NaN.

    References:
        Das: On characterizing the "knee" of the Pareto curve based on normal-boundary intersection, Structural
        Optimization, 1999.
    """
    costs = _table(costs)
    front = np.flatnonzero(non_dominated(costs))
    if not len(front):
        raise InputError("a knee needs at least one point whose costs are all known, got none.")
    return int(front[np.argmin(normalised(costs[front]).sum(axis=1))])


def normalised(costs: Costs) -> Costs:
    """Each column scaled to [0, 1] from its smallest to its largest value; all 0 where they are equal.

    Args:
        costs: (n, m), finite.
    """
    low, high = costs.min(axis=0), costs.max(axis=0)
    scaled: Costs = np.divide(costs - low, high - low, out=np.zeros_like(costs), where=high > low)
    return scaled


def _volume(front: Costs, corner: Costs) -> float:
    if not len(front):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - front[:, 0].min())
    order = np.argsort(front[:, -1], kind="stable")
    edges = np.append(front[order, -1], corner[-1])
    total = 0.0
    for count, (low, high) in enumerate(itertools.pairwise(edges), start=1):
        if high > low:
            slab = front[order[:count], :-1]
            total += float(high - low) * _volume(slab[non_dominated(slab)], corner[:-1])
    return total


def _table(costs: Costs) -> Costs:
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2:
        raise InputError(f"'costs' must be a table of shape (points, columns), got shape {table.shape}.")
    return table
