"""Which limit decided: without which one another candidate would have been the cheapest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelyard.core.goal import Goal
from steelyard.core.outcome import Deciding
from steelyard.core.quantity import Unit
from steelyard.select.choose import SAME

PROOF = "proof"
"""What a candidate lacks that is good enough on the validation rows, but not proved."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A candidate as the question of what decided sees it.

    `missed` are the limits that it does not meet, `PROOF` among them where a proof is lacking; `cost` is what is
    minimised.
    """

    key: str
    name: str
    cost: float
    missed: frozenset[str]


def deciding(
    contenders: Sequence[Contender], chosen: str, asked: Mapping[str, tuple[float, Unit]]
) -> tuple[Deciding, ...]:
    """The limits without which alone another candidate would have been chosen, in the order of `asked`.

    A limit that only candidates miss which are no cheaper, or which miss another limit too, decided nothing. Where the
    chosen one misses a limit itself (the goal is infeasible), any candidate that meets all others counts.

    Args:
        contenders: every confirmed candidate but the baseline.
        chosen: the key of the chosen one.
        asked: the limits by name, each with what was asked and its unit.
    """
    mine = next((each for each in contenders if each.key == chosen), None)
    found = []
    for limit, (at, unit) in asked.items():
        only = [each for each in contenders if each.missed == {limit} and each.key != chosen]
        if mine is not None and not mine.missed:
            only = [each for each in only if each.cost < mine.cost * (1 - SAME)]
        if not only:
            continue
        best = min(only, key=lambda each: (each.cost, each.key))
        times = mine.cost / best.cost if mine is not None and best.cost > 0 else None
        found.append(Deciding(limit, at, unit, len(only), best.key, best.name, times))
    return tuple(found)


def asked_of(goal: Goal) -> dict[str, tuple[float, Unit]]:
    """The limits of a goal by name: those on costs, the drop, the quality, and the proof."""
    asked: dict[str, tuple[float, Unit]] = {limit.option: (limit.at_most, limit.unit) for limit in goal.limits}
    asked["max_drop"] = (goal.max_drop, "1")
    if goal.min_quality is not None:
        asked["min_quality"] = (goal.min_quality, "1")
    return {**asked, PROOF: (goal.confidence, "1")}
