"""Precision and scale searched together: how many forms a look sees, how right looks are, what is chosen for it.

Two parts. `looks` shares weights on the space of `digits` in this process, looks at forms of scales without training
them, then confirms the quantized forms of some scales: each scale trained to its end from its slice, each form made
of that, judged on the same rows. Told are counts, seconds and Spearman's rank correlation, with an interval from
resampled scales. `search` runs the same question with and without looks and mixed precision, each with the same
budget.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import command_line, write_result
from scipy.stats import spearmanr

import steelyard
from steelyard.api import prepare_rendering, rendered
from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace
from steelyard.core.errors import SteelyardError
from steelyard.core.explored import Explored
from steelyard.core.goal import Budget, Goal
from steelyard.core.protocols import Task
from steelyard.engine import lookrounds
from steelyard.engine.clock import Clock
from steelyard.engine.elastic import SharedWeights
from steelyard.engine.formlooks import look_at_forms
from steelyard.engine.forms import PIPELINES, QUANTIZED
from steelyard.engine.looks import Look
from steelyard.engine.messages import Exploration, FormLooks
from steelyard.engine.pipeline import Start, find
from steelyard.engine.stepping import calibration, step_of
from steelyard.engine.workers import WorkerProcess
from steelyard.runtimes.onnxruntime.export import export
from steelyard.tasks.metrics import METRICS
from steelyard.training.recipe import Recipe

FAMILY = "cnn"
RESAMPLES = 2_000
GOAL = Goal(max_drop=0.01)


def silent(stage: str) -> None:
    """Hears nothing."""


def looks(scales: int, confirmed: int, epochs: int, seed: int, folder: Path) -> dict[str, Any]:
    """Figures of looks: how many in which seconds, and how they agree with confirmed forms."""
    task: Task = registry.get("task", "digits")(seed)
    family = registry.get("family", FAMILY)
    space = FamilySpace(FAMILY, family.knobs(task))
    metric = METRICS["accuracy"]
    elastic = SharedWeights(task, {FAMILY: family}, Recipe(epochs=epochs), metric, metric, seed, folder, registry)
    asked = Exploration(space, "onnxruntime", 600.0, 1e6, space.size, forced=True)
    shared = elastic.explore(asked, Clock(silent))
    random = np.random.default_rng(seed)
    drawn = [list(space.scales())[at] for at in random.permutation(space.size)[:scales]]
    forms = tuple(Candidate(FAMILY, scale, (step,)) for scale in drawn for step in QUANTIZED)
    began, used = time.perf_counter(), time.process_time()
    made = look_at_forms(elastic, FormLooks(space, forms, 1e6), Clock(silent))
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - used
    seen = {each.candidate: each for each in map(Explored.from_json, made.notes["explored"])}
    print(f"{len(seen)} forms in {wall_s:.1f} s, {cpu_s:.1f} s of the processor", flush=True)
    truth: dict[Candidate, float] = {}
    for scale in drawn[:confirmed]:
        truth |= _confirmed(elastic, Candidate(FAMILY, scale), [each for each in seen if each.scale == scale], folder)
    return {
        "scales": space.size,
        "share_s": round(sum(shared.seconds.values()), 1),
        "forms": len(seen),
        "refused": len(made.notes["barred"]),
        "wall_s": round(wall_s, 1),
        "processor_s": round(cpu_s, 1),
        "forms_a_processor_second": round(len(seen) / cpu_s, 1),
        **_agreement({each: seen[each].quality for each in truth}, truth, random),
    }


def _confirmed(
    elastic: SharedWeights, plain: Candidate, forms: list[Candidate], folder: Path
) -> dict[Candidate, float]:
    """The quality of each form of a scale that was trained to its end."""
    model, _ = elastic.tuned(plain, 600.0)
    source, target = folder / "own.onnx", folder / "form.onnx"
    export(model, np.asarray(elastic.task.train.x[:2]), source)
    look = Look.by(registry, "onnxruntime", elastic.goal_metric, elastic.judged, batch=1, threads=1)
    found = {}
    for each in forms:
        step = step_of(registry, "step", each.steps[0])
        try:
            step.apply(source, target, calibration(elastic.task.train, elastic.seed))
        except SteelyardError:
            # Which products are the most sensitive is not the same any more, and too much would stay in float.
            continue
        found[each] = look.quality(target)
    return found


def _agreement(seen: dict[Candidate, float], truth: dict[Candidate, float], random: Any) -> dict[str, Any]:
    """Spearman's rank correlation of looks and truths; 95 % interval from resampled scales."""
    scales = sorted({each.scale for each in truth}, key=str)
    groups = [[(seen[each], truth[each]) for each in truth if each.scale == scale] for scale in scales]
    whole = np.concatenate([np.array(group) for group in groups])
    draws = []
    for _ in range(RESAMPLES):
        some = np.concatenate([np.array(groups[at]) for at in random.integers(len(groups), size=len(groups))])
        if (some.std(axis=0) > 0).all():
            draws.append(float(spearmanr(some[:, 0], some[:, 1]).statistic))
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "confirmed_scales": len(groups),
        "pairs": len(whole),
        "rank_correlation": round(float(spearmanr(whole[:, 0], whole[:, 1]).statistic), 3),
        "interval": [round(float(low), 3), round(float(high), 3)],
        "error": round(float(np.sqrt(np.mean((whole[:, 0] - whole[:, 1]) ** 2))), 4),
    }


def search(joint: bool, seed: int, budget_s: float, out: Path) -> None:
    """One search; the answer goes to standard output."""
    began = time.monotonic()
    worker = WorkerProcess()
    try:
        worker.start()
        plan = steelyard.resolve(
            "digits", model=FAMILY, strategy="elastic", seed=seed, goal=GOAL, budget=Budget(wall_s=budget_s), out=out
        )
        if not joint:
            # As it was: two forms, neither looked at before it is confirmed.
            plan = dataclasses.replace(plan, space=dataclasses.replace(plan.space, pipelines=PIPELINES), added=())
            lookrounds.SHARE = 0.0
        found = find(plan, rendered, start=Start(began, worker, prepare_rendering))
    finally:
        worker.kill()
    print(json.dumps(found.to_json()))


def run(joint: bool, seed: int, budget_s: float, out: Path) -> dict[str, Any]:
    """One search in a process of its own, and what it chose."""
    command = [sys.executable, __file__, "--one", "joint" if joint else "apart", "--seed", str(seed)]
    command += ["--budget-s", str(budget_s), "--out", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True
    )
    found = json.loads(done.stdout)
    chosen, forms = found["chosen"], found["exploring"].get(FAMILY, {}).get("forms", {})
    return {
        "joint": joint,
        "seed": seed,
        "status": found["status"],
        "chosen": str(Candidate.from_json({"family": FAMILY, "runtime": "onnxruntime", **_named(chosen)})),
        "latency_us": round(1e6 * chosen["metrics"]["latency_p50_s"]["value"], 2),
        "size_kb": round(chosen["metrics"]["size_bytes"]["value"] / 1e3, 1),
        "accuracy": round(chosen["metrics"]["accuracy"]["value"], 4),
        "accuracy_test": round(chosen["metrics"]["accuracy_test"]["value"], 4),
        "trials": found["trials"],
        "forms": {name: forms[name] for name in ("explored", "look_s", "pairs", "rank_correlation", "error") if forms},
        "wall_s": round(found["wall_s"], 1),
    }


def _named(point: dict[str, Any]) -> dict[str, Any]:
    settings = [{name: each[name] for name in ("name", "keep_float") if name in each} for each in point["steps"]]
    return {"scale": point["scale"], "steps": settings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", choices=("joint", "apart"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--budget-s", type=float, default=90.0)
    parser.add_argument("--scales", type=int, default=16)
    parser.add_argument("--confirmed", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("steelyard-out") / "joint")
    parser.add_argument("--parts", default="looks,search")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.one:
        search(asked.one == "joint", asked.seed, asked.budget_s, asked.out)
        return
    figures: dict[str, Any] = {}
    if "looks" in asked.parts:
        with tempfile.TemporaryDirectory() as folder:
            figures["looks"] = looks(asked.scales, asked.confirmed, asked.epochs, asked.seed, Path(folder))
        print(figures, flush=True)
    if "search" in asked.parts:
        rows = []
        for seed in range(asked.seeds):
            for joint in (False, True):
                home = tempfile.mkdtemp(dir=_made(asked.out))
                rows.append(run(joint, seed, asked.budget_s, Path(home)))
                print(rows[-1], flush=True)
        figures["searches"] = rows
    write_result(asked.json, command_line(), figures)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main()
