"""How depth, width and resolution should grow, from recorded tables of networks trained from scratch.

Each table (`NAME.csv`, or the lines of a recording in the making, `NAME-*.jsonl`) has a row a network: its scale and
its accuracy on the validation rows. Products are counted in an exported file of each scale, whose weights do not
matter.
"""

import argparse
import csv
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from search_record import rows_of
from search_spaces import QUESTIONS, SHARED, Question, task_of
from search_table import TABLES

from steelyard.builtin import registry
from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.quantity import Quantity
from steelyard.core.scaling import Scaling
from steelyard.core.wire import content_key
from steelyard.graph.counting import count
from steelyard.runtimes.onnxruntime.export import export
from steelyard.select.compound import Sized, scaling_of, why_untold

KNOBS = ("depth", "width", "kernel", "resolution")


def recorded(name: str, folder: Path) -> list[dict[str, Any]]:
    """Rows of a table: `scale`, `valid`, and latency in seconds where it was timed."""
    path = folder / f"{name}.csv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as lines:
            return [_row_of(row) for row in csv.DictReader(lines)]
    return rows_of(name, folder)


def _row_of(row: dict[str, str]) -> dict[str, Any]:
    scale = {knob: int(row[knob]) for knob in KNOBS if row.get(knob)}
    told = {name: float(row[name]) for name in ("valid", "latency_p50_s") if row.get(name)}
    return {"scale": scale, **told}


def counted_macs(question: Question, task: Task, scale: Scale) -> int:
    """Multiply-accumulates of one image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        module = registry.get("family", question.family).build(scale, task, 0).eval()
        export(module, np.asarray(task.train.x[:2]), path)
        return count(onnx.load(path)).macs


def sized(question: Question, task: Task, rows: list[dict[str, Any]]) -> list[Sized]:
    """The rows as the fit takes them."""
    found = []
    for row in rows:
        valid, scale = row["valid"], Scale.from_json(row["scale"])
        costs = {"macs": float(counted_macs(question, task, scale))}
        if "latency_p50_s" in row:
            costs["latency_p50_s"] = row["latency_p50_s"]
        error = math.sqrt(valid * (1 - valid) / len(task.valid))
        found.append(Sized(content_key(scale.to_json()), scale.to_json(), -valid, error, costs))
    return found


def report(name: str, scaling: Scaling) -> None:
    """Print the growths as lines of a Markdown table."""
    for growth in scaling.growths:
        base = ", ".join(f"{knob} {value:.3g}" for knob, value in growth.base.items())
        factors = " | ".join(_interval(growth.factors.get(knob)) for knob in ("depth", "width", "resolution"))
        gains = ", ".join(f"{knob} {100 * each.value:+.2f}" for knob, each in growth.alone.items())
        print(
            f"| {name}, {scaling.n} | {growth.cost} | {base} | {factors} | {100 * growth.gain.value:+.2f} | {gains} |"
        )


def _interval(quantity: Quantity | None) -> str:
    return "–" if quantity is None else f"{quantity.value:.2f} [{quantity.low:.2f}, {quantity.high:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(QUESTIONS), action="append")
    parser.add_argument("--folder", type=Path, default=TABLES)
    parser.add_argument("--shared", type=Path, default=SHARED)
    asked = parser.parse_args()
    print("| task, scales | what doubles | from | α depth | β width | γ resolution | gain, points | alone, points |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in asked.task or QUESTIONS:
        rows = recorded(name, asked.folder)
        if not rows:
            print(f"{name}: nothing is recorded in {asked.folder}")
            continue
        found = sized(QUESTIONS[name], task_of(name, asked.shared), rows)
        reason = why_untold(found)
        if reason is not None:
            print(f"{name}: {reason}")
            continue
        report(name, scaling_of(QUESTIONS[name].family, found, higher_is_better=True))


if __name__ == "__main__":
    main()
