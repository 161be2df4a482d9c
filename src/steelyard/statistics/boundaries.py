"""Whether the boundaries of a partition are real: how few links between neighbouring points they cut."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

NEIGHBOURS = 10
"""Nearest points that each point is linked to."""
FEWEST = 25
"""Points of a cluster: of fewer, nearly all are neighbours, and no cut through them is easy."""
MOST = 100.0
"""Ratio beyond which a boundary is called no worse."""
SMALLER_SIDE = 0.25
"""Share of a cluster's links that the smaller side of a cut through it holds at least: a stray point is no half."""


@dataclass(frozen=True, slots=True)
class Links:
    """The graph of nearest neighbours: weights (n, n), 1 where each of two is among the other's, 1/2 for one way."""

    weights: Floats

    @classmethod
    def of(cls, distances: Floats, neighbours: int = NEIGHBOURS) -> Self:
        """The links of points by their distances (n, n)."""
        n = len(distances)
        count = min(neighbours, n - 1)
        away = distances + np.diag(np.full(n, np.inf))
        nearest = np.argpartition(away, count - 1, axis=1)[:, :count]
        one_way = np.zeros((n, n))
        one_way[np.arange(n)[:, None], nearest] = 0.5
        return cls(one_way + one_way.T)

    def boundary(self, labels: Labels) -> float:
        """How the worst boundary between two clusters compares with a cut through one of them.

        The conductance of a boundary is the share of the links of the smaller of two neighbouring clusters that go
        over to the other; that of a cut through a cluster, the same of the two halves that are easiest to part. The
        boundary is divided by the easier cut of its two clusters: well below 1, it runs through a gap; near 1, it
        could as well run anywhere. The largest such ratio of all pairs, `MOST` at most: a cluster in parts is cut for
        nothing. It is `MOST` too where a cluster has fewer points than `FEWEST`.

        A clustering is good where cuts between clusters are cheap and cuts through them are dear; that holds for
        clusters of any shape. Dense linear algebra, O(n³ / clusters²).

        Args:
            labels: (n,); those of −1 belong to no cluster and are left out.

        References:
            R. Kannan, S. Vempala, A. Vetta, On clusterings: good, bad and spectral, Journal of the ACM, 2004.
        """
        names = [name for name in np.unique(labels).tolist() if name >= 0]
        if len(names) < 2:
            return 1.0
        members = [np.flatnonzero(labels == name) for name in names]
        if min(len(each) for each in members) < FEWEST:
            return MOST
        belongs = np.stack([labels == name for name in names]).astype(np.float64)
        between = belongs @ self.weights @ belongs.T
        volumes = between.sum(axis=1)
        through = np.array([_easiest_cut(self.weights[np.ix_(each, each)]) for each in members])
        worst = 0.0
        for one in range(len(names)):
            for other in range(one):
                over = between[one, other] / max(min(volumes[one], volumes[other]), 1e-12)
                worst = max(worst, over / max(min(through[one], through[other]), 1e-12))
        return min(float(worst), MOST)


def _easiest_cut(weights: Floats) -> float:
    """The least conductance of a cut through a graph, along the eigenvector that relaxes the question; O(n³).

    Only cuts with both sides large enough count. A graph in parts has cuts of 0.
    """
    degrees = weights.sum(axis=1)
    total = degrees.sum()
    if len(weights) < 4 or total <= 0:
        return 1.0
    roots = 1 / np.sqrt(np.maximum(degrees, 1e-12))
    _, vectors = np.linalg.eigh(np.eye(len(weights)) - roots[:, None] * weights * roots[None, :])
    order = np.argsort(vectors[:, 1] * roots, kind="stable")
    sorted_weights = weights[np.ix_(order, order)]
    volume = np.cumsum(degrees[order])[:-1]
    # Links over the cut after each place: those of the first side to all, less twice those within it.
    within = np.cumsum(2 * np.tril(sorted_weights, -1).sum(axis=1))[:-1]
    over = volume - within
    smaller = np.minimum(volume, total - volume)
    able = smaller >= SMALLER_SIDE * total
    return float((over[able] / smaller[able]).min()) if able.any() else 1.0
