"""Writes what early stopping saves into docs/search.md."""

from typing import Any

from measuring_page import ROOT, between, machine, result

MARK = "<!-- figures: written by benchmarks/halving_page.py -->"


def main() -> None:
    between(ROOT / "docs" / "search.md", MARK, table(result("halving")))


def table(plain: dict[str, Any]) -> str:
    """One row a strategy and table."""
    lines = [
        "| table, strategy | candidates stopped | seconds of training saved | hypervolume lost | another choice "
        "| stopped ones that would be on the front, be chosen |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in plain["figures"].items():
        for strategy, told in found.items():
            if strategy != "candidates":
                lines.append(f"| {name}, {strategy} | {' | '.join(cells(told))} |")
    seeds = {told["seeds"] for found in plain["figures"].values() for told in found.values() if isinstance(told, dict)}
    where, command = machine(plain["environment"]), plain["command"].split(" --")[0]
    told = (
        f"Medians of {', '.join(map(str, sorted(seeds)))} seeds, with the least and the largest, each with and without "
        f"early stopping on the same table of recorded curves. `{command}`: {where}."
    )
    return "\n".join([*lines, "", told])


def cells(told: dict[str, Any]) -> list[str]:
    """The figures of one row."""
    stopped, saved, lost = (told[each] for each in ("stopped", "saved_share", "volume_lost"))
    return [
        f"{stopped['median']:g} [{stopped['low']:g}, {stopped['high']:g}]",
        f"{saved['median']:.1%} [{saved['low']:.1%}, {saved['high']:.1%}]",
        f"{lost['median']:.4f} [{lost['low']:.4f}, {lost['high']:.4f}]",
        f"{told['other_choice']} of {told['seeds']} runs",
        f"{told['stopped_on_front']}, {told['stopped_that_would_be_chosen']}",
    ]


if __name__ == "__main__":
    main()
