"""Intervals that hold: split-conformal quantiles of scaled residuals."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def conformal_quantile(scores: Floats, level: float) -> float:
    """The score that a new one stays below with probability `level` or more, if it is exchangeable with these.

    Infinite where there are too few scores for the level.

    Args:
        scores: sizes of residuals (n,), each divided by what it was expected to be.
        level: between 0 and 1.

    References:
        J. Lei, M. G'Sell, A. Rinaldo, R. Tibshirani, L. Wasserman, Distribution-Free Predictive Inference for
        Regression, JASA, 2018, section 2.2 (split conformal) and 5.2 (locally weighted).
    """
    count = len(scores)
    rank = math.ceil((count + 1) * level)
    if rank > count:
        return math.inf
    return float(np.partition(scores, rank - 1)[rank - 1])


def weighted_quantile(scores: Floats, weights: Floats, level: float) -> float:
    """`conformal_quantile` where each score counts with a weight: those of likelier situations count more.

    The new score takes a weight of its own, the largest of these.

    References:
        R. Tibshirani, R. Foygel Barber, E. Candès, A. Ramdas, Conformal Prediction Under Covariate Shift, NeurIPS 2019.
    """
    if not len(scores):
        return math.inf
    order = np.argsort(scores)
    reached = np.cumsum(weights[order]) / (weights.sum() + weights.max())
    place = int(np.searchsorted(reached, level))
    return float(scores[order[place]]) if place < len(scores) else math.inf


def interval(value: float, scale: float, quantile: float) -> tuple[float, float]:
    """The interval around `value` whose logarithm may miss by `quantile` times `scale`."""
    reach = min(quantile * scale, _WIDEST)
    return value * math.exp(-reach), value * math.exp(reach)


_WIDEST = math.log(1e6)
"""No interval is wider than a million each way: it says nothing then, and stays a number."""
