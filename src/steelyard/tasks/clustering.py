"""Tasks without targets: rows to be put into clusters, and the clustering that a file's is compared with."""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.distance import cdist

from steelyard.core.errors import DataError
from steelyard.core.task import Array, ClassOutput, Fact, Rows, TableInput
from steelyard.core.wire import Plain
from steelyard.tasks.clusterings import MOST_CLUSTERS, ROWS_A_CLUSTER, Clustering, Found, clusterings
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.facts import describe
from steelyard.tasks.preprocess import encode
from steelyard.tasks.source import Source
from steelyard.tasks.splits import partition
from steelyard.tasks.table import fit_table

FEWEST_ROWS = 3 * ROWS_A_CLUSTER
"""Training rows below which no clustering could be told from chance."""
CLUSTERINGS = "clusterings"
"""The fact that holds what was found."""


def prepare_clustering(
    source: Source,
    *,
    name: str,
    seed: int,
    shares: tuple[float, float, float],
    defaults: Mapping[str, Plain] | None = None,
) -> PreparedTask:
    """A task from raw rows of a table.

    The targets of a row are the number of its cluster, −1 for none, and then its standardised features: figures that
    need the rows themselves find them there. A sample of the training rows is clustered in several ways; the one that
    they speak for gives the numbers, to other rows by the nearest row of the sample. Without one they are all 0, and
    k-means' silhouette is the metric.

    Raises:
        DataError: if the rows are no table, or too few.
    """
    if not isinstance(source.x, Mapping):
        raise DataError(f"{source.origin} must hold a table for clustering, got images.", field="data")
    parts = partition(
        np.zeros(len(source.y), dtype=np.int64),
        origin=source.origin,
        seed=seed,
        given=source.split,
        groups=source.groups,
        order=source.order,
        shares=shares,
    )
    if len(parts.train) < FEWEST_ROWS:
        raise DataError(
            f"{source.origin} must hold at least {FEWEST_ROWS} training rows to be clustered, got {len(parts.train)}; "
            "add rows.",
            field="data",
        )
    spec, notes = fit_table(source.x, parts.train, origin=source.origin)
    x = encode(spec, {column.name: source.x[column.name] for column in spec.columns})
    points = standardised(spec, x)
    if not np.ptp(points[parts.train], axis=0).any():
        raise DataError(f"{source.origin} must hold rows that differ, got equal ones only.", field="data")
    found = clusterings(points[parts.train], seed)
    y = np.concatenate([_numbers(points, points[parts.train], found)[:, None], points], axis=1).astype(np.float32)
    output = ClassOutput(tuple(range(most_clusters(len(parts.train)))))
    splits = [
        Rows(x[rows], y[rows], None if source.groups is None else source.groups[rows])
        for rows in (parts.train, parts.valid, parts.test)
    ]
    facts = describe("clustering", spec, output, splits, (*source.notes, *notes, fact_of(found)))
    return PreparedTask(
        name=name,
        kind="clustering",
        input=spec,
        output=output,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        split_how=parts.how,
        data_hash=hash_rows(spec, output, *splits),
        facts=facts,
        metric="adjusted_rand" if found.chosen is not None else "silhouette",
        defaults={"families": ["kmeans"]} if defaults is None else defaults,
    )


def most_clusters(rows: int) -> int:
    """The most clusters that so many training rows are put into."""
    return max(2, min(MOST_CLUSTERS, rows // ROWS_A_CLUSTER))


def standardised(spec: TableInput, x: Array) -> Array:
    """Rows as points (n, features), float32: what k-means and its files measure distances of.

    First the numbers, in standard deviations from their mean, 0 where missing; then a 0 or 1 for each category.
    """
    numbers = [at for at, column in enumerate(spec.columns) if column.kind == "number"]
    mean, std = (np.array([getattr(spec.columns[at], name) for at in numbers], np.float32) for name in ("mean", "std"))
    scaled = (x[:, numbers].astype(np.float32) - mean) / std
    parts = [np.where(np.isnan(scaled), np.float32(0), scaled)]
    for at, column in enumerate(spec.columns):
        if column.kind == "category":
            parts.append((x[:, at][:, None] == np.arange(1, len(column.categories) + 1)).astype(np.float32))
    return np.concatenate(parts, axis=1)


def _numbers(points: Array, train: Array, found: Found) -> Array:
    """The cluster of each point (n,): that of the nearest clustered row of the sample."""
    if found.chosen is None:
        return np.zeros(len(points), dtype=np.int64)
    labels = found.chosen.labels
    sample = train[found.rows][labels >= 0]
    nearest = [cdist(points[at : at + 1000], sample).argmin(axis=1) for at in range(0, len(points), 1000)]
    return np.asarray(labels[labels >= 0][np.concatenate(nearest)])


def fact_of(found: Found) -> Fact:
    """What was found, for the report: every clustering tried, and the one chosen with the reason."""
    chosen = found.chosen
    value: Plain = {
        "rows": len(found.rows),
        "chosen": None if chosen is None else chosen.to_json(),
        "tried": [each.to_json() for each in found.tried],
    }
    return Fact(CLUSTERINGS, value, _sentence(found, chosen))


def _sentence(found: Found, chosen: Clustering | None) -> str:
    round_ones = [each for each in found.tried if each.algorithm == "kmeans" and "silhouette" in each.figures]
    best = max(round_ones, key=lambda each: each.figures["silhouette"], default=None)
    seen = f" (k-means' silhouette alone is best at {best.clusters})" if best is not None else ""
    if chosen is None:
        return (
            f"no clustering of {len(found.rows):,} rows both comes back on other rows and has boundaries that run "
            f"through gaps{seen}: there may be no clusters"
        )
    figures = chosen.figures
    text = (
        f"{chosen.clusters} clusters by {chosen}: of the clusterings that come back on other rows (adjusted Rand index "
        f"{figures['stability']:.2f}) and whose boundaries run through gaps ({figures['boundary']:.2f} of the easiest "
        f"cut through a cluster) it has the most clusters{seen}"
    )
    if chosen.algorithm == "kmeans":
        return text
    return f"{text}; it can't place new rows, so files are k-means' and are judged by how well they agree with it"
