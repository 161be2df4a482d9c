"""How many test rows a proof needs, said before and after the search."""

import math

import numpy as np
from scipy import special

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.select.quality import right

_POWER = 0.8
"""The chance of a proof that the rows should give: the convention of Cohen, Statistical Power Analysis for the
Behavioral Sciences, 1988."""


def samples_needed(epsilon: float, confidence: float, discordance: float, drop: float) -> int | None:
    """Test rows that prove an absolute drop of accuracy below epsilon about four times out of five.

    The larger of the rows below which nothing can be proved, ln(1 − c) / ln(1 − eps), and the usual normal
    approximation (z_c + z_.8)² q / (eps − d)². Where the discordance is not much larger than epsilon the approximation
    is short: by exact enumeration at eps .01 and no drop, 806 rows are needed at q .01 (it says 619) and 6,200 at
    q .10 (it says 6,183).

    Args:
        epsilon: the permitted drop, absolute.
        confidence: one-sided.
        discordance: the share q of rows that only one of the two gets right.
        drop: the expected drop d, at most q in size.

    Returns:
        A number of rows, or None where no number would do: d >= epsilon, or epsilon is 0 and d too.

    Raises:
        InputError: if an argument lies outside its range.

    References:
        R. J. Connor, Sample size for testing differences in proportions for the paired-sample design, Biometrics, 1987.
    """
    if not (0 <= epsilon < 1 and 0 < confidence < 1):
        raise InputError(
            f"'epsilon' must lie in [0, 1) and 'confidence' in (0, 1), got {epsilon!r} and {confidence!r}."
        )
    if not (0 <= discordance <= 1 and abs(drop) <= discordance):
        raise InputError(
            f"'discordance' must lie in [0, 1] and be at least the size of the drop, got {discordance!r} and {drop!r}."
        )
    if drop >= epsilon:
        return None
    z = float(special.ndtri(confidence)) + float(special.ndtri(_POWER))
    rows = z**2 * discordance / (epsilon - drop) ** 2
    least = math.log(1 - confidence) / math.log(1 - epsilon) if epsilon > 0 else 0.0
    return math.ceil(max(rows, least, 1.0) - 1e-9)


def provable_floor(n: int, confidence: float) -> float:
    """The drop below which nothing can be proved with n rows, even if no row differs: 1 − (1 − c)^(1/n).

    Raises:
        InputError: if there is no row, or the confidence lies outside (0, 1).
    """
    if n < 1 or not 0 < confidence < 1:
        raise InputError(f"'n' must be at least 1 and 'confidence' in (0, 1), got {n!r} and {confidence!r}.")
    return float(-np.expm1(np.log1p(-confidence) / n))


def discordance(reference_outputs: Array, candidate_outputs: Array, targets: Array) -> tuple[float, float]:
    """The share of rows that only one of two classifiers gets right, and the drop of accuracy.

    Args:
        reference_outputs: (n, classes).
        candidate_outputs: (n, classes) on the same rows.
        targets: (n,) class indices.

    Returns:
        q and d as `samples_needed` takes them.
    """
    reference, candidate = right(reference_outputs, targets), right(candidate_outputs, targets)
    # Both from counts: rounding must not make the drop larger than the discordance.
    lost, won = int((reference & ~candidate).sum()), int((candidate & ~reference).sum())
    return (lost + won) / len(reference), (lost - won) / len(reference)
