"""`compress` of structure: the strategy `elastic` beside `shrink`, in the same seconds of the processor.

Both strategies propose, and the engine's own workshop makes what they propose: explores, prunes, recovers, quantizes,
exports, checks, judges. The clock is the processor's (`time.process_time` in the place of `time.perf_counter`), so that
what else the machine does takes no time from either; one process, one thread. Latency is the median of a quick look,
three of them, in the same process: no figure of a product. A candidate counts as chosen where it has used at most
`SAFE` of the permitted drop on validation rows, as a proof needs room; the drop on test rows stands beside it. Of
`compress` as a user runs it, `--command` runs both by the wall clock instead, on a machine that does nothing else.

The models and data are those of benchmarks/compression_train.py, which has to run first, and a small one for digits.
"""

import time

time.perf_counter = time.process_time  # before anything that measures itself is imported

import argparse  # noqa: E402
import json  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from compression_data import add_folders, data_file  # noqa: E402
from compression_models import MODELS  # noqa: E402
from compression_rivals import EPSILONS  # noqa: E402
from compression_train import reference_files  # noqa: E402
from environment import command_line, write_result  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from steelyard.core.candidate import Candidate, FamilySpace  # noqa: E402
from steelyard.core.errors import WorkerError  # noqa: E402
from steelyard.core.explored import Explored  # noqa: E402
from steelyard.core.goal import Budget, Goal  # noqa: E402
from steelyard.core.quantity import Quantity  # noqa: E402
from steelyard.core.task import feed_of  # noqa: E402
from steelyard.core.trial import Failure, Measurement, Trial  # noqa: E402
from steelyard.engine.compressing import CompressRequest, resolve_compress  # noqa: E402
from steelyard.engine.elastic import quick_latency  # noqa: E402
from steelyard.engine.evaluating import outputs_of  # noqa: E402
from steelyard.engine.exploring import RECOVERIES, SHARE, agreement  # noqa: E402
from steelyard.engine.messages import Assignment, Exploration, WorkerSetup  # noqa: E402
from steelyard.engine.plan import Plan  # noqa: E402
from steelyard.engine.problem import StudyProblem  # noqa: E402
from steelyard.engine.search import LESSON_SHARE  # noqa: E402
from steelyard.engine.worker import open_workshop  # noqa: E402
from steelyard.runtimes.onnxruntime.run import RUNTIME  # noqa: E402
from steelyard.strategies.shrink import SAFE  # noqa: E402
from steelyard.tasks.wire import save  # noqa: E402
from steelyard.training.modules import use_one_thread  # noqa: E402

STRATEGIES = ("shrink", "elastic")
LOOKS = 3


def digits_cnn() -> torch.nn.Module:
    """Three convolutions and two dense layers for pictures of 1×16×16: 73k parameters."""
    torch.manual_seed(0)
    n = torch.nn
    layers: list[torch.nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 64)):
        layers += [
            n.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            n.BatchNorm2d(outputs),
            n.ReLU(),
            n.MaxPool2d(2),
        ]
    return n.Sequential(*layers, n.Flatten(), n.Linear(64 * 4, 64), n.ReLU(), n.Linear(64, 10))


def digits(folder: Path) -> CompressRequest:
    """The question on digits: 900 rows to learn from, 300 to judge by, 597 to prove on."""
    found = load_digits()
    # Twice the size: of 8×8 pixels nearly all of a model's time is the runtime's own.
    x = np.kron(found.images[:, None], np.ones((2, 2))).astype(np.float32) / 16
    y = found.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    module = digits_cnn()
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    for _ in range(12):
        for part in np.array_split(np.random.default_rng(1).permutation(900), 15):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(torch.tensor(x[part])), torch.tensor(y[part])).backward()
            optimizer.step()
    splits = {"train": slice(0, 900), "valid": slice(900, 1200), "test": slice(1200, None)}
    data = {f"{name}_{split}": rows[at] for split, at in splits.items() for name, rows in (("x", x), ("y", y))}
    return CompressRequest(model=module.eval(), data=data, goal=Goal(max_drop=0.03), out=folder)


def question(task: str, folder: Path, shared: Path, out: Path) -> CompressRequest:
    """What `compress` is asked."""
    if task == "digits":
        return digits(out)
    return CompressRequest(
        model=f"{Path(__file__).with_name('compression_models.py')}:{MODELS[task].__name__}",
        data=str(data_file(task, folder, shared)),
        weights=reference_files(task, folder)[0],
        goal=Goal(max_drop=EPSILONS[task]),
        out=out,
    )


class Race:
    """One strategy within so many seconds of the processor."""

    def __init__(self, plan: Plan, budget_s: float, home: Path) -> None:
        self.plan, self.budget_s, self.start = plan, budget_s, time.process_time()
        save(plan.task, home / "task", with_test=False)
        setup = WorkerSetup(
            str(home / "task"), str(home / "fits"), plan.registry, {}, plan.seed, plan.metric_addresses,
            plan.monitor, plan.goal_metric, given=plan.given.to_json(),
        )  # fmt: skip
        self.workshop = open_workshop(setup)
        self.problem = StudyProblem(plan.goal, plan.metric, plan.seed)
        self.finished: list[Trial] = []
        self.paths: dict[str, str] = {}
        self.explored: list[Explored] = []
        self.exploring: dict[str, Any] = {}

    @property
    def left_s(self) -> float:
        """Seconds of the processor that are left."""
        return self.budget_s - (time.process_time() - self.start)

    def run(self) -> dict[str, Any]:
        """Explore where that is asked for, then make what is proposed."""
        lesson_s = LESSON_SHARE * self.budget_s
        if self.plan.sharing == "always":
            self.explore()
            lesson_s = self.left_s / RECOVERIES
        while self.left_s > 0:
            candidate = self.plan.strategy.propose(self.plan.space, self.finished, [], self.problem)
            if candidate is None:
                break
            self.finished.append(Trial(len(self.finished), candidate, self.made(candidate, lesson_s)))
        return self.told()

    def explore(self) -> None:
        """Share weights."""
        began, plan = time.process_time(), self.plan
        asked = Exploration(
            FamilySpace(plan.space.families[0].family), "onnxruntime", SHARE * self.left_s, self.left_s, most=99,
            max_drop=plan.goal.max_drop, minimize=plan.goal.minimize,
            relative=plan.goal.is_relative(metric_in_unit_range=plan.metric.in_unit_range),
        )  # fmt: skip
        made = self.workshop.explore(asked, lambda _: None)
        self.explored = [Explored.from_json(each) for each in made.notes["explored"]]
        self.problem = replace(self.problem, known={each.candidate.key: each for each in self.explored})
        self.exploring = {
            "explored": len(self.explored),
            "seconds": round(time.process_time() - began, 1),
            "trained": made.notes["trained"],
            "shares": made.notes["shares"],
            "files": made.notes["files"],
        }

    def made(self, candidate: Candidate, lesson_s: float) -> Measurement | Failure:
        """A candidate, made and looked at."""
        try:
            made = self.workshop.make(Assignment(candidate, lesson_s), lambda _: None)
        except WorkerError as error:
            return Failure(error.stage, error.message)
        session = RUNTIME.load(Path(made.path), threads=1)
        row = feed_of(self.plan.task.valid.x[:1])
        latency_s = float(np.median([quick_latency(session, row) for _ in range(LOOKS)]))
        self.paths[candidate.key] = made.path
        metrics = {name: Quantity.from_json(plain) for name, plain in made.metrics.items()}
        print(f"{self.left_s:6.1f} s left: {candidate}: {latency_s * 1e6:.1f} µs", file=sys.stderr, flush=True)
        return Measurement({**metrics, "latency_p50_s": Quantity(latency_s, "s")}, made.path)

    def told(self) -> dict[str, Any]:
        """The cheapest that is safe, and what exploring was worth."""
        done = [each for each in self.finished if isinstance(each.outcome, Measurement)]
        plain = next(each for each in done if each.candidate.is_plain)
        safe = [each for each in done if (self.problem.spent(each.candidate, self.finished) or 0) <= SAFE]
        chosen = min(safe, key=lambda each: each.outcome.metrics["latency_p50_s"].value)
        figures = {"reference": self._figures(plain), "chosen": self._figures(chosen)}
        confirmed = {each.key: each.outcome.metrics[self.plan.goal_metric].value for each in done}
        pairs = [
            (each.quality, confirmed[each.candidate.key]) for each in self.explored if each.candidate.key in confirmed
        ]
        correlation, error = agreement(pairs)
        return {
            **figures,
            "speed_up": figures["reference"]["latency_s"] / figures["chosen"]["latency_s"],
            "steps": str(chosen.candidate),
            "made": len(done),
            "exploring": {**self.exploring, "pairs": pairs, "rank_correlation": correlation, "error": error},
        }

    def _figures(self, trial: Trial) -> dict[str, float]:
        test = self.plan.task.test
        outputs = outputs_of(RUNTIME.load(Path(self.paths[trial.key])).run, test)
        metrics = trial.outcome.metrics
        return {
            "latency_s": metrics["latency_p50_s"].value,
            "valid": metrics[self.plan.goal_metric].value,
            "test": float(self.plan.metric(outputs, test.y)),
            "parameters": metrics["parameters"].value,
        }


def by_command(asked: CompressRequest, strategy: str, budget: str, out: Path) -> dict[str, Any]:
    """The answer of the command, by the wall clock."""
    command = [
        *(sys.executable, "-m", "steelyard.cli.main", "compress", str(asked.model), "--weights", str(asked.weights)),
        *("--data", str(asked.data), "--max-drop", str(asked.goal.max_drop), "--budget", budget),
        *("--strategy", strategy, "--out", str(out), "--json"),
    ]
    answer = json.loads(subprocess.run(command, check=False, capture_output=True, text=True).stdout)
    costs = [answer[point]["metrics"]["latency_p50_s"]["value"] for point in ("reference", "chosen")]
    kept = {name: answer.get(name) for name in ("status", "drop", "trials", "exploring", "wall_s")}
    return {"speed_up": costs[0] / costs[1], "steps": answer["chosen"]["steps"], **kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=["digits", *MODELS], action="append")
    parser.add_argument("--budget-s", type=float, default=120.0, help="seconds of the processor")
    parser.add_argument("--command", metavar="BUDGET", help="run the command instead, with this budget, such as 4m")
    parser.add_argument("--strategy", choices=STRATEGIES, action="append")
    parser.add_argument("--json", type=Path)
    add_folders(parser)
    asked = parser.parse_args()
    use_one_thread()
    found: dict[str, Any] = {}
    for task in asked.task or ["digits", "fsdd", "mnist"]:
        for strategy in asked.strategy or STRATEGIES:
            with tempfile.TemporaryDirectory() as scratch:
                home = Path(scratch)
                request = question(task, asked.folder, asked.shared, home / "out")
                if asked.command:
                    told = by_command(request, strategy, asked.command, home / "out")
                else:
                    budget = Budget(wall_s=asked.budget_s)
                    plan = resolve_compress(replace(request, strategy=strategy, budget=budget))
                    told = Race(plan, asked.budget_s, home).run()
                found.setdefault(task, {"max_drop": request.goal.max_drop})
                found[task][strategy] = told
                print(task, strategy, told["speed_up"], file=sys.stderr, flush=True)
    write_result(asked.json, command_line(), found)


if __name__ == "__main__":
    main()
