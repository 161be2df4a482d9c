"""Every family on every task that it fits: what the reference and the chosen model reach, and at which cost.

    python benchmarks/families.py [--task NAME …] [--family NAME …] [--budget 60s] [--work DIR] [--json FILE]

Each cell is one `steelyard find` in a process of its own, as a user would type it. A family that refuses a task is kept
with its sentence, so that none is left out silently. What is finished is kept in --json and not repeated.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import command_line, write_result

from steelyard.builtin import registry

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Question:
    """What a user would say of a task, and what others reached on it (`metric`, the test rows).

    Yardsticks are those that came with the data, run on one thread; None where the task has none.
    """

    words: tuple[str, ...]
    yardstick: float | None = None
    metric: str = "accuracy"
    max_drop: str = "0.01"


QUESTIONS = {
    "digits": Question(("digits",), max_drop="0.02"),
    "breast-cancer": Question(("breast-cancer",), max_drop="0.03"),
    "wine": Question(("wine",), max_drop="0.05"),
    "diabetes": Question(("diabetes",), metric="rmse", max_drop="0.05"),
    "linear": Question(("linear",), metric="rmse", max_drop="0.05"),
    "mnist": Question(("image-classification", "--data", "mnist_35k.npz"), 0.9868),
    "cifar10": Question(("image-classification", "--data", "cifar10_12k.zip"), 0.6757, max_drop="0.02"),
    "adult": Question(
        ("tabular-classification", "--data", "tab_adult_census.parquet", "--target", "income"), 0.8695
    ),
    "california": Question(
        ("tabular-regression", "--data", "tab_california_housing.parquet", "--target", "MedHouseVal"),
        0.4732, "rmse", "0.05",
    ),
    "wine-quality": Question(
        ("tabular-regression", "--data", "tab_wine_quality.parquet", "--target", "quality"), 0.6599, "rmse", "0.05"
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(QUESTIONS), action="append")
    parser.add_argument("--family", choices=registry.names("family"), action="append")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--shared", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=HERE.parent / "steelyard-out" / "families")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    cells: dict[str, Any] = {}
    if asked.json is not None and asked.json.is_file():
        cells = json.loads(asked.json.read_text(encoding="utf-8"))["figures"]
    for task in asked.task or QUESTIONS:
        for family in asked.family or registry.names("family"):
            if family == "baseline" or f"{task} {family}" in cells:
                continue
            cells[f"{task} {family}"] = cell(QUESTIONS[task], family, asked)
            print(task, family, json.dumps(cells[f"{task} {family}"]), flush=True)
            if asked.json is not None:
                write_result(asked.json, command_line(), cells)


def cell(question: Question, family: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One search to its end."""
    words = [
        str(asked.shared / word) if place and question.words[place - 1] == "--data" else word
        for place, word in enumerate(question.words)
    ]
    out = asked.work / f"{'-'.join(Path(words[0]).parts)}-{Path(words[2]).stem if len(words) > 2 else 'own'}-{family}"
    full = ["find", *words, "--model", family, "--max-drop", question.max_drop]
    full += ["--budget", asked.budget, "--out", str(out), "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("steelyard")), *full], capture_output=True, text=True, check=False
    )
    shown = " ".join(Path(word).name if "/" in word else word for word in full)
    found: dict[str, Any] = {"command": f"steelyard {shown}", "exit": done.returncode}
    found["wall_s"] = round(time.perf_counter() - began, 1)
    try:
        plain = json.loads(done.stdout)
    except json.JSONDecodeError:
        return found | {"status": None, "stderr": done.stderr[-3000:]}
    if "error" in plain:
        return found | {"status": "refused", "message": plain["error"]["message"]}
    return found | told(plain, question)


def told(plain: dict[str, Any], question: Question) -> dict[str, Any]:
    """The answer in a few figures, each with its interval; whether the reference is at the yardstick or above."""
    names = (f"{question.metric}_test", "size_bytes", "parameters", "latency_p50_s", "train_s")
    points = {
        which: {"model": f"{plain[which]['family']} {plain[which]['scale']} {plain[which]['steps'] or ''}".strip()}
        | {name: plain[which]["metrics"][name] for name in names if name in plain[which]["metrics"]}
        for which in ("reference", "chosen")
    }
    answer = {"status": plain["status"], **points, "trials": plain["trials"], "failures": plain["failures"]}
    quality = points["reference"].get(names[0])
    if question.yardstick is None or quality is None:
        return answer
    reached = (
        quality["low"] <= question.yardstick if question.metric == "rmse" else quality["high"] >= question.yardstick
    )
    return {**answer, "yardstick": question.yardstick, "reached": reached}


if __name__ == "__main__":
    main()
