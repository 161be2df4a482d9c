"""What stopping hopeless trainings saves, and what it changes: replayed on recorded learning curves.

`record` searches two spaces by `grid`, every training to its end, and keeps curves, costs and seconds as tables.
Without it, strategies are replayed on the tables that are kept, each seed twice: with and without early stopping. A run
proposes as many candidates either way; a training that is stopped costs its share of epochs. Told are the seconds of
training, the hypervolume (validation quality from the reference's less 20 points or 20 %, latency to 1.2 of the
reference's), whether the choice on validation is the same, and how many stopped candidates were on the front then.
"""

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from compression_data import SHARED
from environment import command_line, write_result

import steelyard
from steelyard import Budget
from steelyard.builtin import registry
from steelyard.core.candidate import Candidate
from steelyard.core.trial import Failure, Measurement, Stopped, Trial
from steelyard.engine.halving import Halving
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem
from steelyard.select.pareto import hypervolume, non_dominated
from steelyard.select.quality import loss
from steelyard.store.snapshot import read_study

TABLES = Path(__file__).parent / "search"

SHARES = (0.5, 1.0)
"""The parts of the space that runs try."""
FAR, SLOWER = 20.0, 1.2
"""The corner of the hypervolume: permitted drops below the reference, and latency as a share of the reference's."""
STRATEGIES = ("random", "nsga2")


def questions(shared: Path) -> dict[str, dict[str, Any]]:
    """What `steelyard.find` is asked, by the name of the table."""
    return {
        "digits": {"task": "digits", "model": "cnn", "knobs": {"width": (4, 8, 16)}},
        "wine": {
            "task": "tabular-regression",
            "data": str(shared / "tab_wine_quality.parquet"),
            "target": "quality",
            "model": "mlp",
            "knobs": {"width": (2, 4, 8, 16, 32, 64, 128)},
        },
    }


def table_path(name: str) -> Path:
    """Where the curves of a space are kept."""
    return TABLES / f"curves-{name}.json.gz"


def record(name: str, question: Mapping[str, Any], folder: Path) -> None:
    """Train and measure a whole space, and keep what a replay needs."""
    out = folder / name
    steelyard.find(**question, strategy="grid", halving=False, budget=Budget(wall_s=3600.0), out=out)
    trials = [kept(trial) for trial in read_study(out, field="out").trials]
    table_path(name).write_bytes(gzip.compress(json.dumps([trial.to_json() for trial in trials]).encode(), mtime=0))


def kept(trial: Trial) -> Trial:
    """A trial with what a replay needs: costs, quality and curve."""
    if not isinstance(trial.outcome, Measurement):
        return trial
    notes = trial.outcome.notes
    curve = {each: notes.get("curve", {}).get(each, []) for each in ("epoch", "valid_quality")}
    names = ("accuracy", "rmse", "latency_p50_s", "latency_p95_s", "size_bytes", "train_s")
    metrics = {each: trial.outcome.metrics[each] for each in names if each in trial.outcome.metrics}
    told = {"curve": curve if curve["epoch"] else {}, "stopped": notes.get("stopped")}
    return replace(trial, outcome=Measurement(metrics, "", told))


@dataclass(slots=True)
class Replay:
    """One run of a strategy on a table."""

    plan: Plan
    table: Mapping[str, Trial]
    halving: Halving | None
    problem: StudyProblem
    most: int

    def run(self) -> list[Trial]:
        """The trials of a run, in order."""
        finished: list[Trial] = []
        trained: set[Candidate] = set()
        queue = [each for each in self.plan.firsts if each.key in self.table]
        while len(finished) < self.most:
            known = {trial.key for trial in finished}
            candidate = next((each for each in queue if each.key not in known), None)
            candidate = candidate or self.plan.strategy.propose(self.plan.space, finished, [], self.problem)
            if candidate is None:
                break
            finished.append(self._tried(candidate, finished, trained))
        return finished

    def _tried(self, candidate: Candidate, finished: Sequence[Trial], trained: set[Candidate]) -> Trial:
        recorded = replace(self.table[candidate.key], number=len(finished))
        model = candidate.uncompressed
        if model in trained or not isinstance(recorded.outcome, Measurement):
            return replace(recorded, seconds={"train": 0.0})
        curve, train_s = recorded.outcome.notes["curve"], recorded.outcome.metrics["train_s"].value
        needs = () if self.halving is None else self.halving.needs(candidate, finished)
        if self.halving is not None:
            end = self.halving.known_end(candidate, needs, finished) or self._short(needs, curve)
            if end is not None:
                share = end.epoch / curve["epoch"][-1] if end.curve is curve else 0.0
                return Trial(len(finished), candidate, end, {"train": share * train_s})
        trained.add(model)
        return replace(recorded, seconds={"train": train_s})

    def _short(self, needs: Any, curve: Mapping[str, Sequence[float]]) -> Stopped | None:
        if not curve or self.halving is None:
            return None
        for need in needs:
            seen = [q for epoch, q in zip(curve["epoch"], curve["valid_quality"], strict=True) if epoch <= need.epoch]
            if curve["epoch"][-1] < need.epoch or not seen:
                return None
            best = min(seen, key=self._loss)
            if self._loss(best) > self._loss(need.quality):
                return self.halving.stopped(needs, {"epoch": need.epoch, "quality": best, "curve": curve})
        return None

    def _loss(self, quality: float) -> float:
        return loss(self.plan.metric, quality)


def front(trials: Sequence[Trial], problem: StudyProblem) -> set[str]:
    """Keys on the front of (loss, latency, size)."""
    scored = [(trial.key, problem.score(trial)) for trial in trials]
    known = [(key, score) for key, score in scored if score is not None]
    mask = non_dominated(np.array([score for _, score in known]))
    return {key for (key, _), is_on in zip(known, mask, strict=True) if is_on}


def choice(trials: Sequence[Trial], problem: StudyProblem) -> str | None:
    """The cheapest within the permitted drop on validation; small differences of latency are no tie here."""
    good = [trial for trial in trials if problem.is_good_enough(trial, trials)]
    return min(good, key=lambda trial: problem.score(trial)[1]).key if good else None  # type: ignore[index]


def volume(trials: Sequence[Trial], problem: StudyProblem, worst: float, latency_s: float) -> float:
    """Hypervolume of (loss, latency as a share of the reference's)."""
    points = [
        (
            loss(problem.metric, trial.outcome.metrics[problem.metric.name].value),
            trial.outcome.metrics["latency_p50_s"].value / latency_s,
        )
        for trial in trials
        if isinstance(trial.outcome, Measurement)
    ]
    return float(hypervolume(np.array(points), np.array([worst, SLOWER])))


def compared(plan: Plan, table: Mapping[str, Trial], seed: int, share: float) -> dict[str, Any]:
    """One seed of one strategy on a part of the space, with early stopping and without."""
    problem = StudyProblem(plan.goal, plan.metric, seed)
    most = round(share * plan.space.size)
    runs = {
        with_halving: Replay(plan, table, Halving.of(plan, problem) if with_halving else None, problem, most).run()
        for with_halving in (True, False)
    }
    whole = list(table.values())
    reference = table[plan.space.references()[0].key]
    worst = problem.below(FAR, whole)
    corner = (
        loss(plan.metric, float("nan") if worst is None else worst),
        reference.outcome.metrics["latency_p50_s"].value,
    )
    full = volume(whole, problem, *corner)
    stopped = [trial for trial in runs[True] if isinstance(trial.outcome, Stopped)]
    return {
        "train_s": [sum(trial.seconds["train"] for trial in runs[each]) for each in (True, False)],
        "volume": [volume(runs[each], problem, *corner) / full for each in (True, False)],
        "same_choice": choice(runs[True], problem) == choice(runs[False], problem),
        "stopped": len(stopped),
        "on_front": sum(trial.key in front([*runs[True], table[trial.key]], problem) for trial in stopped),
        "would_be_chosen": sum(choice([*runs[True], table[trial.key]], problem) == trial.key for trial in stopped),
        "epochs": [trial.outcome.epoch for trial in stopped if isinstance(trial.outcome, Stopped)],
        "why": [trial.outcome.why for trial in stopped if isinstance(trial.outcome, Stopped)],
    }


def figures_of(name: str, question: Mapping[str, Any], strategies: Sequence[str], seeds: int) -> dict[str, Any]:
    """Strategies on one table."""
    plain = json.loads(gzip.decompress(table_path(name).read_bytes()))
    table = {trial.key: trial for trial in map(Trial.from_json, plain)}
    table = {key: trial for key, trial in table.items() if not isinstance(trial.outcome, Failure)}
    found: dict[str, Any] = {"candidates": len(table)}
    for strategy in strategies:
        plan = replace(steelyard.resolve(**question), strategy=registry.get("strategy", strategy), halving=True)
        for share in SHARES:
            runs = [compared(replace(plan, seed=seed), table, seed, share) for seed in range(seeds)]
            found[f"{strategy}, {share:.0%} of the space"] = summed(runs)
    return found


def summed(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians with the ends of the seeds."""

    def spread(values: Sequence[float]) -> dict[str, float]:
        low, median, high = (round(float(each), 4) for each in (min(values), np.median(values), max(values)))
        return {"median": median, "low": low, "high": high}

    epochs = [epoch for run in runs for epoch in run["epochs"]]
    return {
        "train_s_without": spread([run["train_s"][1] for run in runs]),
        "saved_share": spread([1 - run["train_s"][0] / run["train_s"][1] for run in runs]),
        "volume_without": spread([run["volume"][1] for run in runs]),
        "volume_lost": spread([run["volume"][1] - run["volume"][0] for run in runs]),
        "stopped": spread([run["stopped"] for run in runs]),
        "stopped_on_front": sum(run["on_front"] for run in runs),
        "stopped_that_would_be_chosen": sum(run["would_be_chosen"] for run in runs),
        "other_choice": sum(not run["same_choice"] for run in runs),
        "epochs": {str(epoch): epochs.count(epoch) for epoch in sorted(set(epochs))},
        "why": {why: sum(run["why"].count(why) for run in runs) for why in ("front", "goal")},
        "seeds": len(runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=("record", "replay"), default="replay")
    parser.add_argument("--table", choices=list(questions(SHARED)), action="append")
    parser.add_argument("--strategy", choices=STRATEGIES, action="append")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "steelyard-benchmarks" / "halving")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    chosen = {name: each for name, each in questions(asked.shared).items() if name in (asked.table or (name,))}
    if asked.what == "record":
        for name, question in chosen.items():
            record(name, question, asked.folder)
        return
    chosen = {name: each for name, each in chosen.items() if table_path(name).is_file()}
    write_result(
        asked.json,
        command_line(),
        {name: figures_of(name, each, asked.strategy or STRATEGIES, asked.seeds) for name, each in chosen.items()},
    )


if __name__ == "__main__":
    main()
