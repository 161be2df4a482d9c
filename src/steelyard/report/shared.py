"""What shared weights were worth, in sentences."""

from collections.abc import Mapping
from typing import Any

from steelyard.core.outcome import Outcome
from steelyard.report.formatting import cleaned


def exploring_sentences(outcome: Outcome) -> tuple[str, ...]:
    """For each family that was explored: how many scales, in what time, and how far the estimates agree."""
    return tuple(_sentence(family, found) for family, found in outcome.exploring.items() if "refused" not in found)


def _sentence(family: str, found: Mapping[str, Any]) -> str:
    return " ".join((_of_scales(family, found), *_of_forms(found.get("forms"))))


def _of_forms(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    """How many forms were looked at, and how far that agrees; nothing where none were."""
    if not found or not found["explored"]:
        return ()
    text = f"{found['explored']} of their forms were looked at in {found['look_s']:.0f} s"
    if found["rank_correlation"] is None:
        return (f"{text}.",)
    return (
        f"{text}; of the {found['pairs']} that are confirmed the rank correlation is {found['rank_correlation']:.2f}.",
    )


def _of_scales(family: str, found: Mapping[str, Any]) -> str:
    text = (
        f"{cleaned(family)}: {found['explored']} scales were explored by weights that they share, trained "
        f"{found['train_s']:.0f} s"
    )
    if found["error"] is not None and found["rank_correlation"] is None:
        return f"{text}; the {found['pairs']} that are confirmed are all alike in quality."
    if found["rank_correlation"] is None:
        return f"{text}; too few of them are confirmed to tell how far the estimates agree."
    return (
        f"{text}; of the {found['pairs']} that are confirmed the estimates' rank correlation with the truth is "
        f"{found['rank_correlation']:.2f}, their error {found['error']:.3g}."
    )
