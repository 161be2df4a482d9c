"""Writes what search_replay.py found into docs/search.md, between its marks, and draws its curves."""

from pathlib import Path
from statistics import median
from typing import Any

import altair as alt
import polars as pl
from measuring_page import ROOT, between, machine, result

NAMES = {"mnist": "mnist, cnn", "cifar10": "cifar10, resnet", "fsdd": "fsdd, cnn"}
PICTURE = ROOT / "docs" / "images" / "search-hypervolume.svg"
MOST_S = 3600
INTRODUCTION = (
    "![Hypervolume over time of each strategy on three recorded spaces](images/search-hypervolume.svg)",
    "",
    "Every candidate of three spaces was trained from scratch once, by one protocol. The genetic algorithm, NSGA-II",
    "and random search are replayed on these tables by their seconds (20 seeds); `elastic` runs live, all its",
    "training and measuring on the clock ({seeds} seeds each). Hypervolume is of (quality from the reference's less",
    "20 points, latency to 1.2 of the reference's), as a share of the whole table's. *Recorded* scores what `elastic`",
    "confirmed by the qualities of training from scratch, *own* by those that it reached itself. What was recorded was",
    "trained with both cores busy, so that its seconds are up to a third longer than those of a live run; other work",
    "ran beside the live runs at a low priority. The last table is the proposer alone, each candidate trained from",
    "scratch, by recorded seconds and qualities.",
    "",
)
FIRST = (
    "space",
    "candidates, seconds to train all",
    "`ga` after 15 min",
    "`ga` after 60 min",
    "`nsga2` after 15 min",
    "`random` after 15 min",
    "`elastic` without shared weights after 15 min (3 seeds)",
)
SECOND = (
    "space",
    "scored by",
    "`elastic` holds `ga`'s 15 min after",
    "its 60 min after",
    "`elastic` after 3 min",
    "after 4 min",
    "rank correlation, 24 candidates",
)
MINUTES = (4, 6, 8, 10, 15)
"""When the proposer without shared weights is looked at."""
THIRD = (
    "space",
    *(f"from scratch after {minutes} min" for minutes in MINUTES),
    "`elastic` after 4 min, recorded; from scratch holds it after",
    "`elastic` after 4 min, own; from scratch holds it after",
)


def main() -> None:
    mark = "<!-- figures: written by benchmarks/search_page.py -->"
    plain = result("search")
    draw(plain["figures"], PICTURE)
    between(ROOT / "docs" / "search.md", mark, told(plain))


def told(plain: dict[str, Any]) -> str:
    """The tables in words."""
    figures = plain["figures"]
    seeds = min(len(found["agreement"]) for found in figures.values())
    parts = [*(line.replace("{seeds}", str(seeds)) for line in INTRODUCTION), *headed(FIRST)]
    for name, found in figures.items():
        by = found["strategies"]
        cells = [by["ga"]["at_900_s"], by["ga"]["at_3600_s"]]
        cells += [by[each]["at_900_s"] for each in ("nsga2", "random", "elastic without shared weights")]
        shown = " | ".join(f"{each['median']:.3f} [{each['low']:.3f}, {each['high']:.3f}]" for each in cells)
        parts.append(f"| {NAMES[name]} | {found['candidates']}, {found['table_s']:,.0f} s | {shown} |")
    parts += ["", *headed(SECOND)]
    for name, found in figures.items():
        for score in ("recorded", "own"):
            early, late = (found["elastic"][f"{score}, ga at {mark} s"] for mark in (900, 3600))
            cells = [
                when(early["times_s"]),
                when(late["times_s"]),
                held(early["held_at_a_fifth_of_15_min"]),
                held(late["held_at_a_fifteenth_of_60_min"]),
                ", ".join(f"{each['rank_correlation_24']:.2f}" for each in found["agreement"]),
            ]
            parts.append(f"| {NAMES[name]} | {score} | {' | '.join(cells)} |")
    parts += ["", *headed(THIRD), *(paying(name, found) for name, found in figures.items())]
    return "\n".join([*parts, "", f"`{plain['command']}`: {machine(plain['environment'])}."])


def paying(name: str, found: dict[str, Any]) -> str:
    """What the proposer holds when, each candidate trained from scratch, and when it holds what live runs did."""
    alone = [(at, middle) for at, _, middle, _ in found["curves"]["elastic without shared weights"]]
    cells = [f"{max(middle for at, middle in alone if at <= 60 * minutes):.3f}" for minutes in MINUTES]
    for score in ("recorded", "own"):
        volume = median(found["elastic"][f"{score}, ga at 3600 s"]["held_at_a_fifteenth_of_60_min"])
        after = next((at for at, middle in alone if middle >= volume), None)
        cells.append(f"{volume:.3f}, {when([after])}")
    return f"| {NAMES[name]} | {' | '.join(cells)} |"


def headed(titles: tuple[str, ...]) -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(titles)} |", f"| {' | '.join('---' for _ in titles)} |"]


def when(times: list[float | None]) -> str:
    """Seconds of each seed; a dash where it never held as much."""
    return ", ".join("–" if each is None else f"{each:.0f} s" for each in times)


def held(volumes: list[float]) -> str:
    """Shares of each seed."""
    return ", ".join(f"{each:.3f}" for each in volumes)


def draw(figures: dict[str, Any], path: Path) -> None:
    """One panel a space: least, median and largest over the seeds, the time on a log scale."""
    rows = [
        {"space": NAMES[task], "strategy": name, "minutes": at / 60, "least": low, "median": middle, "most": high}
        for task, found in figures.items()
        for name, curve in found["curves"].items()
        for at, low, middle, high in curve
        if 20 <= at <= MOST_S and middle > 0
    ]
    base = alt.Chart(pl.DataFrame(rows)).encode(
        x=alt.X("minutes:Q", scale=alt.Scale(type="log", domain=[0.5, 60]), title="minutes"),
        color=alt.Color("strategy:N", title=None, legend=alt.Legend(orient="bottom", columns=3)),
    )
    share = alt.Scale(domain=[0.6, 1.02], clamp=True)
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("least:Q", scale=share, title="hypervolume, share of the table's"), y2="most:Q"
    )
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("median:Q", scale=share))
    path.parent.mkdir(exist_ok=True)
    alt.layer(band, line).properties(width=240, height=220).facet(column=alt.Column("space:N", title=None)).save(
        str(path)
    )


if __name__ == "__main__":
    main()
