"""Writes the figures of benchmarks/results/language-model.json into docs/language-models.md, between its two marks."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures: written by benchmarks/language_models_page.py -->", "<!-- end of figures -->"


def row(name: str, found: dict[str, Any]) -> str:
    """One line: perplexity, its rise, bytes and latency."""
    quality, rise, ratio = found["perplexity"], found["rise"], found["times_faster"]
    faster = "1" if ratio is None else f"{ratio['value']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
    parts = [
        name,
        f"{quality['value']:.3f} ({quality['low']:.3f} to {quality['high']:.3f})",
        "" if ratio is None else f"{100 * rise['value']:+.2f} %",
        f"{found['size_bytes'] / 1e6:.2f} MB",
        f"{1e3 * found['latency_p50_s']['value']:.2f} ms",
        faster,
    ]
    return "| " + " | ".join(parts) + " |"


def answer(name: str, run: dict[str, Any]) -> str:
    """One sentence on a run of the whole command."""
    if run["status"] == "refused":
        return f"- {name}: refused: {run['message']}"
    steps = ", ".join(
        " ".join([each["name"], *(f"{key} {value}" for key, value in each.items() if key != "name")])
        for each in run["steps"]
    )
    drop = run["drop"]
    high = (
        "" if drop["high"] is None else f", at most {100 * drop['high']:.2f} % at {drop['confidence']:.0%} confidence"
    )
    return (
        f"- {name}: {run['status']}, by {steps or 'no step'}; perplexity rises by {100 * drop['value']:.2f} %{high}; "
        f"{run['times_smaller']} times smaller, {run['times_faster']} times faster."
    )


def figures_of(plain: dict[str, Any]) -> str:
    """The section as text."""
    figures, environment = plain["figures"], plain["environment"]
    model, learned = figures["model"], figures["training"]
    return "\n".join(
        [
            f"`{plain['command']}` on {environment['processor']}, one thread, batch 1, ONNX Runtime "
            f"{environment['versions'].get('onnxruntime', '?')}: {model['parameters']:,} parameters, windows of "
            f"{model['window']}, {learned['steps']:,} steps of training in {learned['processor_s']:.0f} processor "
            f"seconds, {model['tokens']['test']:,} tokens to judge. In brackets 95 % intervals.",
            "",
            "| weights | perplexity | rise | file | a window takes | times faster |",
            "| --- | --- | --- | --- | --- | --- |",
            *(row(name, found) for name, found in figures["alone"].items()),
            "",
            "The whole command, with the budget that the call above names:",
            "",
            *(answer(name, run) for name, run in figures["runs"].items()),
        ]
    )


def main() -> None:
    plain = json.loads((ROOT / "benchmarks/results/language-model.json").read_text(encoding="utf-8"))
    page = ROOT / "docs/language-models.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{figures_of(plain)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
