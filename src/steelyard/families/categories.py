"""Categories of a table as numbers in an order that one threshold can split well."""

from dataclasses import dataclass

import numpy as np

from steelyard.core.protocols import Task
from steelyard.core.task import Array, ClassOutput, TableInput

FEWEST_CATEGORIES = 3
"""Fewer need no order: one threshold parts two categories whichever comes first."""
PRIOR_ROWS = 10.0
"""Rows of the whole training split's mean that each category is mixed with: rare ones say little."""


@dataclass(frozen=True, slots=True)
class Recoding:
    """The columns of a table reordered: first those that stay, then those whose codes become ranks.

    Attributes:
        kept: indices of the columns that stay as they are.
        recoded: indices of the columns whose codes become ranks.
        ranks: for each recoded column the rank of each code, in float32; code 0 is missing or unknown.
    """

    kept: tuple[int, ...]
    recoded: tuple[int, ...]
    ranks: tuple[Array, ...]

    def applied(self, x: Array) -> Array:
        """Rows (n, columns) as trees see them; a code that there is none of counts as unknown."""
        if not self.recoded:
            return x
        parts = [x[:, list(self.kept)]]
        for column, ranks in zip(self.recoded, self.ranks, strict=True):
            codes = x[:, column].astype(np.int64)
            known = (codes >= 0) & (codes < len(ranks))
            parts.append(ranks[np.where(known, codes, 0)][:, None])
        return np.concatenate(parts, axis=1).astype(np.float32)


def recoding_of(task: Task) -> Recoding:
    """The order of each column's categories by their mean target on the training rows.

    For two classes and for values no other order has a threshold that parts the categories better. For more classes
    it is the order along the first principal component of the categories' class shares.

    References:
        W. D. Fisher, On grouping for maximum homogeneity, Journal of the American Statistical Association, 1958;
        D. Coppersmith, S. J. Hong, J. R. M. Hosking, Partitioning nominal attributes in decision trees, Data Mining
        and Knowledge Discovery, 1999.
    """
    assert isinstance(task.input, TableInput)  # noqa: S101  the family refuses other inputs; narrows the type
    columns = task.input.columns
    recoded = [
        at
        for at, column in enumerate(columns)
        if column.kind == "category" and len(column.categories) >= FEWEST_CATEGORIES
    ]
    targets = _targets(task)
    ranks = [_ranks(task.train.x[:, at], len(columns[at].categories) + 1, targets) for at in recoded]
    kept = [at for at in range(len(columns)) if at not in recoded]
    return Recoding(tuple(kept), tuple(recoded), tuple(ranks))


def _targets(task: Task) -> Array:
    """What is averaged: (n, classes) indicators, or (n, 1) values."""
    if isinstance(task.output, ClassOutput):
        return np.eye(task.output.width)[task.train.y]
    return np.asarray(task.train.y, dtype=np.float64)[:, None]


def _ranks(codes: Array, count: int, targets: Array) -> Array:
    """The rank of each code by its smoothed mean target."""
    index = codes.astype(np.int64)
    rows = np.bincount(index, minlength=count).astype(np.float64)
    sums = np.stack([np.bincount(index, weights=column, minlength=count) for column in targets.T], axis=1)
    mean = targets.mean(axis=0)
    means = (sums + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS)[:, None]
    apart = means - mean
    weighted = apart * np.sqrt(rows)[:, None]
    axis = np.linalg.svd(weighted, full_matrices=False)[2][0]
    return np.argsort(np.argsort(apart @ axis, kind="stable"), kind="stable").astype(np.float32)
