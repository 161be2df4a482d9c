"""Fitness: quality, training time, inference speed and use of resources as one number that evolution maximises."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from steelyard.core.errors import InputError
from steelyard.core.goal import is_number
from steelyard.core.protocols import Problem
from steelyard.core.trial import Measurement, Trial

COSTS: Mapping[str, str] = {
    "training": "train_s",
    "speed": "latency_p50_s",
    "size": "size_bytes",
    "memory": "peak_memory_bytes",
}
"""Which figure of a trial each cost of the fitness is."""
STEEPNESS = 10.0
"""How many times as much each permitted drop counts beyond the first.

At the default weights a model that lost the permitted drop twice would have to be 2^11 times cheaper in everything
than one that lost nothing, so that smallness never pays for a useless model.
"""
HUNDREDTH = 0.01
"""The unit of quality where no drop is permitted: this share of the yardstick's own quality."""
WORST = -math.inf
"""The fitness of what failed, or has no finite quality."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part of the fitness counts; shares of their sum. Half for quality and half for cost is a convention."""

    quality: float = 0.5
    training: float = 0.1
    speed: float = 0.2
    size: float = 0.1
    memory: float = 0.1

    def __post_init__(self) -> None:
        """Check each weight.

        Raises:
            InputError: naming the weight.
        """
        for name in self.__dataclass_fields__:
            weight, field = getattr(self, name), f"weight_{name}"
            is_fit = is_number(weight) and math.isfinite(weight) and weight >= 0
            if name == "quality" and not (is_fit and weight > 0):
                raise InputError(
                    f"'{field}' must be a positive finite number, because a search for smallness alone ends at the "
                    f"smallest model, got {weight!r}.",
                    field=field,
                )
            if not is_fit:
                raise InputError(f"'{field}' must be a finite number of at least 0, got {weight!r}.", field=field)

    @property
    def total(self) -> float:
        """Their sum."""
        return math.fsum(float(getattr(self, name)) for name in self.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The fitness of trials against one measured trial, which itself has a fitness of 0.

    The same yardstick serves a whole run: a fitness never changes, so generations can be compared.
    """

    trial: Trial
    problem: Problem
    weights: Weights

    def fitness(self, trial: Trial) -> float:
        """How fit a finished trial is; higher is better.

        −(w_quality · s(q) + Σ w_cost · log2(cost / cost of the yardstick)) / Σ w, where q is the loss of quality
        against the yardstick in permitted drops, negative for a gain, and s(q) is q up to 1 and 1 + 10 (q − 1) beyond.
        A model that keeps within the drop and misses a limit of the goal has 10 added to s(q), like one that lost a
        permitted drop too many. A cost that either of the two lacks, or that is 0, is left out.

        Returns:
            A number; `WORST` for a failure, or where the quality is no finite number.
        """
        if not isinstance(trial.outcome, Measurement):
            return WORST
        scores = self.problem.score(trial)
        if scores is None or not math.isfinite(scores[0]):
            return WORST
        parts = [self.weights.quality * self._quality(trial, scores[0])]
        parts += [getattr(self.weights, name) * self._cost(trial.outcome, metric) for name, metric in COSTS.items()]
        return 0.0 - math.fsum(parts) / self.weights.total

    def _quality(self, trial: Trial, loss: float) -> float:
        known = (trial, self.trial)
        # Drops are against the best plain model of those given: the difference is against the yardstick, either way.
        mine, theirs = (self.problem.spent(each.candidate, known) for each in known)
        lost = math.nan if mine is None or theirs is None else mine - theirs
        if not self.trial.candidate.is_plain or not math.isfinite(lost):
            lost = self._hundredths(loss)
        if lost > 1:
            return 1 + STEEPNESS * (lost - 1)
        misses_a_limit = mine is not None and mine < 1 - 1e-9 and not self.problem.is_good_enough(trial, known)
        return lost + STEEPNESS * misses_a_limit

    def _hundredths(self, loss: float) -> float:
        """The loss of quality against the yardstick where it is no share of a permitted drop."""
        scores = self.problem.score(self.trial)
        base = 0.0 if scores is None else scores[0]
        return (loss - base) / (HUNDREDTH * (abs(base) or 1.0))

    def _cost(self, outcome: Measurement, metric: str) -> float:
        """Doublings of a cost against the yardstick."""
        assert isinstance(self.trial.outcome, Measurement)  # noqa: S101  `yardstick` takes no other; narrows the type
        pair = [figures.get(metric) for figures in (outcome.metrics, self.trial.outcome.metrics)]
        values = [0.0 if each is None else each.value for each in pair]
        if not all(math.isfinite(value) and value > 0 for value in values):
            return 0.0
        return math.log2(values[0] / values[1])


def yardstick(trials: list[Trial], problem: Problem, weights: Weights) -> Yardstick | None:
    """The yardstick among trials: of the best quality, uncompressed ones first; None where none has a quality."""
    best: tuple[bool, float] | None = None
    found = None
    for trial in trials:
        scores = problem.score(trial)
        if scores is None or not math.isfinite(scores[0]):
            continue
        rank = (not trial.candidate.is_plain, scores[0])
        if best is None or rank < best:
            best, found = rank, trial
    return None if found is None else Yardstick(found, problem, weights)
