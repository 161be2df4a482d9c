"""Writes what deep_compression.py found into docs/deep-compression.md, between its marks."""

import json
from typing import Any

import numpy as np
from measuring_page import RESULTS, ROOT, between, machine

NAMES = {"lenet_300_100": "LeNet-300-100", "lenet_5": "LeNet-5"}


def main() -> None:
    plain = json.loads((RESULTS / "deep-compression.json").read_text(encoding="utf-8"))
    mark = "<!-- figures: written by benchmarks/deep_compression_page.py -->"
    between(ROOT / "docs" / "deep-compression.md", mark, table(plain))


def table(plain: dict[str, Any]) -> str:
    """A row a seed, and one for all seeds of a net."""
    lines = [
        "| net | seed | reference's error | file's error | error added, 95 % interval | bytes | ratio | load | exact |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, net in plain["figures"].items():
        lines += [row(NAMES[name], str(each["seed"]), [each]) for each in net["seeds"]]
        lines.append(row(f"**{NAMES[name]}**", "all", net["seeds"]))
    environment = plain["environment"]
    return "\n".join([*lines, "", f"`{plain['command']}`: {machine(environment)}. Test rows: 10,000 a seed."])


def row(name: str, seed: str, seeds: list[dict[str, Any]]) -> str:
    added, half = difference(seeds)
    mean = {
        key: float(np.mean([each[key] for each in seeds]))
        for key in ("reference_test_error", "test_error", "size_bytes", "ratio", "median_load_s")
    }
    loads = [load for each in seeds for load in each["load_s"]]
    exact = "yes" if all(each["is_exact"] for each in seeds) else "no"
    return (
        f"| {name} | {seed} | {mean['reference_test_error']:.2%} | {mean['test_error']:.2%} "
        f"| {100 * added:+.2f} [{100 * (added - half):+.2f}, {100 * (added + half):+.2f}] points "
        f"| {mean['size_bytes']:,.0f} | {mean['ratio']:.0f}× "
        f"| {1e3 * mean['median_load_s']:.0f} [{1e3 * min(loads):.0f}, {1e3 * max(loads):.0f}] ms | {exact} |"
    )


def difference(seeds: list[dict[str, Any]], rows: int = 10_000) -> tuple[float, float]:
    """The mean difference of errors over seeds, and half of its 95 % interval over test rows.

    Rows are the same for all seeds, so their differences are averaged over the seeds first.
    """
    each = np.zeros(rows)
    for found in seeds:
        each[found["only_file_wrong"]] += 1 / len(seeds)
        each[found["only_reference_wrong"]] -= 1 / len(seeds)
    return float(each.mean()), float(1.96 * each.std(ddof=1) / np.sqrt(rows))


if __name__ == "__main__":
    main()
