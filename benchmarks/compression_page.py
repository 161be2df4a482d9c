"""Writes what benchmarks/compression.py found into docs/compression.md, between its marks."""

import json
from typing import Any

from compression import OURS, REFERENCE, RESULTS, task_file
from compression_data import DATA
from measuring_page import ROOT, between, machine

BEGIN = "<!-- figures: written by benchmarks/compression_page.py -->"


def main() -> None:
    between(ROOT / "docs" / "compression.md", BEGIN, page())


def page() -> str:
    """A row a task, the geometric mean, and the rivals that came to nothing."""
    plain = {task: json.loads(task_file(RESULTS, task).read_text("utf-8")) for task in DATA}
    head = ["task, ε", "model given", "p50", "best rival", "its speed-up", "ours", "ours / best rival", "drop, limit"]
    lines = ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    lines += ["| " + " | ".join(row(each["figures"])) + " |" for each in plain.values()]
    whole = RESULTS / "compression.json"
    if whole.is_file():
        mean = json.loads(whole.read_text("utf-8"))["figures"]["geometric_mean"]
        lines += ["", f"In the geometric mean ours are {interval(mean)} times as fast as the best rival."]
    lines += ["", *failures(plain)]
    environment = next(iter(plain.values()))["environment"]
    return "\n".join([*lines, "", f"`python benchmarks/compression.py`: {machine(environment)}."])


def row(found: dict[str, Any]) -> list[str]:
    files, given, best = found["files"], found["reference"], found["best_rival"]
    ours = files.get(OURS)
    return [
        f"{found['task']}, {found['epsilon']}",
        f"`{given['model']}`, {given['parameters']:,} parameters, {files[REFERENCE]['accuracy_test']:.4f} on test",
        f"{1e6 * files[REFERENCE]['latency_p50_s']['value']:.0f} µs",
        str(best),
        interval(files[best]["speedup"]) if best else "",
        interval(ours["speedup"]) if ours else "",
        interval(found["ratio"]) if found["ratio"] else "",
        f"{ours['drop']:.4f}, {limit(ours)}" if ours else "",
    ]


def interval(quantity: dict[str, Any]) -> str:
    if quantity["low"] is None:
        return f"{quantity['value']:.2f}"
    return f"{quantity['value']:.2f} [{quantity['low']:.2f}, {quantity['high']:.2f}]"


def limit(file: dict[str, Any]) -> str:
    return "none" if file["drop_high"] is None else f"{file['drop_high']:.4f}"


def failures(plain: dict[str, Any]) -> list[str]:
    """What rivals said where they made nothing."""
    return [
        f"- {task}, {cell['cell']}: `{cell['error']}`"
        for task, each in plain.items()
        for cell in each["figures"]["rivals"]
        if cell["error"]
    ]


if __name__ == "__main__":
    main()
