"""What the score columns mean, their units and their faults; words for the report, the card and the documentation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """A score column: its formula, its unit, and what it is not."""

    name: str
    title: str
    formula: str
    unit: str
    caveat: str


SCORES: dict[str, Definition] = {
    "knee": Definition(
        "knee",
        "knee point",
        "1 for the point of the front whose loss of quality, latency and size, each scaled to 0…1 over the front, "
        "have the smallest sum; 0 for all others",
        "none (0 or 1)",
        "Depends on what else was measured: one more extreme point moves it. It knows no permitted drop.",
    ),
    "weighted": Definition(
        "weighted",
        "weighted choice",
        "weighted sum of quality and cost, each scaled to 0…1 over the points",
        "none (0…1)",
        "The weights are a matter of taste, and a weighted sum can't reach the hollow parts of a front.",
    ),
    "E": Definition(
        "E",
        "efficiency score E",
        "E = (T + R/V) / S = (S·D + R) / (S·V), with scale S (parameters), compute R (operations), training time "
        "T = S·D/V (seconds), inference speed V and data volume D (rows)",
        "seconds plus operations·seconds, per parameter: it adds figures of different units",
        "Shown as published, never used to choose: it falls strictly with S, rises when training or inference gets "
        "slower, and knows no quality.",
    ),
}
"""Definitions by the name of the score."""

ALIASES = {"efficiency": "E", "e": "E", "efficiency_score": "E", "knee_point": "knee", "weighted_choice": "weighted"}
"""Other spellings of the same scores."""


def definition(name: str) -> Definition | None:
    """The definition of a score by its name, or None where there is none."""
    return SCORES.get(ALIASES.get(name, name))
