"""Trains every candidate of the three spaces once from scratch and keeps quality, cost and seconds as a table.

Seconds are those of the processor, so that what else the machine does changes no result. Rows go into a cache folder;
several processes share the work. `benchmarks/search_table.py` times all candidates and writes the tables.
"""

import argparse
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from search_spaces import QUESTIONS, SHARED, Question, default_folder, task_of, train

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.runtimes.onnxruntime.export import export


def record(question: Question, folder: Path, shared: Path) -> None:
    """Train the candidates that are not recorded and that no other process works on, costly and cheap ones mixed."""
    task = task_of(question.name, shared)
    scales = [candidate.scale for candidate in question.space.candidates()]
    order = np.random.default_rng(0).permutation(len(scales))
    path = folder / f"{question.name}-{os.getpid()}.jsonl"
    for at in order:
        scale = scales[at]
        name = json.dumps(scale.to_json(), sort_keys=True).replace(" ", "")
        with claimed(folder / "begun" / question.name / name) as is_free:
            if not is_free or scale.to_json() in [row["scale"] for row in rows_of(question.name, folder)]:
                continue
            row = trained_row(question, task, scale, folder / "models" / question.name / f"{name}.onnx")
            with path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row) + "\n")
        print(question.name, row, flush=True)


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether no other process works on it; the kernel lets go of the claim of a process that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def trained_row(question: Question, task: Task, scale: Scale, onnx: Path) -> dict[str, Any]:
    """Train and export one candidate; its row."""
    found = train(question, task, scale, 0)
    began = time.process_time()
    onnx.parent.mkdir(parents=True, exist_ok=True)
    export(found.model, np.asarray(task.train.x[:2]), onnx)
    return {
        "scale": scale.to_json(),
        "valid": found.valid,
        "test": found.test,
        "train_s": round(found.train_s, 2),
        "export_s": round(time.process_time() - began, 2),
    }


def rows_of(name: str, folder: Path) -> list[dict[str, Any]]:
    """What is recorded of a task so far."""
    lines = [line for path in sorted(folder.glob(f"{name}-*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(QUESTIONS), action="append")
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--shared", type=Path, default=SHARED)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in asked.task or QUESTIONS:
        record(QUESTIONS[name], asked.folder, asked.shared)


if __name__ == "__main__":
    main()
