"""Write the figures of `rl.py` into docs/reinforcement-learning.md, between its marks."""

import argparse
import json
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures of benchmarks/rl.py -->", "<!-- end of figures -->"


def table(result: dict[str, Any]) -> str:
    """One row for each cell and seed."""
    lines = [
        "| task | family | scale | seed | return (95 % interval) | episodes | file | learned in (processor) | steps "
        "| solved |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for cell in result["figures"]["cells"]:
        earned = cell["return"]
        scale = ", ".join(f"{name} {value}" for name, value in cell["scale"].items())
        solved = {True: "yes", False: "no", None: "—"}[cell["is_solved"]]
        lines.append(
            f"| {cell['task']} | {cell['family']} | {scale} | {cell['seed']} | {earned['value']:.4g} "
            f"({earned['low']:.4g} to {earned['high']:.4g}) | {earned['n']} | {cell['size_bytes']:,} B | "
            f"{cell['train_s']:.0f} s ({cell['cpu_s']:.0f} s) | {cell['steps']:,.0f} | {solved} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/rl.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/reinforcement-learning.md"))
    asked = parser.parse_args()
    text = asked.page.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    figures = table(json.loads(asked.json.read_text(encoding="utf-8")))
    asked.page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
