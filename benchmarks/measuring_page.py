"""Writes what the benchmarks of measuring found into README.md and docs/runtimes.md, between their marks."""

import json
from pathlib import Path
from typing import Any

from runtimes import RUNTIMES, cell

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
END = "<!-- end of figures -->"


def main() -> None:
    between(ROOT / "README.md", "<!-- figures: written by benchmarks/measuring_page.py -->", trusted())
    between(ROOT / "docs" / "runtimes.md", "<!-- figures: written by benchmarks/measuring_page.py -->", runtimes())


def between(page: Path, begin: str, text: str) -> None:
    """Put the text between the marks of a page."""
    before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise SystemExit(f"{page} lacks the marks {begin} and {END}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def result(name: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return plain


def trusted() -> str:
    """How far figures can be trusted, a row a question."""
    comparison, sessions, memory = result("comparison"), result("sessions"), result("memory")
    estimate = result("estimate")
    told = comparison["figures"]["summary"]
    same, five, ten = (told[name] for name in ("same", "five_percent", "ten_percent"))
    worst = {state: max(each["variation"] for each in models.values()) for state, models in sessions["figures"].items()}
    count = len(next(iter(sessions["figures"]["idle"].values()))["latency_p50_s"])
    apart = max(each["apart_bytes"] for each in memory["figures"].values())
    whole = estimate["figures"]["all"]
    rows = [
        (
            "One model compared with itself: how often is it called different?",
            f"{same['different']} of {same['pairs']} times, {same['median_wall_s']:.0f} s each",
            "benchmarks/comparison.py",
        ),
        (
            "Two models 5 % and 10 % apart: how often is that told?",
            f"{five['different']} of {five['pairs']} and {ten['different']} of {ten['pairs']} times",
            "benchmarks/comparison.py",
        ),
        (
            f"One model in {count} sessions: how much does p50 vary?",
            f"{100 * worst['idle']:.1f} %, with the other core busy {100 * worst['busy']:.1f} %",
            "benchmarks/sessions.py",
        ),
        (
            "Peak memory against what the kernel shows from outside: how far apart?",
            f"{apart / 1e6:.2f} MB at most",
            "benchmarks/memory.py",
        ),
        (
            f"Estimates of {whole['n']} unseen models: how near to the measurement?",
            f"{100 * whole['within_10']:.0f} % within 10 %, {100 * whole['within_20']:.0f} % within 20 %",
            "benchmarks/estimate.py",
        ),
    ]
    table = ["| question | answer | command |", "| --- | --- | --- |"]
    table += [f"| {question} | {answer} | `{command}` |" for question, answer, command in rows]
    environment = comparison["environment"]
    return "\n".join([*table, "", f"{machine(environment)}."])


def runtimes() -> str:
    """One model of each kind on every runtime."""
    plain = result("runtimes")
    lines = ["| model | " + " | ".join(RUNTIMES) + " |", "| --- " * (len(RUNTIMES) + 1) + "|"]
    for name, found in plain["figures"].items():
        lines.append(f"| {name} | " + " | ".join(cell(found[each]) for each in RUNTIMES) + " |")
    return "\n".join([*lines, "", f"`{plain['command']}`: {machine(plain['environment'])}."])


def machine(environment: dict[str, Any]) -> str:
    versions = environment["versions"]
    named = ", ".join(f"{name} {versions[name]}" for name in sorted(versions) if name != "steelyard")
    return f"{environment['processor']}, {environment['cores']} cores, Python {environment['python']}, {named}"


if __name__ == "__main__":
    main()
