"""The bootstrap: studentised for means, BCa for any paired statistic, percentile for reported intervals.

None of these is exact: they hold as n grows. They see only what the sample holds, so a loss that is rare enough to be
absent from it is invisible to them; callers must ask for enough rows (see `unseen`).

References:
    Efron: Better bootstrap confidence intervals, Journal of the American Statistical Association, 1987 (BCa).
    Efron, Tibshirani: An Introduction to the Bootstrap, Chapman and Hall, 1993, chapters 12 to 14 and 16.
    Hall: The Bootstrap and Edgeworth Expansion, Springer, 1992 (why to studentise).
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import special

from steelyard.core.errors import InputError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Statistic = Callable[[Rows], float]
"""A figure of the rows whose numbers are given, some of them more than once."""

RESAMPLES = 10_000
"""For means: the Monte-Carlo error of a p-value near .05 is .002."""
BCA_RESAMPLES = 2_000
"""For statistics that must be computed anew on every resample: the error near .05 is .005."""
_UNITS = 1_000
"""More units than this are summed in this many random blocks first, which leaves the mean's skewness as it is."""
_CELLS = 2_000_000
"""Drawn at once: bounds the memory to some tens of megabytes."""
BLOCKS = 100
"""Blocks of the jackknife."""
_SHUFFLE = 1979
"""Any number: so that the jackknife needs no source of randomness and gives the same answer every time."""


class StudentisedMean:
    """Tests on the mean of weighted columns, E[columns @ weights] >= 0, from one set of resamples.

    Resampling is done once; each test costs O(resamples), so a limit can be found by trying many weights.

    References:
        Efron, Tibshirani: An Introduction to the Bootstrap, 1993, sections 12.5 and 16.4.
    """

    def __init__(self, columns: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> None:
        """Resample the units.

        Args:
            columns: (n, k), one row for each independent unit (row or group), all finite.
            rng: the source of randomness.
            resamples: how many.

        Raises:
            InputError: if there are fewer than two units.
        """
        if len(columns) < 2:
            raise InputError(f"a studentised bootstrap needs at least 2 units, got {len(columns)}.")
        self._units = len(columns)
        blocks = _in_blocks(np.asarray(columns, dtype=np.float64), rng)
        self._size, self._width = blocks.shape
        first, second = np.triu_indices(self._width)
        self._pairs = (first, second)
        everything = np.hstack([blocks, blocks[:, first] * blocks[:, second]])
        self._observed = everything.mean(axis=0)
        draws = [counts @ everything for counts in _multiplicities(self._size, resamples, rng)]
        self._resampled = np.vstack(draws) / self._size

    def p_value(self, weights: Floats) -> float:
        """The p-value of "the weighted mean is at least 0": small when it is proved negative.

        Args:
            weights: (k,) one for each column.

        Returns:
            A number in (0, 1], at least 1 / (resamples + 1). A resample without spread counts as extreme when its mean
            lies below the observed one: so rare losses make the test careful, not bold.
        """
        mean, spread = (float(each[0]) for each in self._moments(self._observed[None, :], weights))
        if mean >= 0:
            return 1.0
        means, spreads = self._moments(self._resampled, weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            studentised = np.nan_to_num((means - mean) / spreads, nan=0.0, posinf=np.inf, neginf=-np.inf)
            observed = mean / spread if spread > 0 else -np.inf
        return float((1 + np.count_nonzero(studentised <= observed)) / (1 + len(studentised)))

    def _moments(self, rows: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of columns @ weights, for each row of moments."""
        first, second = self._pairs
        products = weights[first] * weights[second] * np.where(first == second, 1.0, 2.0)
        means = rows[:, : self._width] @ weights
        squares = rows[:, self._width :] @ products
        variances = squares - means**2
        # Below the rounding of the sums there is no spread.
        rounding = 1e-14 * (np.abs(rows[:, self._width :]) @ np.abs(products))
        return means, np.sqrt(np.where(variances > rounding, variances, 0.0))


def unseen(n: int, share: float) -> float:
    """The probability that a loss on `share` of the population leaves no trace in n units: (1 − share)^n.

    A resampling p-value below it would claim more than the sample can show.
    """
    return float((1 - min(max(share, 0.0), 1.0)) ** n)


def bca(
    statistic: Statistic, strata: Rows, rng: np.random.Generator, resamples: int = BCA_RESAMPLES
) -> Callable[[float], float]:
    """A test of "the statistic is at least t", by the bias-corrected and accelerated bootstrap.

    Args:
        statistic: of the rows given; called `resamples` + 101 times. NaN counts as the worst, infinity.
        strata: (n,) the class of each row; rows are resampled within their class.
        rng: the source of randomness.
        resamples: how many.

    Returns:
        A function from t to the p-value: the level at which the one-sided upper BCa limit is t.

    References:
        Efron, Journal of the American Statistical Association, 1987, equations 3.8 and 6.6; the acceleration by a
        jackknife over 100 stratified blocks.
    """
    order = _stratified(strata)
    everyone = np.arange(len(strata))
    observed = _finite(statistic(everyone))
    draws = np.sort([_finite(statistic(rows)) for rows in _within(order, resamples, rng)])
    below = np.searchsorted(draws, observed, "left"), np.searchsorted(draws, observed, "right")
    bias = _quantile(float(sum(below)) / 2, resamples)
    left_out = np.array([_finite(statistic(rows)) for rows in _leaving_out(order, BLOCKS)])
    centred = left_out.mean() - left_out if np.all(np.isfinite(left_out)) else np.zeros(1)
    scale = float(np.sum(centred**2)) ** 1.5
    acceleration = float(np.sum(centred**3)) / (6 * scale) if scale > 0 else 0.0

    def p_value(t: float) -> float:
        if observed >= t:
            return 1.0
        # Resamples equal to t lie on the side of the hypothesis.
        shifted = _quantile(float(np.searchsorted(draws, t, "left")), resamples) - bias
        slope = 1 + acceleration * shifted
        z = shifted / slope - bias if slope > 0 else np.copysign(np.inf, shifted)
        return float(max(special.ndtr(-z), 1 / (resamples + 1)))

    return p_value


def percentile_interval(
    statistic: Statistic, strata: Rows, rng: np.random.Generator, resamples: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """The percentile interval of a statistic; None where no resample gives a finite figure.

    Args:
        statistic: of the rows given.
        strata: (n,) the class of each row; rows are resampled within their class (all zeros: freely).
        rng: the source of randomness.
        resamples: how many.
        confidence: two-sided.

    References:
        Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13.
    """
    figures = np.array([statistic(rows) for rows in _within(_stratified(strata), resamples, rng)])
    figures = figures[np.isfinite(figures)]
    if not len(figures):
        return None
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def jackknife_error(statistic: Statistic, strata: Rows, blocks: int = BLOCKS) -> float:
    """The standard error of a statistic, by leaving out each of up to `blocks` stratified blocks, always the same.

    References:
        Efron, Tibshirani: An Introduction to the Bootstrap, 1993, section 11.5 (the grouped jackknife).
    """
    figures = np.array([statistic(rows) for rows in _leaving_out(_stratified(strata), blocks)])
    figures = figures[np.isfinite(figures)]
    count = len(figures)
    return float(np.sqrt((count - 1) * figures.var())) if count > 1 else float("inf")


def _in_blocks(columns: Floats, rng: np.random.Generator) -> Floats:
    if len(columns) <= _UNITS:
        return columns
    shuffled = columns[rng.permutation(len(columns))]
    return np.add.reduceat(shuffled, np.linspace(0, len(columns), _UNITS, endpoint=False).astype(np.int64), axis=0)


def _multiplicities(size: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each unit is drawn, (some resamples, size) at a time."""
    rows = max(1, _CELLS // size)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(0, size, (count, size), dtype=np.int32) + size * np.arange(count, dtype=np.int32)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).astype(np.float64)


def _stratified(strata: Rows) -> list[Rows]:
    """The rows of each class."""
    order = np.argsort(strata, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(strata[order])) + 1)


def _within(classes: list[Rows], resamples: int, rng: np.random.Generator) -> Iterator[Rows]:
    for _ in range(resamples):
        yield np.concatenate([rows[rng.integers(0, len(rows), len(rows))] for rows in classes])


def _leaving_out(classes: list[Rows], most: int) -> Iterator[Rows]:
    """All rows but one block, for each block; dealing rows out class by class keeps blocks alike.

    Rows are shuffled first, always the same way: a file's order (all mistakes at its end) must not fill some blocks.
    """
    rng = np.random.default_rng(_SHUFFLE)
    order = np.concatenate([rng.permutation(rows) for rows in classes])
    blocks = min(most, len(order))
    turn = np.arange(len(order)) % blocks
    for block in range(blocks):
        yield order[turn != block]


def _finite(figure: float) -> float:
    return np.inf if np.isnan(figure) else float(figure)


def _quantile(below: float, total: int) -> float:
    """The normal quantile of a share of resamples, kept off 0 and 1 by half a resample."""
    return float(special.ndtri(min(max(below, 0.5), total - 0.5) / total))
