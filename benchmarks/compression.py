"""Is what `steelyard compress` makes faster than what else one could use? On ONNX Runtime, one thread, batch 1.

    python benchmarks/compression_train.py && python benchmarks/compression_ours.py && python benchmarks/compression.py

All files of a task are timed in one interleaved round: the reference, ours, and every file of a rival whose drop of
validation accuracy is at most the task's epsilon. The fastest of the rivals stands for all: that choice is made by the
same figures, to our disadvantage. Test accuracy comes from the runtime, and `drop_high` is the exact upper limit of
the drop. Each task is a file of results; once all five are there, so is their geometric mean.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from compression_data import DATA, Array, Sets, add_folders, data_file, read_sets
from compression_ours import bundle
from compression_rivals import CELLS, EPSILONS, outputs_of, rivals
from compression_train import accuracy, reference_files
from environment import command_line, write_result

from steelyard.core.quantity import Quantity
from steelyard.engine.lane import INPUT_ROWS, default_workers, lanes, make_protocol, nominal_time
from steelyard.measure.latency import LatencyRound, measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.select.proof import prove
from steelyard.tasks.metrics import METRICS

RESULTS = Path(__file__).resolve().parent / "results"
CONFIDENCE = 0.95
REFERENCE, OURS = "reference", "ours"

Plain = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(DATA), action="append")
    parser.add_argument("--ours", type=Path, help="our bundle, or its model file [that of compression_ours.py]")
    parser.add_argument("--results", type=Path, default=RESULTS)
    add_folders(parser)
    asked = parser.parse_args()
    if asked.ours is not None and len(asked.task or ()) != 1:
        parser.error("--ours is of one --task")
    named = asked.ours / "model.onnx" if asked.ours is not None and asked.ours.is_dir() else asked.ours
    if named is not None and not named.is_file():
        parser.error(f"{named} is not there: give the folder that steelyard compress wrote, once it is done")
    for task in asked.task or DATA:
        own = bundle(task, asked.folder) / "model.onnx"
        figures = compare(task, asked.folder, asked.shared, named or (own if own.is_file() else None))
        write_result(task_file(asked.results, task), command_line(), figures)
    found = {task: json.loads(task_file(asked.results, task).read_text("utf-8")) for task in done(asked.results)}
    if len(found) == len(DATA):
        ratios = {task: each["figures"]["ratio"] for task, each in found.items()}
        write_result(asked.results / "compression.json", "python benchmarks/compression.py", summary(ratios))


def task_file(results: Path, task: str) -> Path:
    return results / f"compression-{task}.json"


def done(results: Path) -> list[str]:
    """Tasks whose comparison with ours is written."""
    paths = {task: task_file(results, task) for task in DATA}
    return [
        task
        for task, path in paths.items()
        if path.is_file() and json.loads(path.read_text("utf-8"))["figures"]["ratio"] is not None
    ]


def compare(task: str, folder: Path, shared: Path, ours: Path | None) -> Plain:
    """Everything about one task."""
    sets = read_sets(data_file(task, folder, shared))
    facts: Plain = json.loads(reference_files(task, folder)[2].read_text(encoding="utf-8"))
    cells = rivals(task, folder, shared)
    files = {REFERENCE: reference_files(task, folder)[1]}
    files |= {Path(name).stem.removeprefix(f"{task}-"): folder / name for name in within(cells, facts, EPSILONS[task])}
    if ours is not None:
        files[OURS] = ours
    qualities = judged(files, sets, EPSILONS[task])
    times = measured(files, fed(sets["x_valid"][:INPUT_ROWS]))
    rows = {name: described(name, path, times) | qualities[name] for name, path in files.items()}
    best = fastest(rows)
    ratio = times.ratio(best, OURS).quantity.to_json() if best and OURS in times.times else None
    return {
        "task": task,
        "epsilon": EPSILONS[task],
        "rows": {name: len(sets[f"y_{name}"]) for name in ("train", "valid", "test")},
        "reference": facts,
        "files": rows,
        "best_rival": best,
        "ratio": ratio,
        "noise": times.noise,
        "rivals": [{key: value for key, value in cell.items() if key != "task"} for cell in cells],
    }


def within(cells: list[Plain], facts: Plain, epsilon: float) -> list[str]:
    """Rivals' files whose drop on valid is at most epsilon."""
    files = [each for cell in cells for each in cell["files"]]
    # A drop of exactly epsilon is permitted; that must not hang on a last binary digit.
    return [each["file"] for each in files if facts["accuracy"] - each["accuracy"] <= epsilon + 1e-9]


def fed(rows: Array) -> Array | dict[str, Array]:
    """Rows as they are measured with: whole numbers by the name of the input, which keeps their type."""
    return rows if rows.dtype.kind == "f" else {"x": rows}


def measured(files: dict[str, Path], inputs: Array | dict[str, Array], *, limit_s: float | None = None) -> LatencyRound:
    """All files timed in one interleaved round by the default protocol: batch 1, one thread, fresh processes."""
    cpu, _ = lanes(default_workers())
    return measure_latency(
        [Subject(name, path) for name, path in files.items()],
        inputs,
        make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu),
        nominal_s=nominal_time(cpu),
        limit_s=limit_s,
    )


def described(name: str, path: Path, times: LatencyRound) -> Plain:
    """Size and times of a file, or why there are none."""
    plain: Plain = {"size_bytes": path.stat().st_size, "latency_p50_s": None, "speedup": None, "error": None}
    if name not in times.times:
        return plain | {"error": times.failures[name].message}
    return plain | {
        "latency_p50_s": times.metrics[name]["latency_p50_s"].to_json(),
        "speedup": times.ratio(REFERENCE, name).quantity.to_json(),
    }


def fastest(rows: dict[str, Plain]) -> str | None:
    """The rival of the smallest p50; the reference stands in where no rival is faster, being what one has anyway."""
    timed = {name: row["latency_p50_s"]["value"] for name, row in rows.items() if row["latency_p50_s"]}
    timed.pop(OURS, None)
    return min(timed, key=timed.__getitem__, default=None)


def judged(files: dict[str, Path], sets: Sets, epsilon: float) -> dict[str, Plain]:
    """Accuracy of each file on valid and test, and what is proved of its drop."""
    outputs = {name: outputs_of(path, sets["x_test"]) for name, path in files.items()}
    y, found = sets["y_test"], {}
    for name, path in files.items():
        proof = proved(outputs[REFERENCE], outputs[name], y, epsilon)
        found[name] = {
            "accuracy": accuracy(outputs_of(path, sets["x_valid"]), sets["y_valid"]),
            "accuracy_test": accuracy(outputs[name], y),
            "drop": proof.value,
            "drop_high": proof.high,
            "proved": proof.rejected,
            "halves": halves(outputs[REFERENCE], outputs[name], y, epsilon),
        }
    return found


def proved(reference: Array, candidate: Array, y: Array, epsilon: float) -> Any:
    """The exact test that a certificate rests on."""
    return prove(METRICS["accuracy"], reference, candidate, y, epsilon=epsilon, relative=False, confidence=CONFIDENCE)


def halves(reference: Array, candidate: Array, y: Array, epsilon: float) -> Plain:
    """Certified on one half of the test rows: is the drop on the other half at most epsilon?"""
    order = np.random.default_rng(0).permutation(len(y))
    one, other = order[: len(y) // 2], order[len(y) // 2 :]
    drop = accuracy(reference[other], y[other]) - accuracy(candidate[other], y[other])
    certified = proved(reference[one], candidate[one], y[one], epsilon).rejected
    return {"certified": certified, "drop_other": drop, "violated": certified and drop > epsilon}


def summary(ratios: dict[str, Plain]) -> Plain:
    """The geometric mean of how many times faster ours are than the best rivals, with its 95 % interval.

    The rounds of the tasks are independent, so the squares of the half-intervals of the logarithms add up.
    """
    quantities = [Quantity.from_json(each) for each in ratios.values()]
    mean = sum(math.log(each.value) for each in quantities) / len(quantities)
    down = math.sqrt(sum(math.log(each.value / each.low) ** 2 for each in quantities if each.low)) / len(quantities)
    up = math.sqrt(sum(math.log(each.high / each.value) ** 2 for each in quantities if each.high)) / len(quantities)
    found = Quantity(math.exp(mean), "1", low=math.exp(mean - down), high=math.exp(mean + up), n=len(quantities))
    return {"ratios": ratios, "geometric_mean": found.to_json(), "rival_cells": list(CELLS)}


if __name__ == "__main__":
    main()
