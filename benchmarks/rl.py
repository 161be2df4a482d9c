"""Reinforcement learning: what each family earns at each scale, in fresh episodes, and the smallest scale that solves.

Each cell is learned anew for each seed and judged by playing its ONNX file in the test episodes. What is done is kept
in the file of --json after each cell, so that a run that was stopped goes on.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from environment import command_line, write_result

from steelyard.builtin import registry
from steelyard.core.candidate import Scale
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.select.quality import quality_interval
from steelyard.tasks.metrics import METRICS
from steelyard.tasks.playing import play

LIMIT_S = 600.0
"""Seconds that one learning may take."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One family at one scale; `solved` is the mean return from which a task counts as solved, None if nobody says."""

    task: str
    family: str
    scale: tuple[tuple[str, int], ...]
    solved: float | None = None


def cells(optimum: float) -> Iterator[Cell]:
    """What is asked of issue 6 first, each from large to small."""
    for family in ("q-learning", "sarsa"):
        for rows, bits in ((64, 32), (64, 8), (64, 4), (8, 8), (8, 4)):
            yield Cell("frozenlake", family, (("rows", rows), ("bits", bits)), 0.8 * optimum)
    for depth, width in ((2, 64), (1, 64), (1, 32), (1, 16), (1, 8)):
        yield Cell("cartpole", "dqn", (("depth", depth), ("width", width)), 475.0)
    for family in ("q-learning", "sarsa"):
        yield Cell("taxi", family, (("rows", 500), ("bits", 32)))
        yield Cell("mountaincar", family, (("bins", 16), ("rows", 256), ("bits", 32)), -110.0)


def optimum_of(name: str, steps: int) -> float:
    """The largest mean return within so many steps of an environment that tells its transitions.

    Value iteration backwards from the last step: Bellman, Dynamic Programming, Princeton University Press, 1957.
    """
    environment = gymnasium.make(name).unwrapped
    chances: dict[int, dict[int, list[tuple[float, int, float, bool]]]] = environment.P  # type: ignore[attr-defined]
    values = np.zeros(len(chances))
    for _ in range(steps):
        values = np.array(
            [
                max(
                    sum(p * (reward + (not ended) * values[after]) for p, after, reward, ended in moves)
                    for moves in actions.values()
                )
                for _, actions in sorted(chances.items())
            ]
        )
    return float(values @ environment.initial_state_distrib)  # type: ignore[attr-defined]


def measured(cell: Cell, seed: int) -> dict[str, Any]:
    """Learn, write, play; the figures."""
    task = registry.get("task", cell.task)(seed)
    family = registry.get("family", cell.family)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        notes = family.fit(Scale(cell.scale), task, seed, path, LIMIT_S)
        cpu_s = time.process_time() - start
        outputs = play(task.environment, OnnxRuntime().load(path).run, task.test.y)
        size = path.stat().st_size
    earned = quality_interval(METRICS["return"], outputs, task.test.y, seed=seed)
    return {
        **asdict(cell),
        "scale": dict(cell.scale),
        "seed": seed,
        "return": earned.to_json(),
        "size_bytes": size,
        "train_s": notes["train_s"],
        "cpu_s": cpu_s,
        "stopped": notes["stopped"],
        "steps": notes["curve"]["steps"][-1] if notes["curve"]["steps"] else 0,
        "is_solved": None if cell.solved is None else earned.value >= cell.solved,
    }


def smallest(done: list[dict[str, Any]], seeds: int) -> list[dict[str, Any]]:
    """For each family the smallest file that solves its task with two of three seeds, or as large a share of others."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in done:
        same = [other for other in done if all(other[name] == each[name] for name in ("task", "family", "scale"))]
        solved = sum(bool(other["is_solved"]) for other in same)
        if len(same) < seeds or 3 * solved < 2 * seeds:
            continue
        key = each["task"], each["family"]
        if key not in found or each["size_bytes"] < found[key]["size_bytes"]:
            names = ("task", "family", "scale", "size_bytes")
            found[key] = {**{name: each[name] for name in names}, "solved": solved, "of": len(same)}
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", default="frozenlake,cartpole,taxi,mountaincar")
    parser.add_argument("--first", type=int, default=100, help="cells of each task and family, the largest first")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    optimum = optimum_of("FrozenLake8x8-v1", 200)
    done: list[dict[str, Any]] = []
    if asked.json is not None and asked.json.is_file():
        done = json.loads(asked.json.read_text(encoding="utf-8"))["figures"]["cells"]
    counts: dict[tuple[str, str], int] = {}
    for cell in cells(optimum):
        key = cell.task, cell.family
        counts[key] = counts.get(key, 0) + 1
        if cell.task not in asked.tasks.split(",") or counts[key] > asked.first:
            continue
        for seed in range(asked.seeds):
            name = (cell.task, cell.family, dict(cell.scale), seed)
            if any((each["task"], each["family"], each["scale"], each["seed"]) == name for each in done):
                continue
            done.append(measured(cell, seed))
            figures = {"optimum": {"frozenlake": optimum}, "cells": done, "smallest": smallest(done, asked.seeds)}
            write_result(asked.json, command_line(), figures)


if __name__ == "__main__":
    main()
