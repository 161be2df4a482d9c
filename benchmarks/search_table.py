"""Times every recorded candidate in interleaved rounds and writes the tables `benchmarks/search/TASK.csv`."""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from search_record import rows_of
from search_spaces import QUESTIONS, SHARED, Question, default_folder, task_of

from steelyard.engine.lane import lanes, make_protocol, nominal_time
from steelyard.measure.latency import measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.run import RUNTIME

TABLES = Path(__file__).parent / "search"
BATCH = 11
"""Models of a round beside the largest one: latencies are told as ratios to it, round by round."""


def file_name(scale: dict[str, Any]) -> str:
    """The name that a recorded model's file has."""
    return json.dumps(scale, sort_keys=True).replace(" ", "")


def write_table(question: Question, folder: Path, shared: Path) -> Path:
    """Time the models of a task and write its table."""
    rows = {file_name(row["scale"]): row for row in rows_of(question.name, folder)}
    wanted = [file_name(candidate.scale.to_json()) for candidate in question.space.candidates()]
    missing = [name for name in wanted if name not in rows]
    if missing:
        raise SystemExit(
            f"{question.name}: {len(missing)} of {len(wanted)} candidates are not recorded; run search_record.py."
        )
    largest = wanted[-1]
    cpu, _ = lanes(1)
    inputs = folder / f"{question.name}-rows.npy"
    np.save(inputs, np.asarray(task_of(question.name, shared, folder).valid.x[:64]))
    protocol, nominal_s = make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu), nominal_time(cpu)
    shares: dict[str, float] = {}
    latency_s: dict[str, float] = {}
    others = wanted[:-1]
    for at in range(0, len(others), BATCH):
        names = [largest, *others[at : at + BATCH]]
        subjects = [Subject(name, folder / "models" / question.name / f"{name}.onnx") for name in names]
        found = measure_latency(subjects, inputs, protocol, nominal_s=nominal_s, seed=at)
        if found.failures:
            raise SystemExit(f"{question.name}: {found.failures}")
        for name in names:
            latency_s[name] = found.metrics[name]["latency_p50_s"].value
            shares[name] = 1.0 if name == largest else found.ratio(name, largest).quantity.value
        print(question.name, at + len(names) - 1, "of", len(wanted), found.noise or "", flush=True)
    TABLES.mkdir(exist_ok=True)
    path = TABLES / f"{question.name}.csv"
    knobs = [knob.name for knob in question.knobs]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [*knobs, "valid", "test", "train_s", "export_s", "latency_p50_s", "latency_share", "size_bytes"]
        )
        for name in wanted:
            row: dict[str, Any] = rows[name]
            size = (folder / "models" / question.name / f"{name}.onnx").stat().st_size
            costs = [f"{latency_s[name]:.4g}", f"{shares[name]:.4f}", size]
            writer.writerow(
                [
                    *(row["scale"][knob] for knob in knobs),
                    row["valid"],
                    f"{row['test']:.4f}",
                    row["train_s"],
                    row["export_s"],
                    *costs,
                ]
            )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(QUESTIONS), action="append")
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--shared", type=Path, default=SHARED)
    asked = parser.parse_args()
    for name in asked.task or QUESTIONS:
        print(write_table(QUESTIONS[name], asked.folder, asked.shared))


if __name__ == "__main__":
    main()
