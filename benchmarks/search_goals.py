"""Ten goals asked of one study, and what each costs beside a search of its own.

The first search shares weights; the nine other goals (drops permitted, limits, costs minimised) are asked of the same
study. Told are the seconds of each answer, and for each goal the minimised cost of the answer against that of a
search of its own with the same budget.
"""

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

from environment import command_line, write_result

import steelyard
from steelyard.core.goal import Budget, Goal
from steelyard.core.outcome import Outcome

GOALS = (
    Goal(max_drop=0.02),
    Goal(max_drop=0.01),
    Goal(max_drop=0.03),
    Goal(max_drop=0.05),
    Goal(max_drop=0.1),
    Goal(max_drop=0.03, minimize="size"),
    Goal(max_drop=0.05, minimize="size"),
    Goal(max_drop=0.1, minimize="size"),
    Goal(max_drop=0.05, max_latency_s=2e-5),
    Goal(max_drop=0.05, max_size_bytes=1e5),
)


def ask(goal: Goal, out: Path, budget_s: float, seed: int) -> tuple[Outcome, float]:
    """The answer to a goal, and its seconds."""
    start = time.perf_counter()
    found = steelyard.find(
        "digits",
        model="cnn",
        strategy="elastic",
        goal=goal,
        budget=Budget(wall_s=budget_s),
        seed=seed,
        out=out,
    )
    return found, time.perf_counter() - start


def cost(found: Outcome, goal: Goal) -> float:
    """The minimised cost of the chosen model."""
    return found.chosen.metrics[goal.cost_metric].value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget-s", type=float, default=60.0)
    parser.add_argument("--own", type=int, default=len(GOALS), help="goals, spread evenly, with a search of their own")
    parser.add_argument("--out", type=Path, default=Path("steelyard-out") / "search-goals")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    answers = [ask(goal, asked.out / "shared", asked.budget_s, 0) for goal in GOALS]
    last = len(GOALS) - 1
    compared = {round(place * last / max(1, asked.own - 1)) for place in range(asked.own)}
    rows: list[dict[str, Any]] = []
    for number, (goal, (found, took_s)) in enumerate(zip(GOALS, answers, strict=True)):
        row: dict[str, Any] = {
            "goal": goal.to_json(),
            "took_s": round(took_s, 1),
            "status": found.status,
            "cost": cost(found, goal),
            "chosen": str(found.chosen.candidate),
        }
        if number in compared:
            own, own_s = ask(goal, asked.out / f"own-{number}", asked.budget_s, 0)
            row |= {"own_took_s": round(own_s, 1), "own_status": own.status, "own_cost": cost(own, goal)}
            row |= {"own_chosen": str(own.chosen.candidate), "ratio": round(row["cost"] / row["own_cost"], 3)}
        rows.append(row)
        print(row, flush=True)
    first, total = answers[0][1], sum(took_s for _, took_s in answers)
    figures = {"first_s": round(first, 1), "ten_s": round(total, 1), "ratio": round(total / first, 3), "goals": rows}
    write_result(asked.json, command_line(), figures)


if __name__ == "__main__":
    main()
