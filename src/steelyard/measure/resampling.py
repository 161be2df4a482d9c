"""From blocks of call times to figures with intervals: pure, no clock, no process.

What varies is mostly the process (memory layout, speed state, what else the machine does), so calls of one process are
no independent samples. Intervals come from a hierarchical bootstrap: processes are resampled, then blocks within each
(Davison and Hinkley, Bootstrap Methods and their Application, Cambridge 1997, section 3.8). With 8 processes the plain
percentile interval is too narrow, so its levels are expanded: Hesterberg, What Teachers Should Know About the
Bootstrap, The American Statistician 69(4), 2015.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.quantity import Quantity, Unit

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap resamples: the expanded levels lie near 0.6 %, so a dozen resamples lie beyond each."""

LEAST_CALLS = {0.90: 64, 0.95: 130, 0.99: 662}
"""Fewest calls a percentile needs: MLPerf early stopping (Reddi et al., MLPerf Inference Benchmark, ISCA 2020; rules
of LoadGen, "early stopping"), at 99 % confidence and without a call above the bound for p90 and p99."""

TIE = 0.02
"""Latencies closer than this are a tie whatever the interval says: design, section 5."""

PERCENTILE_RESAMPLES = 1000
"""Fewer, because each costs more; five still lie beyond each expanded level."""

_GRID = 100
"""Values at which the distribution of calls is tabulated to resample a percentile."""


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """One model in one process: seconds of each call by block, and the yardstick's median now by block.

    Blocks are arrays (calls,); the yardstick's medians an array (rounds,).
    """

    blocks: tuple[Floats, ...]
    yardstick: Floats

    @property
    def calls(self) -> int:
        """How many calls."""
        return sum(len(block) for block in self.blocks)


LEVEL = 0.01
"""Level of the test that a comparison makes: of a hundred models compared with themselves, one is called different."""

_FLIPS = 9_999
"""Random sign flips where not all can be counted: the smallest p is then 1 in 10,000."""

_COUNTED = 12
"""Processes up to which all flips are counted: 4,096 of them."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long one model takes as another, and whether the two can be told apart.

    Attributes:
        quantity: the ratio with its 95 % interval.
        is_different: whether the interval excludes 1 and the ratio is at least 2 % away from it: what choosing goes by.
        p: of the signed-rank test that the ratio is 1.
    """

    quantity: Quantity
    is_different: bool
    p: float = 1.0

    @property
    def is_proved(self) -> bool:
        """Whether a test at 1 % tells the two apart, by at least the 2 % below which latencies are a tie."""
        return self.p < LEVEL and abs(math.log(self.quantity.value)) >= math.log1p(TIE)


def student_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t.

    Exact for one and two degrees of freedom, else within 0.1 %.

    References:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.5.
    """
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 * math.sqrt(2.0 / (1.0 - 0.95**2))
    z = NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))


def expanded_level(clusters: int) -> float:
    """The lower level of a 95 % percentile interval from `clusters` clusters, instead of 2.5 % (Hesterberg 2015)."""
    return NormalDist().cdf(-math.sqrt(clusters / (clusters - 1)) * student_quantile(clusters - 1))


def midmean(values: Floats) -> Floats:
    """Mean of the middle half along the last axis; of fewer than four values, the median.

    One disturbed process moves it little, and it wastes less of the others than the median does.
    """
    count = values.shape[-1]
    cut = count // 4
    if cut == 0:
        return np.asarray(np.median(values, axis=-1))
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1))


def _interval(value: float, replicates: Floats, clusters: int, unit: Unit, calls: int) -> Quantity:
    """The figure with its expanded percentile interval; no interval from a single process."""
    if clusters < 2:
        return Quantity(value, unit, n=calls)
    level = expanded_level(clusters)
    low, high = np.quantile(replicates, [level, 1 - level])
    return Quantity(value, unit, low=min(value, float(low)), high=max(value, float(high)), n=calls)


def _medians(blocks: Sequence[Floats]) -> Floats:
    return np.array([np.median(block) for block in blocks])


def _resampled_medians(medians: Floats, uniform: Floats) -> Floats:
    """Median of the block medians in each resample; `uniform` (resamples, blocks or more) picks the blocks."""
    picks = (uniform[:, : len(medians)] * len(medians)).astype(np.intp)
    return np.asarray(np.median(medians[picks], axis=1))


def _over_processes(inner: Sequence[NDArray[Any]], random: np.random.Generator) -> list[NDArray[Any]]:
    """Replicates of the inner level rearranged into resamples of processes.

    `inner[i]` (resamples, ...) are replicates of process i. Each resample draws as many processes as there are, with
    replacement; the rows are rolled by draw, so that a process drawn twice brings two different replicates.
    """
    stacked = np.stack(inner)
    count, resamples = stacked.shape[:2]
    rows = np.arange(resamples)
    return [
        stacked[random.integers(count, size=resamples), (rows + draw * (resamples // count)) % resamples]
        for draw in range(count)
    ]


def _scaled(process: ProcessTimes, nominal_s: float) -> float:
    """What turns this process's seconds into seconds at the yardstick's nominal speed."""
    return nominal_s / float(np.median(process.yardstick))


def _uniforms(processes: Sequence[ProcessTimes], random: np.random.Generator) -> list[Floats]:
    """For each process, the random numbers that pick blocks; the same ones for all that was measured in it."""
    return [random.random((RESAMPLES, max(len(each.blocks), len(each.yardstick)))) for each in processes]


def median_quantity(processes: Sequence[ProcessTimes], nominal_s: float, seed: int = 0) -> Quantity:
    """p50 in seconds at the yardstick's nominal speed.

    In each process the median of the block medians is scaled by the yardstick's; the midmean over processes is the
    figure.
    """
    random = np.random.default_rng(seed)
    points, inner = [], []
    for process, uniform in zip(processes, _uniforms(processes, random), strict=True):
        medians = _medians(process.blocks)
        points.append(float(np.median(medians)) * _scaled(process, nominal_s))
        yardstick = _resampled_medians(process.yardstick, uniform)
        inner.append(_resampled_medians(medians, uniform) / yardstick * nominal_s)
    replicates = midmean(np.stack(_over_processes(inner, random), axis=-1))
    calls = sum(process.calls for process in processes)
    return _interval(float(midmean(np.array(points))), replicates, len(processes), "s", calls)


def median_of(seconds: Sequence[float], seed: int = 0) -> Quantity:
    """The midmean of one figure a process, with its interval."""
    values = np.array(seconds)
    random = np.random.default_rng(seed)
    replicates = midmean(values[random.integers(len(values), size=(RESAMPLES, len(values)))])
    return _interval(float(midmean(values)), replicates, len(values), "s", len(values))


def raw_median_s(processes: Sequence[ProcessTimes]) -> float:
    """p50 in seconds as the clock showed it, not scaled by the yardstick."""
    return float(midmean(np.array([np.median(_medians(process.blocks)) for process in processes])))


def order_statistic(ordered: Floats, quantile: float) -> float:
    """The smallest of the sorted values that at least a share `quantile` of them does not exceed."""
    return float(ordered[max(0, math.ceil(quantile * len(ordered) - 1e-9) - 1)])


def percentile_quantity(
    processes: Sequence[ProcessTimes], quantile: float, nominal_s: float, seed: int = 0
) -> Quantity | None:
    """A high percentile of single calls in seconds at nominal speed; None where there are too few calls.

    The calls of all processes are pooled after scaling; the figure is their order statistic. To resample it cheaply,
    each block's calls are counted at or below each of a grid of values, once; a resample is then a weighted sum of
    those counts. Cost O(resamples × blocks × grid).
    """
    calls = sum(process.calls for process in processes)
    if calls < LEAST_CALLS[quantile]:
        return None
    scaled = [[block * _scaled(each, nominal_s) for block in each.blocks] for each in processes]
    ordered = np.sort(np.concatenate([block for blocks in scaled for block in blocks]))
    value = order_statistic(ordered, quantile)
    levels = np.linspace(max(0.0, 1 - 4 * (1 - quantile)), 1.0, _GRID)
    grid = ordered[np.ceil(levels * (calls - 1)).astype(np.intp)]
    random = np.random.default_rng(seed)
    inner = [_resampled_counts(blocks, grid, random) for blocks in scaled]
    counts = functools.reduce(np.add, _over_processes(inner, random))
    reached = counts[:, :-1] >= quantile * counts[:, -1:] - 1e-6
    replicates = np.where(reached[:, -1], grid[np.argmax(reached, axis=1)], grid[-1])
    return _interval(value, replicates, len(processes), "s", calls)


def _resampled_counts(blocks: Sequence[Floats], grid: Floats, random: np.random.Generator) -> NDArray[np.float32]:
    """Calls at or below each value of the grid, and all calls in the last column, by resample of the blocks."""
    table = [[*np.searchsorted(np.sort(block), grid, side="right"), len(block)] for block in blocks]
    weights = random.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=PERCENTILE_RESAMPLES)
    # Not `@`: BLAS would start threads for this small product, which on busy cores takes three times as long.
    return np.asarray(np.einsum("rb,bg->rg", weights.astype(np.float32), np.array(table, dtype=np.float32)))


def ratio_of(slow: Sequence[ProcessTimes], fast: Sequence[ProcessTimes], seed: int = 0) -> Ratio:
    """p50 of one model over p50 of another, measured in the same processes, or in neighbouring ones.

    Paired: the ratio is taken within each process, where the machine's speed cancels, from the same picks of rounds.
    Models with other counts of threads run in a process of their own, right before or after: there the yardstick of
    each process stands for the machine's speed.
    The two can be told apart if the interval excludes 1 and the ratio is at least 2 % away from it.
    """
    random = np.random.default_rng(seed)
    points, inner = [], []
    for above, below, uniform in zip(slow, fast, _uniforms(slow, random), strict=True):
        tops, bottoms = _medians(above.blocks), _medians(below.blocks)
        if above.yardstick is not below.yardstick:
            tops, bottoms = tops / np.median(above.yardstick), bottoms / np.median(below.yardstick)
        wide = uniform if uniform.shape[1] >= len(bottoms) else random.random((RESAMPLES, len(bottoms)))
        points.append(math.log(np.median(tops) / np.median(bottoms)))
        inner.append(np.log(_resampled_medians(tops, uniform) / _resampled_medians(bottoms, wide)))
    replicates = np.exp(midmean(np.stack(_over_processes(inner, random), axis=-1)))
    value = math.exp(float(midmean(np.array(points))))
    calls = min(sum(process.calls for process in model) for model in (slow, fast))
    quantity = _interval(value, replicates, len(points), "1", calls)
    excludes_one = quantity.low is not None and quantity.high is not None and not quantity.low <= 1 <= quantity.high
    is_different = excludes_one and abs(math.log(value)) >= math.log1p(TIE)
    return Ratio(quantity, is_different, signed_rank_p(np.array(points), seed))


def signed_rank_p(differences: Floats, seed: int = 0) -> float:
    """P of a two-sided test that paired differences (n,) lie around zero: Wilcoxon's signed ranks.

    Exact for every distribution that is symmetric under the hypothesis, as that of two equal models is whose order is
    drawn by lot; one wild process moves it little. All signs are counted up to twelve differences, ten thousand drawn
    beyond. Of fewer than eight differences, no p can be below 1 %.

    References:
        Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1(6), 1945; Phipson and Smyth,
        Permutation p-values should never be zero, Statistical Applications in Genetics and Molecular Biology 9(1),
        2010.
    """
    count = len(differences)
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1.0
    if count <= _COUNTED:
        signs = 1.0 - 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
        added = 0
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_FLIPS, count))
        added = 1
    seen = abs(float((np.sign(differences) * ranks).sum()))
    beyond = np.abs((signs * ranks).sum(axis=1)) >= seen
    return float((np.count_nonzero(beyond) + added) / (len(signs) + added))


def half_width(quantity: Quantity) -> float:
    """Half of the interval's width as a share of the value; infinite where there is no interval."""
    if quantity.low is None or quantity.high is None or quantity.value == 0:
        return math.inf
    return (quantity.high - quantity.low) / 2 / abs(quantity.value)


def inverse(quantity: Quantity, numerator: float, unit: Unit) -> Quantity:
    """`numerator` divided by a positive quantity: its interval is turned round."""
    return Quantity(
        numerator / quantity.value,
        unit,
        low=None if quantity.high is None else numerator / quantity.high,
        high=None if quantity.low is None else numerator / quantity.low,
        n=quantity.n,
    )
