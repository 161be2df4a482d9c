"""Clusterings of a table by three algorithms, how far each can be trusted, and which one the rows speak for.

A silhouette compares clusterings of one algorithm at best: it prefers round clusters, so k-means' wrong answer on two
crescents has the better one. What decides here holds for clusters of any shape: a clustering must come back on other
rows (stability), and its boundaries must run through gaps (`steelyard.statistics.boundaries`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import cdist, squareform

from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.statistics.boundaries import Links
from steelyard.statistics.partitions import adjusted_rand, row_silhouettes

MOST_ROWS = 600
"""Rows that are clustered: a seeded sample of more. Beyond it, choices hardly change and time grows with the square."""
MOST_CLUSTERS = 20
ROWS_A_CLUSTER = 8
"""Rows that a cluster has on average at least."""
ALGORITHMS = ("kmeans", "hierarchical", "dbscan")
LINKAGES: tuple[Literal["ward", "average", "single"], ...] = ("ward", "average", "single")
DISTANCES = ("euclidean", "manhattan")
RADII = 8
"""Radii that are tried for DBSCAN, from the median distance to the `NEAR`-th neighbour upwards."""
NEAR = 5
RESAMPLES, RESAMPLED = 6, 0.8
"""Samples without replacement that each clustering is made of again, and the share of rows in each."""
STABLE = 0.8
"""Least mean adjusted Rand index of the clustering with those of the samples."""
APART = 0.5
"""Largest boundary, as a share of the easiest cut through a cluster."""
NOISE = 0.15
"""Largest share of rows that belong to no cluster."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """One clustering of the sample and its figures.

    Attributes:
        algorithm: "kmeans", "hierarchical" or "dbscan".
        settings: its scale: `clusters`, `linkage`, `radius`, `distance`.
        labels: (n,) of each row; −1 belongs to no cluster.
        figures: silhouette, davies_bouldin, calinski_harabasz (of the rows in clusters; absent below two clusters),
            noise, stability, boundary (absent where the clustering is not stable), fit_s.
    """

    algorithm: str
    settings: Mapping[str, Any]
    labels: Array
    figures: Mapping[str, float]

    @property
    def clusters(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def is_trusted(self) -> bool:
        """Whether it comes back on other rows, its boundaries run through gaps, and it leaves few rows out."""
        return (
            self.clusters > 1
            and self.figures["stability"] >= STABLE
            and self.figures["noise"] <= NOISE
            and self.figures.get("boundary", 1.0) <= APART
        )

    def to_json(self) -> Plain:
        """The plain form, without the labels."""
        figures = {name: float(value) for name, value in self.figures.items()}
        return {
            "algorithm": self.algorithm,
            "settings": dict(self.settings),
            "clusters": self.clusters,
            **figures,
            "trusted": self.is_trusted,
        }

    def __str__(self) -> str:
        """For people: `hierarchical (linkage ward, clusters 4)`."""
        told = ", ".join(f"{name} {_short(value)}" for name, value in self.settings.items())
        return f"{self.algorithm} ({told})"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: the rows looked at, everything tried, and the clustering that they speak for, if any."""

    rows: Array
    tried: tuple[Clustering, ...]
    chosen: Clustering | None


Fit = Callable[[Array, Array], Mapping[Any, Array]]
"""Clusters points (n, d) with distances (n, n): labels by setting."""


def clusterings(points: Array, seed: int, *, distances: tuple[str, ...] = ("euclidean",)) -> Found:
    """Cluster a sample of points (n, d), standardised, in every way, and choose.

    Chosen is the trusted clustering with the most clusters: a coarser one lumps together what comes back apart on other
    rows too. Of equally many, that of k-means, whose files can be shipped, before a hierarchical one, which leaves no
    row out, before DBSCAN's; and of one algorithm's the one whose worst boundary cuts fewest links.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(points))[:MOST_ROWS])
    sample = np.asarray(points[rows], dtype=np.float64)
    parts = [np.sort(rng.permutation(len(sample))[: int(RESAMPLED * len(sample))]) for _ in range(RESAMPLES)]
    tried: list[Clustering] = []
    for distance in distances:
        apart = _distances(sample, distance)
        links = Links.of(apart)
        for algorithm, fit in _algorithms(sample, apart, distance, seed).items():
            tried += _judged(algorithm, fit, sample, apart, parts, links)
    trusted = [each for each in tried if each.is_trusted]

    def order(each: Clustering) -> tuple[int, int, float]:
        return (-each.clusters, ALGORITHMS.index(each.algorithm), each.figures["boundary"])

    best = min(trusted, key=order, default=None)
    return Found(rows, tuple(tried), best)


def _distances(points: Array, distance: str) -> Array:
    return np.asarray(cdist(points, points, "cityblock" if distance == "manhattan" else "euclidean"))


def _algorithms(points: Array, apart: Array, distance: str, seed: int) -> dict[str, Fit]:
    ks = range(2, max(2, min(MOST_CLUSTERS, len(points) // ROWS_A_CLUSTER)) + 1)
    radii = _radii(apart)
    found: dict[str, Fit] = {}
    if distance == "euclidean":
        found["kmeans"] = lambda x, _: {(("clusters", k),): kmeans(x, k, seed)[1] for k in ks}
    found["hierarchical"] = lambda x, d: dict(_hierarchies(x, d, ks, distance))
    found["dbscan"] = lambda _, d: {(("radius", r), ("distance", distance)): _dbscan(d, r) for r in radii}
    return found


def kmeans(points: Array, clusters: int, seed: int) -> tuple[Array, Array]:
    """Centres (k, d) and the cluster of each point (n,), the best of ten starts.

    References:
        S. P. Lloyd, Least squares quantization in PCM, IEEE Transactions on Information Theory, 1982.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415  takes a second to import

    model = KMeans(min(clusters, len(points)), n_init=10, random_state=seed).fit(points)
    return np.asarray(model.cluster_centers_), np.asarray(model.labels_, dtype=np.int64)


def _hierarchies(points: Array, apart: Array, ks: range, distance: str) -> Iterator[tuple[Any, Array]]:
    """Cuts of the trees of every linkage; ward's needs squared Euclidean distances."""
    for method in LINKAGES:
        if method == "ward" and distance != "euclidean":
            continue
        tree = linkage(points, "ward") if method == "ward" else linkage(squareform(apart, checks=False), method)
        for k in ks:
            settings = (("linkage", method), ("clusters", k), ("distance", distance))
            yield settings, fcluster(tree, k, "maxclust").astype(np.int64) - 1


def _dbscan(apart: Array, radius: float) -> Array:
    from sklearn.cluster import DBSCAN  # noqa: PLC0415

    return np.asarray(DBSCAN(eps=radius, min_samples=NEAR, metric="precomputed").fit_predict(apart), dtype=np.int64)


def _radii(apart: Array) -> list[float]:
    """From where half of the points are in a dense place to where all are, and half as far again."""
    near = np.sort(apart, axis=1)[:, min(NEAR, len(apart) - 1)]
    low, high = float(np.median(near)), 1.5 * float(near.max())
    return np.geomspace(max(low, 1e-9), max(high, 2e-9), RADII).tolist() if high > low else [max(high, 1e-9)]


def _judged(  # noqa: PLR0917  one algorithm, the sample and what it is judged with
    algorithm: str, fit: Fit, points: Array, apart: Array, parts: list[Array], links: Links
) -> Iterator[Clustering]:
    import sklearn.cluster  # noqa: PLC0415  not to be timed
    import sklearn.metrics  # noqa: PLC0415, F401

    start = time.perf_counter()
    whole = fit(points, apart)
    fit_s = (time.perf_counter() - start) / len(whole)
    again = [fit(points[part], apart[np.ix_(part, part)]) for part in parts]
    for settings, labels in whole.items():
        agreed = [adjusted_rand(labels[part] + 1, each[settings] + 1) for part, each in zip(parts, again, strict=True)]
        found = Clustering(
            algorithm,
            dict(settings),
            labels,
            {"noise": float(np.mean(labels < 0)), "stability": float(np.mean(agreed)), "fit_s": fit_s},
        )
        figures = {**found.figures, **indices(points, labels)}
        if figures["stability"] >= STABLE and found.clusters > 1:
            figures["boundary"] = links.boundary(labels)
        yield replace(found, figures=figures)


def indices(points: Array, labels: Array) -> dict[str, float]:
    """Silhouette, Davies-Bouldin and Calinski-Harabasz of the points in clusters; none below two clusters.

    References:
        D. L. Davies, D. W. Bouldin, A cluster separation measure, IEEE TPAMI, 1979;
        T. Caliński, J. Harabasz, A dendrite method for cluster analysis, Communications in Statistics, 1974.
    """
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score  # noqa: PLC0415

    inside = labels >= 0
    x, named = points[inside], labels[inside]
    if not 1 < len(np.unique(named)) < len(named):
        return {}
    return {
        "silhouette": float(row_silhouettes(x, named).mean()),
        "davies_bouldin": float(davies_bouldin_score(x, named)),
        "calinski_harabasz": float(calinski_harabasz_score(x, named)),
    }
