"""How often does a certificate lie? Whole studies of known truth, simulated.

    python benchmarks/guarantee.py [--studies 2000] [--json FILE]

A study has a reference and eight candidates that win and lose rows against it, more or less together. Candidates are
ordered by a validation split of the test split's size, tested in that order with the shipped test, and the first that
is not proved ends it. A study is violated if any candidate whose true drop is epsilon or more was proved. The share of
violated studies must not exceed 1 − confidence. Two kinds of truth: "edge", every candidate drops by exactly epsilon
(the hardest case); "mixed", from no drop to twice epsilon.
"""

import argparse
import itertools
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import special

from steelyard.select.order import Entry, fixed_sequence, testing_order
from steelyard.select.proof import Proof
from steelyard.statistics import binomial, trinomial

CONFIDENCE = 0.95
ROWS_AND_EPSILON = ((300, 0.02), (719, 0.01), (1821, 0.01), (5000, 0.01))
DISCORDANCES = ("losses only", 0.05, 0.2)
"""Shares of rows that only one of the two gets right; the first is no gain at all, so as rare as a drop can be."""
CORRELATIONS = (0.0, 0.5, 1.0)
"""Chance that a row has one fate, the same draw for every candidate."""
MIXED = (0.0, 0.5, 0.9, 1.0, 1.0, 1.1, 1.5, 2.0)
"""True drops in units of epsilon."""


@dataclass(frozen=True)
class Cell:
    """One setting and what came of its studies."""

    truth: str
    n: int
    epsilon: float
    discordance: float
    correlation: float
    studies: int
    certified: int
    violated: int
    chosen_violated: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Truth:
    """What is true in one setting: rows, epsilon, the chance of a loss and of a gain on a row for each candidate."""

    n: int
    epsilon: float
    lost: NDArray[np.float64]
    gained: NDArray[np.float64]
    correlation: float

    def counts(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Losses and gains of each candidate on n new rows: some share one fate, the others have one each."""
        shared = int(rng.binomial(self.n, self.correlation))
        draws = rng.random(shared)
        both = (draws < self.lost[:, None]).sum(axis=1), (draws > 1 - self.gained[:, None]).sum(axis=1)
        shares = np.column_stack([self.lost, self.gained, 1 - self.lost - self.gained])
        alone = rng.multinomial(self.n - shared, shares)
        return both[0] + alone[:, 0], both[1] + alone[:, 1]


@cache
def largest_rejected(c: int, n: int, epsilon: float) -> int:
    """The most losses that are still proved harmless beside c gains; −1 for none. p grows with the losses."""
    rows = np.arange(n - c + 1)
    # The asymptotic test is near the exact one: start there and walk to where the exact one turns.
    b = int(np.searchsorted(trinomial.score(rows, c, n, epsilon), -special.ndtri(CONFIDENCE), "right")) - 1
    while b + 1 <= n - c and trinomial.p_value(b + 1, c, n, epsilon) <= 1 - CONFIDENCE:
        b += 1
    while b >= 0 and trinomial.p_value(b, c, n, epsilon) > 1 - CONFIDENCE:
        b -= 1
    return b


def proof(b: int, c: int, n: int, epsilon: float) -> Proof:
    """The shipped test's word on one candidate, looked up."""
    rejected = b <= largest_rejected(c, n, epsilon)
    return Proof((b - c) / n, None, 0.0 if rejected else 1.0, rejected, True, "trinomial", True, n, "")


def study(truth: Truth, rng: np.random.Generator) -> tuple[str, ...]:
    """One study: the candidates proved, in order of testing. Names are numbers, the last is the cheapest."""
    count, n = len(truth.lost), truth.n
    valid, test = truth.counts(rng), truth.counts(rng)
    entries = [Entry(str(i), float(valid[0][i] - valid[1][i]) / n, float(count - i)) for i in range(count)]
    order = testing_order(entries, epsilon=truth.epsilon)
    return fixed_sequence(
        order, lambda key: proof(int(test[0][int(key)]), int(test[1][int(key)]), n, truth.epsilon)
    ).rejected


def cells(studies: int, seed: int, sizes: tuple[tuple[int, float], ...] = ROWS_AND_EPSILON) -> Iterator[Cell]:
    """Every setting in turn."""
    for number, (kind, (n, epsilon), share, correlation) in enumerate(
        itertools.product(("edge", "mixed"), sizes, DISCORDANCES, CORRELATIONS)
    ):
        rng = np.random.default_rng([seed, number])
        drops = epsilon * (np.ones(len(MIXED)) if kind == "edge" else np.array(MIXED))
        discordance = 0.0 if isinstance(share, str) else share
        shares = np.maximum(discordance, drops)
        truth = Truth(n, epsilon, (shares + drops) / 2, (shares - drops) / 2, correlation)
        guilty = {str(i) for i, drop in enumerate(drops) if drop >= epsilon}
        proved = [study(truth, rng) for _ in range(studies)]
        violated = sum(bool(guilty & set(names)) for names in proved)
        chosen = sum(max(names, default="") in guilty for names in proved)
        low, high = binomial.two_sided(violated, studies)
        certified = sum(bool(names) for names in proved)
        rate = violated / studies
        yield Cell(kind, n, epsilon, discordance, correlation, studies, certified, violated, chosen, rate, low, high)


def power(studies: int, seed: int) -> float:
    """The share of studies in which one good candidate (drop .002, epsilon .01, 10,000 rows) is proved so."""
    n, discordance, drop, epsilon = 10_000, 0.02, 0.002, 0.01
    lost, gained = (discordance + drop) / 2, (discordance - drop) / 2
    tables = np.random.default_rng(seed).multinomial(n, [lost, gained, 1 - lost - gained], studies)
    return float(np.mean([b <= largest_rejected(int(c), n, epsilon) for b, c, _ in tables]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="studies a setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    start = time.monotonic()
    print("truth     n   eps  discord.  corr.  certified  violated   95 % interval   chosen violated")
    done = []
    for cell in cells(arguments.studies, arguments.seed):
        done.append(cell)
        print(
            f"{cell.truth:5} {cell.n:5d}  {cell.epsilon:.2f}  {cell.discordance or cell.epsilon:8.2f}  "
            f"{cell.correlation:5.1f}  {cell.certified / cell.studies:9.3f}  {cell.rate:8.4f}  "
            f"[{cell.low:.4f}, {cell.high:.4f}]  {cell.chosen_violated / cell.studies:8.4f}",
            flush=True,
        )
    violated, studies = sum(cell.violated for cell in done), sum(cell.studies for cell in done)
    low, high = binomial.two_sided(violated, studies)
    worst = max(done, key=lambda cell: cell.rate)
    above = sum(cell.low > 1 - CONFIDENCE for cell in done)
    proved = power(arguments.studies, arguments.seed)
    wall_s = time.monotonic() - start
    print(f"overall: {violated} of {studies} studies violated, {violated / studies:.4f} [{low:.4f}, {high:.4f}]")
    print(f"worst setting: {worst.rate:.4f} [{worst.low:.4f}, {worst.high:.4f}]; allowed: {1 - CONFIDENCE:.4f}")
    print(f"settings whose interval lies above the allowed rate: {above} of {len(done)}")
    print(f"power at n 10,000, discordance .02, drop .002, epsilon .01: {proved:.4f}")
    print(f"{wall_s:.0f} s")
    if arguments.json:
        figures = {
            "command": f"python benchmarks/guarantee.py --studies {arguments.studies} --seed {arguments.seed}",
            "environment": {
                "machine": platform.machine(),
                "python": platform.python_version(),
                "numpy": np.__version__,
                "scipy": scipy.__version__,
            },
            "confidence": CONFIDENCE,
            "cells": [asdict(cell) for cell in done],
            "overall": {"violated": violated, "studies": studies, "rate": violated / studies, "low": low, "high": high},
            "settings_above": above,
            "power": proved,
            "wall_s": wall_s,
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
