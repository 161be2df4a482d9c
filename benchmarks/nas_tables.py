"""How many evaluations find the front of tables of architectures that others measured.

Each architecture of NAS-Bench-Macro (Su et al., CVPR 2021; CIFAR-10) and of NAS-Bench-Graph (Qin et al., NeurIPS 2022;
four graphs) was trained by its authors, so an evaluation is a look-up. Counted are the architectures looked up until
those looked up hold 95 % of the hypervolume of the whole table.

Objectives: error, and the logarithm of the cost (FLOPs; latency). A search sees the error of one run (macro:
`test_acc_0`; graph: `valid_perf`). What it has looked up is scored by another (`mean_acc` of three runs; `test_perf`),
and so is the table. The reference point of the score is the worst value of each objective on the table's own front,
and a tenth of the front's range more (Ishibuchi et al., GECCO 2017); no search is told it.

The proposer is `steelyard.strategies.promising.most_promising` without low-fidelity estimates, once with the costs
predicted from what was evaluated (the headline: NSGA-II does not know them beforehand either) and once with the costs
of all architectures known. Its reference point is made from what it has seen. NSGA-II is Optuna's sampler as the
strategy `nsga2` uses it: repeats, and architectures that the table lacks, are asked for again and count nothing, and
after 12 such asks a random one is taken. Both its population in that strategy and Optuna's default are run.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import polars as pl
from environment import command_line, write_result
from numpy.typing import NDArray

from steelyard.strategies.gain import undominated
from steelyard.strategies.promising import most_promising
from steelyard.strategies.sampled import POPULATION, TRIES

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
GRAPHS = ("cora", "citeseer", "photo", "arxiv")
TABLES = ("macro", *GRAPHS)
SHARE = 0.95
CAP = 1_500
"""Evaluations after which a run of NSGA-II ends; it counts as this many, which favours NSGA-II."""
CAP_PROPOSER = 700
"""Evaluations after which a run of the proposer ends; it counts as `CAP`, as if it never got there."""
DEFAULT_POPULATION = 50
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """`levels` (n, knobs): the choice of each knob; `seen` and `scored` (n, 2): error and log cost."""

    name: str
    levels: NDArray[np.int64]
    seen: Array
    scored: Array

    @property
    def features(self) -> Array:
        """A column for each choice of each knob."""
        return np.concatenate(
            [(self.levels[:, [knob]] == np.arange(top + 1)) for knob, top in enumerate(self.levels.max(axis=0))], axis=1
        ).astype(np.float64)


def read(name: str, shared: Path) -> Table:
    if name == "macro":
        table = pl.read_parquet(shared / "nas_bench_macro_cifar10.parquet")
        knobs, seen, scored, cost = [f"op{i}" for i in range(8)], "test_acc_0", "mean_acc", "flops"
        unit = 100.0
    else:
        table = pl.read_parquet(shared / "nas_bench_graph_A.parquet").filter(pl.col("dataset") == name)
        knobs, seen, scored, cost = ["links", "op0", "op1", "op2", "op3"], "valid_perf", "test_perf", "latency_s"
        unit = 1.0
    levels = [np.unique(table[knob].cast(pl.String).to_numpy(), return_inverse=True)[1] for knob in knobs]
    log_cost = np.log(table[cost].cast(pl.Float64).to_numpy())
    errors = [1 - table[column].cast(pl.Float64).to_numpy() / unit for column in (seen, scored)]
    return Table(name, np.column_stack(levels), *(np.column_stack([error, log_cost]) for error in errors))


class Volume:
    """The hypervolume of two objectives, a point after another."""

    def __init__(self, reference: Array) -> None:
        self.reference = (float(reference[0]), float(reference[1]))
        self.front: list[tuple[float, float]] = []
        self.value = 0.0

    def add(self, point: Array) -> float:
        """The hypervolume with this point too."""
        first, second = float(point[0]), float(point[1])
        inside = first < self.reference[0] and second < self.reference[1]
        if inside and not any(a <= first and b <= second for a, b in self.front):
            self.front = sorted(
                [each for each in self.front if each[0] < first or each[1] < second] + [(first, second)]
            )
            edges = [self.reference[1]] + [b for _, b in self.front]
            self.value = sum((self.reference[0] - a) * (edges[place] - b) for place, (a, b) in enumerate(self.front))
        return self.value


def goal(table: Table) -> tuple[Array, float]:
    """The reference point, and the hypervolume of the whole table."""
    front = table.scored[undominated(table.scored)]
    low, high = front.min(axis=0), front.max(axis=0)
    volume = Volume(high + 0.1 * (high - low))
    for point in front:
        volume.add(point)
    return high + 0.1 * (high - low), volume.value


def evaluations(table: Table, rows: Iterator[int], cap: int) -> int | None:
    """How many of `rows` it takes; None if `cap` are not enough."""
    reference, whole = goal(table)
    volume = Volume(reference)
    for count, row in zip(range(1, cap + 1), rows, strict=False):
        if volume.add(table.scored[row]) >= SHARE * whole:
            return count
    return None


def random_rows(table: Table, seed: int) -> Iterator[int]:
    yield from np.random.default_rng(seed).permutation(len(table.levels)).tolist()


def proposed_rows(table: Table, seed: int, knows_costs: bool) -> Iterator[int]:
    features, costs = table.features, table.seen[:, 1:] if knows_costs else None
    known: list[int] = []
    while True:
        found = table.seen[known]
        row = most_promising(
            features,
            np.array(known, dtype=np.int64),
            found,
            costs=costs,
            estimates=None,
            reference=reference_of(found),
            seed=seed,
        )
        known.append(row)
        yield row


def reference_of(found: Array) -> Array:
    """The worst values seen, but no farther from the front that was seen than its own range.

    The worst corner of the front itself would be too near: what lies beyond the ends found so far would gain nothing.
    """
    if not len(found):
        return np.ones(2)
    front = found[undominated(found)]
    low, high = front.min(axis=0), front.max(axis=0)
    return np.minimum(found.max(axis=0), high + np.maximum(high - low, 1e-9))


def genetic_rows(table: Table, seed: int, population: int) -> Iterator[int]:
    """NSGA-II's proposals. Each generation has a study of its own that holds its parents alone: they decide it."""
    index = {tuple(levels): row for row, levels in enumerate(table.levels.tolist())}
    tops = table.levels.max(axis=0).tolist()
    names = [f"knob{place}" for place in range(len(tops))]
    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
    order, taken = random_rows(table, seed), set[int]()
    parents: list[int] = []
    while True:
        study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
        study.add_trials([trial_of(table, row, names, tops, 0) for row in parents])
        children: list[int] = []
        while len(children) < population:
            row = asked(study, index, names, tops, taken) if parents else None
            if row is None:
                row = next((each for each in order if each not in taken), None)
            if row is None:
                return
            taken.add(row)
            children.append(row)
            yield row
            study.add_trial(trial_of(table, row, names, tops, 1 if parents else 0))
        survivors = sampler.get_parent_population(study, 1) if parents else []
        parents = [index[tuple(each.params[name] for name in names)] for each in survivors] + children


def asked(
    study: optuna.Study, index: dict[tuple[int, ...], int], names: list[str], tops: list[int], taken: set[int]
) -> int | None:
    for _ in range(TRIES):
        trial = study.ask()
        levels = tuple(trial.suggest_int(name, 0, top) for name, top in zip(names, tops, strict=True))
        row = index.get(levels)
        if row is not None and row not in taken:
            return row
    return None


def trial_of(table: Table, row: int, names: list[str], tops: list[int], generation: int) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        values=table.seen[row].tolist(),
        params=dict(zip(names, table.levels[row].tolist(), strict=True)),
        distributions={
            name: optuna.distributions.IntDistribution(0, top) for name, top in zip(names, tops, strict=True)
        },
        system_attrs={"NSGAIISampler:generation": generation},
    )


METHODS: dict[str, tuple[Callable[[Table, int], Iterator[int]], int]] = {
    "proposer": (lambda table, seed: proposed_rows(table, seed, False), CAP_PROPOSER),
    "proposer_costs_known": (lambda table, seed: proposed_rows(table, seed, True), CAP_PROPOSER),
    "nsga2": (lambda table, seed: genetic_rows(table, seed, POPULATION), CAP),
    "nsga2_default_population": (lambda table, seed: genetic_rows(table, seed, DEFAULT_POPULATION), CAP),
    "random": (random_rows, 10**6),
}


def figures_of(table: Table, seeds: int, before: dict[str, Any]) -> dict[str, Any]:
    """Each method's counts, and the proposer's median as a share of the better NSGA-II's and of random's.

    `before` are figures of methods that are kept.
    """
    counts, found = {}, {}
    for name, (rows, cap) in METHODS.items():
        if name in before:
            found[name] = before[name]
            counts[name] = np.array(
                [CAP if each is None else each for each in before[name]["counts"]], dtype=np.float64
            )
            continue
        start = time.process_time()
        got = []
        for seed in range(seeds):
            got.append(evaluations(table, rows(table, seed), cap))
            print(table.name, name, seed, got[-1], f"{time.process_time() - start:.1f} s", file=sys.stderr, flush=True)
        spent = time.process_time() - start
        counts[name] = np.array([CAP if each is None else each for each in got], dtype=np.float64)
        low, high = np.quantile(np.median(draws(counts[name]), axis=1), [0.025, 0.975])
        found[name] = {
            "median": float(np.median(counts[name])),
            "interval_95": [float(low), float(high)],
            "counts": got,
            "capped": sum(each is None for each in got),
            "cpu_s": spent,
        }
    rival = min(("nsga2", "nsga2_default_population"), key=lambda name: found[name]["median"])
    reference, whole = goal(table)
    return {
        "architectures": len(table.levels),
        "reference_point": reference.tolist(),
        "hypervolume": whole,
        "methods": found,
        "better_nsga2": rival,
        "ratios": {
            name: {other: ratio(counts[name], counts[other]) for other in (rival, "random")}
            for name in ("proposer", "proposer_costs_known")
        },
    }


def draws(counts: Array, seed: int = 0) -> Array:
    """(10000, seeds) bootstrap samples of the runs."""
    picks = np.random.default_rng((seed, len(counts))).integers(len(counts), size=(10_000, len(counts)))
    return np.asarray(counts[picks])


def ratio(ours: Array, theirs: Array) -> dict[str, Any]:
    """The ratio of the medians with its 95 % bootstrap interval."""
    many = np.median(draws(ours, 1), axis=1) / np.median(draws(theirs, 2), axis=1)
    low, high = np.quantile(many, [0.025, 0.975])
    return {"ratio": float(np.median(ours) / np.median(theirs)), "interval_95": [float(low), float(high)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of the tables")
    parser.add_argument("--table", action="append", choices=TABLES, help="these alone; figures of others are kept")
    parser.add_argument("--method", action="append", choices=METHODS, help="these alone; figures of others are kept")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tables: dict[str, Any] = {}
    if (arguments.table or arguments.method) and arguments.json and arguments.json.exists():
        tables = json.loads(arguments.json.read_text(encoding="utf-8"))["figures"]["tables"]
    for name in arguments.table or TABLES:
        before = tables.get(name, {}).get("methods", {}) if arguments.method else {}
        before = {method: each for method, each in before.items() if method not in arguments.method}
        tables[name] = figures_of(read(name, arguments.shared), arguments.seeds, before)
        figures = {
            "share": SHARE,
            "seeds": arguments.seeds,
            "cap": CAP,
            "cap_proposer": CAP_PROPOSER,
            "tables": {each: tables[each] for each in TABLES if each in tables},
        }
        # After each table, so that a run that is stopped leaves what it found.
        write_result(arguments.json, command_line(), figures)


if __name__ == "__main__":
    main()
