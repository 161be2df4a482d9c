"""Writes the figures of benchmarks/results/estimate.json into docs/cost-model.md, between its two marks."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures: written by benchmarks/estimate_page.py -->", "<!-- end of figures -->"


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def row(name: str, found: dict[str, Any]) -> str:
    parts = [
        name,
        str(found["n"]),
        percent(found["within_10"]),
        percent(found["within_20"]),
        f"{100 * found['median_error']:.1f} %",
        f"{100 * found['bias']:+.1f} %",
        f"{found['rank_correlation']:.3f}",
    ]
    if "coverage_90" in found:
        parts += [percent(found["coverage_90"]), percent(found["coverage_95"]), f"±{percent(found['half_width_90'])}"]
    else:
        parts += ["", "", ""]
    return "| " + " | ".join(parts) + " |"


def figures_of(plain: dict[str, Any]) -> str:
    """The section as text."""
    figures, environment = plain["figures"], plain["environment"]
    cost, build = figures["cost"], figures["build"]
    families = [row(name, each) for name, each in figures["families"].items()]
    types = [row(name, each) for name, each in figures["types"].items()]
    alone = [
        row(f"{label} alone", figures[key]["all"])
        for label, key in (("MACs", "macs_alone"), ("parameters", "parameters_alone"))
    ]
    spans = [
        f"{min(each['rank_correlation'] for each in figures[key]['families'].values()):.2f}"
        for key in ("macs_alone", "parameters_alone")
    ]
    built = (
        f"The build used for this took {build['wall_s']:.0f} s"
        if not build["reused"]
        else "A cost model that was built before was used"
    )
    return "\n".join(
        [
            f"`{plain['command']}` on {environment['processor']}, {environment['cores']} cores, ONNX Runtime "
            f"{environment['versions'].get('onnxruntime', '?')}: {figures['networks']} networks that took no part "
            f"in learning, learned from {figures['learned_from']} micro-models. {built}; "
            f"{build['folder_bytes'] / 1e6:.0f} MB are kept.",
            "",
            "| networks | n | within 10 % | within 20 % | median error | bias | rank correlation | 90 % interval "
            "holds | 95 % interval holds | its half width |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            row("all", figures["all"]),
            *types,
            *families,
            row("all, told of other families", figures["told_of_other_families"]["all"]),
            *alone,
            "",
            f"The rank correlation within the worst family is {spans[0]} by MACs and {spans[1]} by parameters.",
            "",
            f"An estimate takes {cost['estimate_s']:.2f} s with the start of its process and "
            f"{cost['estimate_running_process_s']:.3f} s in one that runs already; a measurement by the full protocol "
            f"takes {cost['measurement_s']:.1f} s. The ratio is 1/{1 / cost['ratio']:.0f} in the middle and "
            f"1/{1 / cost['largest_ratio']:.0f} at worst.",
        ]
    )


def main() -> None:
    plain = json.loads((ROOT / "benchmarks/results/estimate.json").read_text(encoding="utf-8"))
    page = ROOT / "docs/cost-model.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{figures_of(plain)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
