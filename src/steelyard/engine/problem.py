"""What a strategy is told of the question."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.core.goal import COST_METRICS, Goal
from steelyard.core.protocols import Metric
from steelyard.core.trial import Measurement, Trial
from steelyard.select.quality import drop, loss


@dataclass(frozen=True, slots=True)
class StudyProblem:
    """Objectives: loss of quality, then the logarithms of latency, size and any other minimised or limited cost."""

    goal: Goal
    metric: Metric
    seed: int
    floor: float = 0.0

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives; the first is the loss of quality."""
        asked = {COST_METRICS[self.goal.minimize], *(limit.metric for limit in self.goal.limits)}
        extra = sorted(asked - {"latency_p50_s", "latency_p95_s", "size_bytes"})
        return (self.metric.name, "latency_p50_s", "size_bytes", *extra)

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
        plain = [each for each in finished if each.candidate.is_plain and isinstance(each.outcome, Measurement)]
        best = min((self._quality(each) for each in plain), key=lambda value: loss(self.metric, value))
        relative = self.goal.is_relative(metric_in_unit_range=self.metric.in_unit_range)
        lost = drop(self.metric, best, self._quality(trial), relative=relative, floor=self.floor)
        within = all(
            limit.metric in trial.outcome.metrics and trial.outcome.metrics[limit.metric].value <= limit.at_most
            for limit in self.goal.limits
        )
        return lost <= self.goal.max_drop and within

    def _quality(self, trial: Trial) -> float:
        assert isinstance(trial.outcome, Measurement)  # noqa: S101  callers have checked; narrows the type
        return trial.outcome.metrics[self.metric.name].value
