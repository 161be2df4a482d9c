"""Writes what nas_tables.py found into docs/search.md, between its marks."""

from typing import Any

from measuring_page import ROOT, between, machine, result

NAMES = {
    "macro": "NAS-Bench-Macro, CIFAR-10, FLOPs",
    "cora": "NAS-Bench-Graph, Cora, latency",
    "citeseer": "NAS-Bench-Graph, CiteSeer, latency",
    "photo": "NAS-Bench-Graph, Photo, latency",
    "arxiv": "NAS-Bench-Graph, arXiv, latency",
}
METHODS = ("proposer", "proposer_costs_known", "nsga2", "nsga2_default_population", "random")


def main() -> None:
    mark = "<!-- figures: written by benchmarks/nas_page.py -->"
    between(ROOT / "docs" / "search.md", mark, table(result("nas-tables")))


def table(plain: dict[str, Any]) -> str:
    """A row a table."""
    figures = plain["figures"]
    lines = [
        "| table, cost | architectures | proposer | costs known | NSGA-II, population 12 | population 50 | random "
        "| share of the better NSGA-II's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in figures["tables"].items():
        cells = [cell(found["methods"][each], figures["cap"]) for each in METHODS]
        share = found["ratios"]["proposer"][found["better_nsga2"]]
        low, high = share["interval_95"]
        lines.append(
            f"| {NAMES[name]} | {found['architectures']:,} | {' | '.join(cells)} "
            f"| {share['ratio']:.2f} [{low:.2f}, {high:.2f}] |"
        )
    command = plain["command"].split(" --")[0]
    told = f"Medians of {figures['seeds']} seeds with 95 % bootstrap intervals. `{command}`"
    return "\n".join([*lines, "", f"{told}: {machine(plain['environment'])}."])


def cell(found: dict[str, Any], cap: int) -> str:
    """The median and its interval; what was cut off by the cap is told as more than that."""
    values = [found["median"], *found["interval_95"]]
    if found["capped"]:
        middle, low, high = (f">{cap:,}" if value >= cap else f"{value:,.0f}" for value in values)
        cut = f", {found['capped']} cut off"
    else:
        middle, low, high = (f"{value:,.0f}" for value in values)
        cut = ""
    return f"{middle} [{low}, {high}]{cut}"


if __name__ == "__main__":
    main()
