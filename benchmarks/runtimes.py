"""One model of each kind on every runtime, by `steelyard profile`: latency, parity, size, memory, or why not.

LiteRT's converter needs older pins than the tests' environment has (docs/decisions/0011): for a whole table, run this
where all extras are installed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from environment import command_line, write_result

import steelyard

RUNTIMES = ("onnxruntime", "openvino", "litert", "executorch", "torch")
SHAPES = {"cnn": "1,3,32,32", "residual": "1,3,32,32", "lstm": "1,29,12", "encoder": "1,32,64"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    file = Path(__file__).parent / "models.py"
    figures: dict[str, dict[str, Any]] = {}
    for name, shape in SHAPES.items():
        found = steelyard.profile(
            f"{file}:{name}", shape=shape, runtime=RUNTIMES, budget=asked.budget, batches=(8,)
        ).to_json()
        figures[name] = {
            runtime: {
                "metrics": each["metrics"],
                "parity": each["parity"],
                # Where the file lies is nobody's business.
                "error": each["error"] and each["error"].replace(f"{file.parent}/", ""),
                "noise": each["notes"].get("noise"),
            }
            for runtime, each in found["runtimes"].items()
        }
    write_result(asked.json, command_line(), figures)
    print(table(figures))


def table(figures: dict[str, Any]) -> str:
    """The table for people: p50, and the largest difference from torch."""
    lines = ["| model | " + " | ".join(RUNTIMES) + " |", "| --- " * (len(RUNTIMES) + 1) + "|"]
    for name, runtimes in figures.items():
        lines.append(f"| {name} | " + " | ".join(cell(runtimes[each]) for each in RUNTIMES) + " |")
    return "\n".join(lines)


def cell(found: dict[str, Any]) -> str:
    if found["error"] is not None:
        return json.dumps(found["error"])
    p50, parity = found["metrics"]["latency_p50_s"], found["parity"]
    low, high = (f"{1e6 * p50[end]:.1f}" for end in ("low", "high"))
    return (
        f"{1e6 * p50['value']:.1f} [{low}, {high}] µs, {found['metrics']['size_bytes']['value'] / 1e3:.0f} kB, "
        f"off by {parity['max_abs']:.1e}, {parity['flips']} flips"
    )


if __name__ == "__main__":
    main()
