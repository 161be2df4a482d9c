"""Exact limits and tests of a proportion.

All limits are Clopper-Pearson: they hold at every n, at the price of some width. Wilson's interval is narrower and
misses more often than it says for proportions near 0 and 1, where accurate models live, so it is not used.

References:
    Clopper, Pearson: The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika,
        1934.
    Brown, Cai, DasGupta: Interval estimation for a binomial proportion, Statistical Science, 2001.
"""

from scipy import special

from steelyard.core.errors import InputError


def lower(k: int, n: int, confidence: float) -> float:
    """The one-sided lower limit of a proportion after k successes in n trials; 0 for k = 0.

    Raises:
        InputError: if not 0 <= k <= n with n >= 1, or the confidence lies outside (0, 1).
    """
    _check(k, n, confidence)
    return 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, 1 - confidence))


def upper(k: int, n: int, confidence: float) -> float:
    """The one-sided upper limit of a proportion after k successes in n trials; 1 for k = n.

    Raises:
        InputError: if not 0 <= k <= n with n >= 1, or the confidence lies outside (0, 1).
    """
    _check(k, n, confidence)
    return 1.0 if k == n else float(special.betainccinv(k + 1, n - k, 1 - confidence))


def two_sided(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided interval: both one-sided limits at half the error each.

    Raises:
        InputError: if not 0 <= k <= n with n >= 1, or the confidence lies outside (0, 1).
    """
    _check(k, n, confidence)
    each = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(special.betaincinv(k, n - k + 1, each))
    high = 1.0 if k == n else float(special.betainccinv(k + 1, n - k, each))
    return low, high


def p_at_least(k: int, n: int, proportion: float) -> float:
    """P(K >= k): the p-value of "the true proportion is at most `proportion`", small when k is too many for it.

    Raises:
        InputError: if not 0 <= k <= n with n >= 1, or the proportion lies outside [0, 1].
    """
    _check(k, n, 0.5)
    _check_proportion(proportion)
    return 1.0 if k == 0 else float(special.betainc(k, n - k + 1, proportion))


def p_at_most(k: int, n: int, proportion: float) -> float:
    """P(K <= k): the p-value of "the true proportion is at least `proportion`", small when k is too few for it.

    Raises:
        InputError: if not 0 <= k <= n with n >= 1, or the proportion lies outside [0, 1].
    """
    _check(k, n, 0.5)
    _check_proportion(proportion)
    return 1.0 if k == n else float(special.betaincc(k + 1, n - k, proportion))


def _check(k: int, n: int, confidence: float) -> None:
    if n < 1 or not 0 <= k <= n:
        raise InputError(f"'k' must be a count from 0 to n, and n at least 1, got {k!r} and {n!r}.")
    if not 0 < confidence < 1:
        raise InputError(f"'confidence' must lie between 0 and 1, got {confidence!r}.", field="confidence")


def _check_proportion(proportion: float) -> None:
    if not 0 <= proportion <= 1:
        raise InputError(f"'proportion' must lie in [0, 1], got {proportion!r}.")
