"""What rows say about a loss at every threshold: one function for each kind of test."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.core.task import Array
from steelyard.select.means import MeanForm, agreeing
from steelyard.select.quality import strata
from steelyard.statistics import binomial, bootstrap, trinomial

Hits = NDArray[np.bool_]
Statistic = bootstrap.Statistic

MEAN_LEAST_N = 100
"""Rows or groups below which a studentised bootstrap is not trusted."""
BCA_LEAST_N = 500
"""Rows or groups below which a BCa bootstrap is not trusted."""
BCA_LEAST_CLASS = 100
"""Rows (or groups with rows) of the rarest class below which a BCa bootstrap is not trusted."""
_REFERENCE_SHARE = 0.02
"""Share of 1 − confidence spent on the reference's own accuracy where the drop is relative to it."""
_CELLS = 40_000_000
_FEWEST = 400
"""BCa resamples are 2,000, or as many as look at 4e7 outputs, at least 400: some ten seconds at the worst."""
_ONE = 1 - 1e-9
_MOST_DOUBLINGS = 60


@dataclass(frozen=True, slots=True)
class Evidence:
    """A loss that was seen, and how likely it or less is where the true loss is a threshold or more.

    `p_value` maps a threshold to the p-value of "the loss is at least that"; `limit` searches the smallest threshold
    that is rejected, None where there is none. `obstacle` says why the method does not apply, empty where it does.
    """

    value: float
    p_value: Callable[[float], float]
    limit: Callable[[], float | None]
    method: str
    exact: bool
    n: int
    obstacle: str = ""


def trinomial_drop(reference: Hits, candidate: Hits, confidence: float, *, relative: bool) -> Evidence:
    """The drop of accuracy by the exact paired trinomial test.

    Relative: drop >= eps·a, where the reference's accuracy a is not known. Its exact lower limit at 2 % of the error
    allowed is put in its place, and that 2 % is added to p, as Berger and Boos do for a nuisance: still exact.

    Args:
        reference: (n,) which rows the reference gets right.
        candidate: (n,) which rows the candidate gets right.
        confidence: one-sided.
        relative: whether thresholds are shares of the reference's accuracy.
    """
    n, hits = len(reference), int(reference.sum())
    b, c = int((reference & ~candidate).sum()), int((candidate & ~reference).sum())
    method = "paired trinomial, exact unconditional"
    if not relative:
        return Evidence(
            (b - c) / n,
            lambda epsilon: trinomial.p_value(b, c, n, min(epsilon, _ONE)),
            lambda: trinomial.upper_limit(b, c, n, confidence),
            method,
            True,
            n,
        )
    spent = _REFERENCE_SHARE * (1 - confidence)
    low = binomial.lower(hits, n, 1 - spent)
    return Evidence(
        (b - c) / max(hits, 1),
        lambda epsilon: min(1.0, spent + trinomial.p_value(b, c, n, min(epsilon * low, _ONE))),
        lambda: trinomial.upper_limit(b, c, n, confidence + spent) / low if low > 0 else None,
        f"{method}, at the lower limit of the reference's accuracy",
        True,
        n,
    )


def disagreement(reference: Array, candidate: Array, confidence: float) -> Evidence:
    """The share of rows that are decided otherwise, by the exact one-sided binomial test.

    It also bounds the drop of accuracy, whatever the true classes are.
    """
    n, differing = len(reference), int((~agreeing(reference, candidate)).sum())
    return Evidence(
        differing / n,
        lambda epsilon: binomial.p_at_most(differing, n, min(epsilon, 1.0)),
        lambda: binomial.upper(differing, n, confidence),
        "disagreements, exact Clopper-Pearson",
        True,
        n,
    )


def binomial_quality(hits: Hits, confidence: float) -> Evidence:
    """Accuracy by itself, by the exact one-sided binomial test; thresholds are losses, so minus an accuracy."""
    n, k = len(hits), int(hits.sum())
    return Evidence(
        -k / n,
        lambda threshold: binomial.p_at_least(k, n, min(max(-threshold, 0.0), 1.0)),
        lambda: -binomial.lower(k, n, confidence),
        "binomial, exact",
        True,
        n,
    )


def mean(form: MeanForm, value: float, alpha: float, rng: np.random.Generator) -> Evidence:
    """A loss that is a mean, by the studentised bootstrap.

    Args:
        form: columns of each row or group, and the weights of a threshold.
        value: the loss seen.
        alpha: level of the limit.
        rng: of the resamples.
    """
    n, method = len(form.columns), "studentised bootstrap"
    if n < MEAN_LEAST_N:
        return _obstacle(
            value, method, n, f"a {method} needs at least {MEAN_LEAST_N} independent rows or groups, got {n}."
        )
    # Columns may differ by orders of magnitude; each in its own unit, the sums keep their digits.
    scale = np.abs(form.columns).max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    resampled = bootstrap.StudentisedMean(form.columns / scale, rng)

    def p_value(threshold: float) -> float:
        weights = form.weights(threshold) * scale
        p = resampled.p_value(weights / np.abs(weights).max())
        return p if form.share is None else max(p, bootstrap.unseen(n, form.share(threshold)))

    return Evidence(value, p_value, lambda: _search(p_value, value, alpha), method, False, n)


def bca(
    statistic: Statistic,
    value: float,
    targets: Array,
    groups: Array | None,
    *,
    alpha: float,
    rng: np.random.Generator,
    cells: int,
    guarded: bool = True,
) -> Evidence:
    """A loss of any form, by the class-stratified BCa bootstrap; whole groups are resampled where there are groups.

    Args:
        statistic: the loss of the rows given.
        value: the loss of all.
        targets: (n,).
        groups: (n,) or None.
        alpha: level of the limit.
        rng: of the resamples.
        cells: outputs that one call of `statistic` looks at.
        guarded: whether a loss on a share of the rows may leave no trace, as a drop may (`bootstrap.unseen`).
    """
    classes, method = strata(targets), "BCa bootstrap"
    members = _members(groups) if groups is not None else None
    n = len(members) if members is not None else len(classes)
    rarest = min(_units_of(classes, groups))
    if n < BCA_LEAST_N or rarest < BCA_LEAST_CLASS:
        return _obstacle(
            value,
            method,
            n,
            f"a {method} needs at least {BCA_LEAST_N} independent rows or groups, {BCA_LEAST_CLASS} of them of the "
            f"rarest class, got {n} and {rarest}.",
        )
    resamples = max(min(bootstrap.BCA_RESAMPLES, max(_CELLS // max(1, cells), _FEWEST)), math.ceil(10 / alpha))
    if members is None:
        test = bootstrap.bca(statistic, classes, rng, resamples)
    else:
        rows = members

        def of_groups(drawn: NDArray[np.int64]) -> float:
            return statistic(np.concatenate([rows[each] for each in drawn]))

        test = bootstrap.bca(of_groups, np.zeros(n, dtype=np.int64), rng, resamples)

    def p_value(threshold: float) -> float:
        return max(test(threshold), bootstrap.unseen(n, threshold)) if guarded else test(threshold)

    return Evidence(value, p_value, lambda: _search(p_value, value, alpha), method, False, n)


def _obstacle(value: float, method: str, n: int, sentence: str) -> Evidence:
    return Evidence(value, lambda _: 1.0, lambda: None, method, False, n, sentence)


def _search(p_value: Callable[[float], float], value: float, alpha: float) -> float | None:
    """The smallest threshold above `value` that is rejected, to a thousandth of the distance; None if there is none."""
    low, step = value, max(0.1 * abs(value), 1e-4)
    for _ in range(_MOST_DOUBLINGS):
        if p_value(value + step) <= alpha:
            break
        low, step = value + step, 2 * step
    else:
        return None
    high = value + step
    while high - low > 1e-3 * (high - value):
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(middle) <= alpha else (middle, high)
    return high


def _members(groups: Array) -> list[NDArray[np.int64]]:
    """The rows of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(np.asarray(groups)[order])) + 1)


def _units_of(classes: NDArray[np.int64], groups: Array | None) -> list[int]:
    """How many rows (or groups) each class has."""
    if groups is None:
        return [int(count) for count in np.bincount(classes)]
    pairs = np.unique(np.column_stack([classes, np.unique(groups, return_inverse=True)[1]]), axis=0)
    return [int(count) for count in np.bincount(pairs[:, 0])]
