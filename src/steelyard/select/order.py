"""The order of testing, frozen before the test rows are looked at, and the tests in that order.

References:
    Angelopoulos, Bates, Candès, Jordan, Lei: Learn then Test: Calibrating predictive algorithms to achieve risk
        control, 2021 (fixed-sequence testing).
    Laufer-Goldshtein, Fisch, Barzilay, Jaakkola: Efficiently controlling multiple risks with Pareto Testing, ICLR 2023.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from steelyard.core.goal import Limit
from steelyard.core.quantity import Quantity
from steelyard.select.limits import is_met
from steelyard.select.pareto import non_dominated
from steelyard.select.proof import Proof

AT_MOST = 8
"""Candidates tested: each costs one pass over the test rows and a fresh measurement."""


_HAIR = 1e-12
"""Sets equal drops apart; far below anything that rows could tell."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A candidate as ordering sees it: its drop on the validation rows, the minimised cost, and its metrics."""

    key: str
    drop: float
    cost: float
    metrics: Mapping[str, Quantity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Certified:
    """What fixed-sequence testing proved.

    `order` is the whole order; `proofs` holds the drop's proof of each tested candidate, `quality` that of the
    quality where one was asked for; `rejected` are the candidates proved, in order; `stopped_at` is the first that
    was not, None if all were.
    """

    order: tuple[str, ...]
    proofs: Mapping[str, Proof]
    rejected: tuple[str, ...]
    stopped_at: str | None
    quality: Mapping[str, Proof] = field(default_factory=dict)


def testing_order(
    entries: Sequence[Entry], limits: Sequence[Limit] = (), *, epsilon: float | None = None, at_most: int = AT_MOST
) -> tuple[str, ...]:
    """The candidates to test: those meeting every limit, on the front of (drop, cost), smallest drop first.

    Where the front holds more than `at_most`, only those whose drop is at most epsilon are kept, if there are any,
    and of these `at_most` evenly spread by rank, the first and the last (cheapest) among them: the order never looks
    at test rows, so any choice keeps the guarantee.

    Args:
        entries: the candidates, without the reference; those with a NaN are left out.
        limits: upper limits on metrics of the entries.
        epsilon: the permitted drop.
        at_most: how many to test.

    Returns:
        Keys. Equal drops stand by cost, then by key.
    """
    feasible = [entry for entry in entries if all(is_met(limit, entry.metrics) for limit in limits)]
    if not feasible:
        return ()
    mask = non_dominated(np.array([(entry.drop, entry.cost) for entry in feasible]))
    front = [entry for entry, kept in zip(feasible, mask, strict=True) if kept]
    front.sort(key=lambda entry: (entry.drop, entry.cost, entry.key))
    if len(front) > at_most:
        hopeful = [entry for entry in front if epsilon is None or entry.drop <= epsilon]
        front = hopeful or front[:at_most]
    if len(front) > at_most:
        ranks = np.unique(np.rint(np.linspace(0, len(front) - 1, at_most)).astype(int))
        front = [front[rank] for rank in ranks]
    return tuple(entry.key for entry in front)


def smoothed(entries: Sequence[Entry], slack: float) -> tuple[Entry, ...]:
    """Candidates of one model, whose drops on the validation rows are taken to rise as their costs fall.

    Less compression loses less; where a cheaper candidate looks better by no more than `slack`, that is the chance of
    the rows. Candidates that a cheaper or equally cheap one beats by more are left out. The others get the drop of the
    isotonic regression on falling costs, and of equal ones the dearer a hair less: so all stand on one front, and the
    order of testing goes from the mildest to the boldest. O(entries²).

    Args:
        entries: at least one.
        slack: in the unit of the drops.

    References:
        Barlow, Bartholomew, Bremner, Brunk: Statistical inference under order restrictions, Wiley, 1972 (pool adjacent
        violators).
    """
    kept = [
        each
        for each in entries
        if not any(other.cost <= each.cost and other.drop < each.drop - slack for other in entries)
    ]
    kept.sort(key=lambda entry: (-entry.cost, entry.drop, entry.key))
    pools: list[list[float]] = []
    for entry in kept:
        pools.append([entry.drop])
        while len(pools) > 1 and float(np.mean(pools[-2])) >= float(np.mean(pools[-1])):
            last = pools.pop()
            pools[-1] += last
    fitted = [float(np.mean(pool)) for pool in pools for _ in pool]
    return tuple(
        replace(each, drop=drop + _HAIR * rank) for rank, (each, drop) in enumerate(zip(kept, fitted, strict=True))
    )


def fixed_sequence(
    order: Sequence[str], test: Callable[[str], Proof], quality: Callable[[str], Proof] | None = None
) -> Certified:
    """Test in order and stop at the first that is not proved.

    Each test may err with the full 1 − confidence, and so does the whole: a false proof needs the first candidate in
    order whose hypothesis is true to be rejected. With a quality goal too, a candidate is proved only if both are
    (intersection-union: each at the full level).

    Args:
        order: keys.
        test: the proof of a candidate's drop; called for no candidate behind the first not proved.
        quality: the proof of its quality, where one was asked for.

    References:
        Angelopoulos et al., Learn then Test, 2021.
        Berger: Multiparameter hypothesis testing and acceptance sampling, Technometrics, 1982 (intersection-union).
    """
    proofs: dict[str, Proof] = {}
    qualities: dict[str, Proof] = {}
    rejected: list[str] = []
    for key in order:
        proofs[key] = test(key)
        if quality is not None:
            qualities[key] = quality(key)
        if not (proofs[key].rejected and (quality is None or qualities[key].rejected)):
            return Certified(tuple(order), proofs, tuple(rejected), key, qualities)
        rejected.append(key)
    return Certified(tuple(order), proofs, tuple(rejected), None, qualities)
