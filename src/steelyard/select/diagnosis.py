"""Does a model under-fit or over-fit? Read from its quality on training and validation rows."""

import math
from dataclasses import dataclass
from typing import Literal

from steelyard.core.protocols import Metric
from steelyard.core.quantity import Quantity
from steelyard.select.quality import loss

Verdict = Literal["under-fits", "over-fits", "balanced"]

_ABSOLUTE = 0.01
_RELATIVE = 0.05
"""Differences below 0.01 of a metric in [0, 1], or 5 % of any other, are not worth a word, however sure."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict, the gap between training and validation (positive: worse on validation), and one sentence."""

    verdict: Verdict
    gap: float
    sentence: str


def diagnose(train_quality: Quantity, valid_quality: Quantity, best_valid: float, metric: Metric) -> Diagnosis:
    """Whether a model under-fits, over-fits or neither.

    Over-fits: validation is worse than training by more than chance and by more than is worth a word. Under-fits:
    even on its own training rows it is worse than the best model is on validation rows, by the same rule. More than
    chance: the difference exceeds the square root of the sum of the squared half-widths of the two 95 % intervals.
    Where both hold, the larger difference gives the verdict.

    Args:
        train_quality: on rows it was trained on; without an interval it counts as exact.
        valid_quality: on validation rows.
        best_valid: the best validation quality of the family or the study.
        metric: tells which way is better.

    References:
        Geman, Bienenstock, Doursat: Neural networks and the bias/variance dilemma, Neural Computation, 1992.
    """
    train, valid = loss(metric, train_quality.value), loss(metric, valid_quality.value)
    gap, shortfall = valid - train, train - loss(metric, best_valid)
    worth = _ABSOLUTE if metric.in_unit_range else _RELATIVE * abs(best_valid)
    chance = math.hypot(_half_width(train_quality), _half_width(valid_quality))
    over_fits = gap > max(worth, chance)
    under_fits = shortfall > max(worth, _half_width(train_quality))
    seen = (
        f"{metric.name} is {train_quality.value:.4g} on training and {valid_quality.value:.4g} on validation rows, "
        f"a gap of {gap:.4g}"
    )
    if under_fits and (not over_fits or shortfall >= gap):
        return Diagnosis("under-fits", gap, f"Under-fits: {seen}; the best model reaches {best_valid:.4g}.")
    if over_fits:
        return Diagnosis("over-fits", gap, f"Over-fits: {seen}, more than chance.")
    return Diagnosis("balanced", gap, f"Balanced: {seen}.")


def _half_width(quantity: Quantity) -> float:
    if quantity.low is None or quantity.high is None:
        return 0.0
    return (quantity.high - quantity.low) / 2
