"""The smallest member of every study: it does not look at its input."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task


@dataclass(frozen=True, slots=True)
class Baseline:
    """The majority class (scores are the log shares of the classes), or the mean of the target. No weights."""

    name: str = "baseline"

    def refusal(self, task: Task) -> str | None:
        """Takes every task."""
        del task
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """None: it has no scale."""
        del task
        return ()

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """Fitted on the training targets here; nothing is left to train."""
        from steelyard.families import nets  # noqa: PLC0415  imports torch, which proposing a scale must not

        del scale, seed
        return nets.constant(task)


BASELINE = Baseline()
"""The entry of the registry."""
