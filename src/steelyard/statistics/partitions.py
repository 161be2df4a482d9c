"""Partitions of points: how two agree, and how well one fits its points."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

MOST_COMPARED = 2_000
"""Points that a silhouette's distances are taken to; of more, evenly chosen ones."""
_ROWS_AT_ONCE = 1_000


def adjusted_rand(one: Labels, other: Labels) -> float:
    """How two partitions of the same points agree, corrected for chance: 1 the same, 0 as by chance. O(n).

    Two partitions that both have one part, or both as many as there are points, agree fully.

    Args:
        one: (n,) whole numbers of at least 0.
        other: (n,) likewise.

    References:
        L. Hubert, P. Arabie, Comparing partitions, Journal of Classification, 1985.
    """
    width = int(other.max()) + 1
    cells = np.bincount(one * width + other, minlength=(int(one.max()) + 1) * width).reshape(-1, width)
    together = _pairs(cells).sum()
    rows, columns = _pairs(cells.sum(axis=1)).sum(), _pairs(cells.sum(axis=0)).sum()
    everything = _pairs(np.array(len(one))).sum()
    expected = rows * columns / everything if everything else 0.0
    most = (rows + columns) / 2
    return float((together - expected) / (most - expected)) if most != expected else 1.0


def _pairs(counts: NDArray[np.int64]) -> Floats:
    sizes = counts.astype(np.float64)
    return sizes * (sizes - 1) / 2


def row_silhouettes(points: Floats, labels: Labels) -> Floats:
    """The silhouette of each point (n,): how much nearer its own cluster is than the next, from −1 to 1.

    (b − a) / max(a, b), with a the mean distance to the others of its own cluster and b that to the nearest other
    cluster; 0 for a cluster of one point, and for all where there is one cluster only. Beyond `MOST_COMPARED` points
    the means are over evenly chosen ones. O(n · min(n, 2000) · d).

    Args:
        points: (n, d).
        labels: (n,) whole numbers.

    References:
        P. J. Rousseeuw, Silhouettes: a graphical aid to the interpretation and validation of cluster analysis, Journal
        of Computational and Applied Mathematics, 1987.
    """
    names, codes = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        return np.zeros(len(points))
    chosen = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_COMPARED)).astype(np.int64))
    belongs = (codes[chosen][:, None] == np.arange(len(names))).astype(np.float64)
    sizes = belongs.sum(axis=0)
    sums = np.concatenate(
        [
            cdist(points[at : at + _ROWS_AT_ONCE], points[chosen]) @ belongs
            for at in range(0, len(points), _ROWS_AT_ONCE)
        ]
    )
    is_among = np.zeros(len(points))
    is_among[chosen] = 1.0
    every = np.arange(len(points))
    others = sizes[codes] - is_among
    with np.errstate(invalid="ignore", divide="ignore"):
        own = sums[every, codes] / others
        apart = sums / sizes
        apart[every, codes] = np.inf
        apart[:, sizes == 0] = np.inf
        nearest = apart.min(axis=1)
        found = (nearest - own) / np.maximum(own, nearest)
    return np.where((others > 0) & np.isfinite(found), found, 0.0)
