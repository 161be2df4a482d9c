"""What a strategy is told of the question."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steelyard.core.candidate import Candidate
from steelyard.core.explored import Explored, is_body
from steelyard.core.goal import COST_METRICS, Goal
from steelyard.core.protocols import Metric
from steelyard.core.trial import Measurement, Trial
from steelyard.select.quality import drop, loss


@dataclass(frozen=True, slots=True)
class StudyProblem:
    """Objectives: loss of quality, then the logarithms of latency, size and any other minimised or limited cost.

    `made` is the quality, by key, of candidates that are made and wait to be measured; `known` what exploring found, by
    the key of the candidate: uncompressed ones, and forms of theirs that were looked at.
    """

    goal: Goal
    metric: Metric
    seed: int
    floor: float = 0.0
    made: Mapping[str, float] = field(default_factory=dict)
    known: Mapping[str, Explored] = field(default_factory=dict)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives; the first is the loss of quality."""
        asked = {COST_METRICS[self.goal.minimize], *(limit.metric for limit in self.goal.limits)}
        extra = sorted(asked - {"latency_p50_s", "latency_p95_s", "size_bytes"})
        return (self.metric.name, "latency_p50_s", "size_bytes", *extra)

    @property
    def minimized(self) -> int:
        """The place among the objectives of the cost that the goal minimises."""
        name = COST_METRICS[self.goal.minimize]
        return self.objectives.index("latency_p50_s" if name == "latency_p95_s" else name)

    def explored(self) -> tuple[Candidate, ...]:
        """The scales, or structures of a given model, that shared weights have been judged at."""
        return tuple(each.candidate for each in self.known.values() if is_body(each.candidate))

    def estimate(self, candidate: Candidate) -> tuple[float, float] | None:
        """The loss and the logarithm of the minimised cost by exploring; NaN for a cost it did not look at."""
        found = self.known.get(candidate.key)
        if found is None:
            return None
        looks = {"latency_p50_s": found.latency_s, "size_bytes": found.size_bytes}
        cost = looks.get(self.objectives[self.minimized])
        return loss(self.metric, found.quality), math.nan if cost is None else math.log(max(cost, 1e-12))

    def score(self, trial: Trial) -> tuple[float, ...] | None:
        """The objectives of a finished trial, lower is better; None for a failure."""
        if not isinstance(trial.outcome, Measurement):
            return None
        metrics = trial.outcome.metrics
        costs = [math.log(max(metrics[name].value, 1e-12)) for name in self.objectives[1:] if name in metrics]
        if len(costs) != len(self.objectives) - 1:
            return None
        return (loss(self.metric, metrics[self.metric.name].value), *costs)

    def is_good_enough(self, trial: Trial, finished: Sequence[Trial]) -> bool:
        """Whether the trial's validation drop against the best plain one is within the permitted drop."""
        if not isinstance(trial.outcome, Measurement):
            return False
        lost = self._lost(self._quality(trial), finished)
        within = all(
            limit.metric in trial.outcome.metrics and trial.outcome.metrics[limit.metric].value <= limit.at_most
            for limit in self.goal.limits
        )
        return lost <= self.goal.max_drop and within

    def is_permitted(self, quality: float, finished: Sequence[Trial]) -> bool:
        """Whether a quality is within the permitted drop of the best uncompressed one."""
        return self._lost(quality, finished) <= self.goal.max_drop

    def spent(self, candidate: Candidate, finished: Sequence[Trial]) -> float | None:
        """The share of the permitted drop that a candidate uses up on validation; None where it is not made.

        Where no drop is permitted, infinite for any loss and 0 for none.
        """
        trial = next((each for each in finished if each.key == candidate.key), None)
        if trial is None:
            quality = self.made.get(candidate.key)
        else:
            quality = self._quality(trial) if isinstance(trial.outcome, Measurement) else None
        lost = None if quality is None else self._lost(quality, finished)
        if lost is None:
            return None
        return lost / self.goal.max_drop if self.goal.max_drop > 0 else (0.0 if lost <= 0 else math.inf)

    def worst_loss(self, finished: Sequence[Trial], share: float = 1.0) -> float | None:
        """The loss of quality at a share of the permitted drop; None before a plain model is measured."""
        quality = self.below(share, finished)
        return None if quality is None else loss(self.metric, quality)

    def below(self, times: float, finished: Sequence[Trial]) -> float | None:
        """The quality that is so many permitted drops below the best uncompressed one; None before there is one.

        Where no drop is permitted, a hundredth of that quality stands for one.
        """
        best = self._best(finished)
        if best is None:
            return None
        goal = self.goal
        is_share = goal.max_drop == 0 or goal.is_relative(metric_in_unit_range=self.metric.in_unit_range)
        unit = (goal.max_drop or 0.01) * (max(abs(best), self.floor) if is_share else 1.0)
        return best - times * unit if self.metric.higher_is_better else best + times * unit

    def _best(self, finished: Sequence[Trial]) -> float | None:
        plain = [
            self._quality(each)
            for each in finished
            if each.candidate.is_plain and isinstance(each.outcome, Measurement)
        ]
        return min(plain, key=lambda value: loss(self.metric, value)) if plain else None

    def _lost(self, quality: float, finished: Sequence[Trial]) -> float:
        """The drop of a quality against the best uncompressed one; 0 where none is measured yet."""
        best = self._best(finished)
        if best is None:
            return 0.0
        relative = self.goal.is_relative(metric_in_unit_range=self.metric.in_unit_range)
        return drop(self.metric, best, quality, relative=relative, floor=self.floor)

    def _quality(self, trial: Trial) -> float:
        assert isinstance(trial.outcome, Measurement)  # noqa: S101  callers have checked; narrows the type
        return trial.outcome.metrics[self.metric.name].value
