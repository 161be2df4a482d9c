"""Replays strategies on recorded tables, and tells how long each takes to hold how much of the front.

A strategy proposes, and the table answers with the quality and cost of that candidate, trained from scratch; the
clock goes on by its recorded seconds of training and export. The reference comes first, as in every search.
Hypervolume is that of (validation quality from the reference's less 20 points up, latency as a share of the
reference's from 1.2 down), as a share of the whole table's.

`elastic` is not replayed: its runs are those of `search_live.py`, with all their training and measuring on the clock.
Its confirmed candidates are scored twice: by the recorded qualities of training from scratch, and by its own.
"""

import argparse
import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from environment import command_line, write_result
from numpy.typing import NDArray
from scipy.stats import spearmanr
from search_spaces import QUESTIONS, Question
from search_table import TABLES

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, Scale
from steelyard.core.explored import Explored
from steelyard.core.goal import Goal
from steelyard.core.protocols import Strategy
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.problem import StudyProblem
from steelyard.select.pareto import hypervolume
from steelyard.strategies.genetic import Genetic
from steelyard.tasks.metrics import METRICS

POINTS, SLOWER = 0.20, 1.2
"""The corner of the hypervolume: quality below the reference's, and latency as a share of the reference's."""
MARKS_S = (900.0, 3600.0)
"""When the genetic algorithm is looked at: 15 and 60 minutes."""
SEEDS, FEW = 20, 3
"""Runs of each strategy, and of the proposer, which takes minutes of its own."""
DRAWN = 24
"""Candidates over which the agreement of estimates and truth is told."""
GRID_S = 5.0
"""Step of the curves."""
STRATEGIES: Mapping[str, Strategy] = {
    "ga": Genetic(stagnation=100),
    "ga 50 × 100": Genetic(population=50, generations=100, stagnation=100),
    "nsga2": registry.get("strategy", "nsga2"),
    "random": registry.get("strategy", "random"),
    "elastic without shared weights": registry.get("strategy", "elastic"),
}
"""What is replayed. The genetic algorithm is not stopped by stagnation, so that its clock runs to the end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A recorded candidate."""

    candidate: Candidate
    valid: float
    seconds: float
    latency_s: float
    share: float
    size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The recorded candidates of a task by key, and the reference among them."""

    question: Question
    rows: Mapping[str, Row]
    reference: Row

    @classmethod
    def read(cls, question: Question) -> "Table":
        """Read the table of a task."""
        rows = {}
        kinds = {knob.name: type(knob.choices[0]) for knob in question.knobs}
        with (TABLES / f"{question.name}.csv").open(encoding="utf-8", newline="") as file:
            for plain in csv.DictReader(file):
                scale = Scale(tuple((name, kind(plain[name])) for name, kind in kinds.items()))
                candidate = Candidate(question.family, scale)
                seconds = float(plain["train_s"]) + float(plain["export_s"])
                costs = (float(plain["latency_p50_s"]), float(plain["latency_share"]), int(plain["size_bytes"]))
                rows[candidate.key] = Row(candidate, float(plain["valid"]), seconds, *costs)
        return cls(question, rows, rows[question.space.references()[0].key])

    def volume(self, found: Sequence[tuple[float, float]]) -> float:
        """Hypervolume of (quality, latency share) pairs, as a share of the whole table's."""
        return self._volume(found) / self._volume([(row.valid, row.share) for row in self.rows.values()])

    def _volume(self, found: Sequence[tuple[float, float]]) -> float:
        costs = np.array([(-quality, share) for quality, share in found]).reshape(-1, 2)
        return float(hypervolume(costs, np.array([POINTS - self.reference.valid, SLOWER])))


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    """Hypervolume over time: it holds `volumes[i]` from `times_s[i]` on."""

    times_s: tuple[float, ...]
    volumes: tuple[float, ...]

    def at(self, time_s: float) -> float:
        """What is held at a time."""
        held = [volume for when, volume in zip(self.times_s, self.volumes, strict=True) if when <= time_s]
        return held[-1] if held else 0.0

    def until(self, volume: float) -> float | None:
        """When so much is held; None where it never is."""
        return next((when for when, held in zip(self.times_s, self.volumes, strict=True) if held >= volume), None)


def replay(table: Table, strategy: Strategy, seed: int) -> Curve:
    """One run of a strategy on a table, to its end."""
    problem = StudyProblem(Goal(max_drop=0.01), METRICS["accuracy"], seed)
    space, finished = table.question.space, []
    clock_s, times, volumes, found = 0.0, [], [], []
    candidate: Candidate | None = table.reference.candidate
    while candidate is not None:
        row = table.rows[candidate.key]
        clock_s += row.seconds
        metrics = {
            "accuracy": Quantity(row.valid, "1"),
            "latency_p50_s": Quantity(row.latency_s, "s"),
            "size_bytes": Quantity.exact(row.size_bytes, "B"),
            "train_s": Quantity.exact(row.seconds, "s"),
        }
        finished.append(Trial(len(finished), candidate, Measurement(metrics, ""), {"train": row.seconds}))
        found.append((row.valid, row.share))
        times.append(clock_s)
        volumes.append(table.volume(found))
        candidate = strategy.propose(space, finished, [], problem)
    return Curve(tuple(times), tuple(volumes))


def live(table: Table, path: Path) -> dict[str, Curve]:
    """The curves of a live run: what it had confirmed when, scored by recorded and by its own qualities."""
    confirmed = json.loads(path.read_text(encoding="utf-8"))["confirmed"]
    curves = {}
    for name in ("recorded", "own"):
        found, times, volumes = [], [], []
        for each in confirmed:
            row = table.rows[Candidate.from_json(each["candidate"]).key]
            found.append((row.valid if name == "recorded" else each["quality"], row.share))
            times.append(each["at_s"])
            volumes.append(table.volume(found))
        curves[name] = Curve(tuple(times), tuple(volumes))
    return curves


def agreement(table: Table, path: Path) -> dict[str, float]:
    """Spearman's rank correlation of explored and recorded quality: over 24 candidates drawn evenly, and over all.

    And that of the quick looks at latency with the table's, with their ratio's 5 % and 95 % quantiles about its median.
    """
    explored = [Explored.from_json(each) for each in json.loads(path.read_text("utf-8"))["explored"]["explored"]]
    rows = [table.rows[each.candidate.key] for each in explored]
    pairs = np.array([(each.quality, row.valid) for each, row in zip(explored, rows, strict=True)])
    drawn = np.random.default_rng(0).choice(len(pairs), min(DRAWN, len(pairs)), replace=False)
    looks = np.array([(each.latency_s, row.share) for each, row in zip(explored, rows, strict=True)])
    ratios = looks[:, 0] / looks[:, 1]
    low, high = np.quantile(ratios / np.median(ratios), (0.05, 0.95))
    return {
        "explored": len(pairs),
        "rank_correlation_24": correlation(pairs[drawn]),
        "rank_correlation": correlation(pairs),
        "rank_correlation_latency": correlation(looks),
        "latency_ratio_low": round(float(low), 3),
        "latency_ratio_high": round(float(high), 3),
    }


def correlation(pairs: NDArray[np.float64]) -> float:
    """Spearman's, of pairs (n, 2)."""
    return round(float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic), 3)


def replayed(table: Table) -> dict[str, Any]:
    """What the strategies hold at the marks, and their curves."""
    curves = {
        each: [replay(table, strategy, seed) for seed in range(FEW if each.startswith("elastic") else SEEDS)]
        for each, strategy in STRATEGIES.items()
    }
    return {
        "candidates": len(table.rows),
        "table_s": round(sum(row.seconds for row in table.rows.values()), 1),
        "strategies": {
            name: {f"at_{mark:.0f}_s": spread([curve.at(mark) for curve in found]) for mark in MARKS_S}
            for name, found in curves.items()
        },
        "curves": {name: curve_of(found, 3 * GRID_S) for name, found in curves.items()},
    }


def raced(ga: Mapping[str, Mapping[str, float]], lives: Sequence[Mapping[str, Curve]]) -> dict[str, Any]:
    """When live runs hold as much as the genetic algorithm does at the marks, by both scores."""
    found: dict[str, Any] = {}
    for name in ("recorded", "own"):
        for mark in MARKS_S:
            goal = ga[f"at_{mark:.0f}_s"]["median"]
            times = [run[name].until(goal) for run in lives]
            found[f"{name}, ga at {mark:.0f} s"] = {
                "goal": goal,
                "times_s": times,
                "shares": [None if each is None else round(each / mark, 4) for each in times],
                "held_at_a_fifth_of_15_min": [round(run[name].at(180.0), 4) for run in lives],
                "held_at_a_fifteenth_of_60_min": [round(run[name].at(240.0), 4) for run in lives],
                "held_in_the_end": [round(run[name].volumes[-1], 4) for run in lives],
            }
    return found


def curve_of(found: Sequence[Curve], step_s: float) -> list[list[float]]:
    """Least, median and largest over the runs, on a grid of times."""
    grid = np.arange(0.0, max(MARKS_S) + GRID_S, step_s)
    return [[float(at), *quartiles([curve.at(at) for curve in found])] for at in grid] if found else []


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, and the 95 % interval of it by order statistics of 20 runs (the 6th and the 15th), and the ends."""
    ranked = sorted(values)
    low, high = (ranked[5], ranked[14]) if len(ranked) == SEEDS else (ranked[0], ranked[-1])
    return {"median": round(float(np.median(ranked)), 4), "low": round(low, 4), "high": round(high, 4)}


def quartiles(values: Sequence[float]) -> list[float]:
    """Least, median and largest."""
    return [round(float(each), 4) for each in (min(values), np.median(values), max(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(QUESTIONS), action="append")
    parser.add_argument("--live", type=Path, default=TABLES / "live")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--replayed", type=Path, help="an earlier result: what it holds of replays is taken over")
    asked = parser.parse_args()
    before = {} if asked.replayed is None else json.loads(asked.replayed.read_text("utf-8"))["figures"]
    figures = {}
    for name in asked.task or QUESTIONS:
        table = Table.read(QUESTIONS[name])
        lives = [live(table, path) for path in sorted(asked.live.glob(f"{name}-*.json"))]
        figures[name] = before[name] if before else replayed(table)
        figures[name] |= {"elastic": raced(figures[name]["strategies"]["ga"], lives)}
        figures[name]["curves"] |= {
            f"elastic, {score}": curve_of([run[score] for run in lives], GRID_S) for score in ("recorded", "own")
        }
        figures[name]["agreement"] = [agreement(table, path) for path in sorted(asked.live.glob(f"{name}-*.json"))]
        print(name, {key: value for key, value in figures[name].items() if key != "curves"}, flush=True)
    write_result(asked.json, command_line(), figures)


if __name__ == "__main__":
    main()
