"""Mean and standard deviation of a few figures, with intervals that assume them normal."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from steelyard.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Spread:
    """What a few figures tell of the distribution they come from: mean and standard deviation, each with an interval.

    The intervals are exact where the figures are normal, and as wide as two figures deserve: with n of 2 the upper end
    of the standard deviation is 32 times the value.
    """

    mean: float
    mean_low: float
    mean_high: float
    sd: float
    sd_low: float
    sd_high: float
    n: int


def spread(values: Sequence[float], confidence: float = 0.95) -> Spread:
    """Mean (Student's t) and standard deviation (chi-square) with two-sided intervals.

    Args:
        values: two or more, finite, independent.
        confidence: of each interval.

    Returns:
        The standard deviation divides by n − 1.

    Raises:
        InputError: if there are fewer than two values, or one is not finite.

    References:
        Student: The probable error of a mean, Biometrika 1908. Casella, Berger: Statistical Inference, 2002, section
            9.2 (the interval of a normal variance).
    """
    if len(values) < 2 or not all(map(math.isfinite, values)):
        raise InputError(f"'values' must be two or more finite numbers, got {list(values)!r}.")
    n, tail = len(values), (1 - confidence) / 2
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(special.stdtrit(n - 1, 1 - tail)) * sd / math.sqrt(n)
    # A chi-square quantile is twice that of the gamma distribution with half its degrees of freedom.
    low, high = (sd * math.sqrt((n - 1) / (2 * special.gammaincinv((n - 1) / 2, p))) for p in (1 - tail, tail))
    return Spread(mean, mean - half, mean + half, sd, low, high, n)
