"""Runs `elastic` live on the three spaces, three seeds each, and keeps when it confirmed what.

Each is what the command of a user does, on the same discrete space as the recorded tables, uncompressed candidates
alone. The clock starts before the process does.
"""

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from search_spaces import QUESTIONS, SHARED, Question, data_of, default_folder
from search_table import TABLES

import steelyard
from steelyard.api import prepare_rendering, rendered
from steelyard.core.goal import Budget, Goal
from steelyard.engine.pipeline import Start, find
from steelyard.engine.workers import WorkerProcess


def search(question: Question, seed: int, budget_s: float, out: Path, shared: Path) -> None:
    """What `steelyard find` does, on the uncompressed candidates alone; the answer goes to standard output."""
    began = time.monotonic()
    worker = WorkerProcess()
    try:
        worker.start()
        plan = steelyard.resolve(
            "image-classification",
            data=str(data_of(question.name, shared, default_folder())),
            model=question.family,
            knobs={knob.name: knob.choices for knob in question.knobs},
            strategy="elastic",
            seed=seed,
            goal=Goal(max_drop=0.02),
            budget=Budget(wall_s=budget_s),
            out=out,
        )
        plan = dataclasses.replace(plan, space=question.space)
        found = find(plan, rendered, start=Start(began, worker, prepare_rendering))
    finally:
        worker.kill()
    print(json.dumps(found.to_json()))


def run(question: Question, seed: int, budget_s: float, out: Path, shared: Path) -> dict[str, Any]:
    """One live search in a process of its own; what was confirmed, and when."""
    command = [sys.executable, __file__, "--one", question.name, str(seed), "--budget-s", str(budget_s)]
    command += ["--out", str(out), "--shared", str(shared)]
    began = datetime.datetime.now()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False
    )
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    answer = json.loads(done.stdout)
    storage = optuna.storages.RDBStorage(f"sqlite:///{out / 'study.db'}")
    (study,) = optuna.get_all_study_names(storage)
    confirmed = []
    for trial in optuna.load_study(study_name=study, storage=storage).trials:
        plain = trial.user_attrs.get("trial", {})
        if "measurement" in plain and plain["candidate"]["family"] == question.family and trial.datetime_complete:
            quality = plain["measurement"]["metrics"]["accuracy"]["value"]
            at_s = (trial.datetime_complete - began).total_seconds()
            confirmed.append({"at_s": round(at_s, 2), "quality": quality, "candidate": plain["candidate"]})
    facts = optuna.load_study(study_name=study, storage=storage).user_attrs.get("explored", {})
    return {
        "task": question.name,
        "seed": seed,
        "budget_s": budget_s,
        "wall_s": answer["wall_s"],
        "status": answer["status"],
        "trials": answer["trials"],
        "explored": facts.get(question.family),
        "confirmed": confirmed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(QUESTIONS), action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget-s", type=float, default=240.0)
    parser.add_argument("--one", nargs=2, metavar=("TASK", "SEED"), help="one search alone, as the others are begun")
    parser.add_argument("--kept", type=Path, default=TABLES / "live", help="folder of what is kept of each run")
    parser.add_argument("--out", type=Path, default=Path("steelyard-out") / "search-live")
    parser.add_argument("--shared", type=Path, default=SHARED)
    asked = parser.parse_args()
    if asked.one:
        search(QUESTIONS[asked.one[0]], int(asked.one[1]), asked.budget_s, asked.out, asked.shared)
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.kept.mkdir(parents=True, exist_ok=True)
    for seed in range(asked.seeds):
        for name in asked.task or QUESTIONS:
            path = asked.kept / f"{name}-{seed}.json"
            if path.is_file():
                continue
            found = run(QUESTIONS[name], seed, asked.budget_s, asked.out / f"{name}-{seed}", asked.shared)
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(
                name, seed, found["trials"], found["wall_s"], [each["at_s"] for each in found["confirmed"]], flush=True
            )


if __name__ == "__main__":
    main()
