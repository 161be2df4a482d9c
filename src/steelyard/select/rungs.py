"""Which trainings are hopeless: what a quality reached so far can still come to, told by trainings that have ended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from steelyard.core.protocols import Metric

FIRST, STEP = 2, 2
"""Rungs are the epochs 2, 4, 8, 16 and so on."""
LEAST = 5
"""Ended trainings that must have gone beyond a rung before anything is judged at it.

Of n exchangeable trainings and one more, that one makes the largest progress of all with a chance of 1 / (n + 1).
"""
SPAN = 2.0
"""A training is compared with those whose error at the rung was at least this many times smaller."""
ALLOWANCE = 1.25
"""How many times further than the best of them a training is granted to come."""


@dataclass(frozen=True, slots=True)
class Errors:
    """Qualities of a metric as errors, and back.

    `rows` are those that qualities in [0, 1] are computed on: such an error is one row more, because none in so few
    rows is not none.
    """

    metric: Metric
    rows: int

    def of(self, quality: float) -> float | None:
        """How far a quality is from the best there can be; None where the metric has no best, or it is no number."""
        metric = self.metric
        if metric.in_unit_range and metric.higher_is_better:
            error = 1.0 - quality + 1.0 / self.rows
        elif not metric.higher_is_better:
            error = quality
        else:
            return None
        return error if np.isfinite(error) and error >= 0 else None

    def quality(self, error: float) -> float:
        """The quality of an error."""
        return 1.0 - error + 1.0 / self.rows if self.metric.higher_is_better else error


@dataclass(frozen=True, slots=True)
class Learned:
    """A training that went to its end.

    Attributes:
        epochs: of its curve, rising; long curves are thinned.
        errors: the least error so far after each of them, at least 0.
        final: the error of the model that was kept.
        is_cut: whether time ended it; then its learning rate fell over the last 40 % of that time.
    """

    epochs: tuple[int, ...]
    errors: tuple[float, ...]
    final: float
    is_cut: bool = False

    @classmethod
    def of(
        cls, curve: Mapping[str, Sequence[float]], scale: "Errors", *, keeps_last: bool, is_cut: bool
    ) -> Self | None:
        """From a training's curve; None where there is none, or the metric tells no error."""
        qualities = curve.get("valid_quality", ())
        errors = [scale.of(quality) for quality in qualities]
        found = [error for error in errors if error is not None]
        if not found or len(found) < len(errors):
            return None
        least = np.minimum.accumulate(found)
        final = found[-1] if keeps_last else float(least[-1])
        return cls(tuple(int(epoch) for epoch in curve["epoch"]), tuple(map(float, least)), final, is_cut)

    def at(self, epoch: int) -> float | None:
        """The least error up to an epoch; None where it is unknown or was reached under a rate that was falling."""
        if self.epochs[-1] <= epoch or (self.is_cut and 2 * epoch > self.epochs[-1]) or self.epochs[0] > epoch:
            return None
        return self.errors[int(np.searchsorted(self.epochs, epoch, side="right")) - 1]


@dataclass(frozen=True, slots=True)
class Rung:
    """An epoch after which a training is judged, by what others came to from there.

    `pairs` are the errors of others at the rung, above 0, the largest first, each with its final error.
    """

    epoch: int
    pairs: tuple[tuple[float, float], ...]

    def progress(self, error: float) -> float:
        """The final error as a share of an error at the rung, at best: that of the one that made the most of it.

        Told by those that stood no better than half that error, because who is nearly done shows what noise does to a
        small number; and by the `LEAST` worst of all in any case.
        """
        those = [pair for place, pair in enumerate(self.pairs) if place < LEAST or pair[0] * SPAN >= error]
        return min(min(1.0, final / begun) for begun, final in those) / ALLOWANCE

    def needed(self, bound: float) -> float:
        """The error at the rung beyond which a final error of `bound` is out of reach; rises with the bound."""
        # Progress is a step function that rises with the error: the first step that holds the crossing has it.
        start = 0.0
        for end in sorted(begun * SPAN for begun, _ in self.pairs[LEAST:]):
            crossing = max(start, bound / self.progress(end))
            if crossing <= end:
                return crossing
            start = end
        return max(start, bound / self.progress(math.inf))


def rungs(learned: Sequence[Learned]) -> tuple[Rung, ...]:
    """The rungs at which enough ended trainings tell what can be expected.

    References:
        K. Jamieson and A. Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS
        2016 (successive halving); L. Li et al., A system for massively parallel hyperparameter tuning, MLSys 2020
        (asynchronous, by rungs). Both keep a fixed share at each rung; here a training goes on unless it can't
        matter.
    """
    found = []
    epoch = FIRST
    while epoch < max((each.epochs[-1] for each in learned), default=0):
        pairs = [(error, each.final) for each in learned if (error := each.at(epoch)) is not None]
        pairs = sorted(((error, final) for error, final in pairs if error > 0 and final > 0), reverse=True)
        if len(pairs) >= LEAST:
            found.append(Rung(epoch, tuple(pairs)))
        epoch *= STEP
    return tuple(found)
