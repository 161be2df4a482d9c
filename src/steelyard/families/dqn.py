"""A network of action values, learned by playing: deep Q-learning."""

import math
from dataclasses import dataclass
from pathlib import Path

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class Dqn:
    """Fully connected layers with ReLU from an observation to action values. Knobs: `depth` layers of `width` units."""

    name: str = "dqn"

    def refusal(self, task: Task) -> str | None:
        """It needs an environment."""
        return (
            None if task.environment else "it learns by playing in an environment, and this task has rows with answers"
        )

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 or 2; width 8 to 128, more where actions or columns are many."""
        parts = max(task.input.shape[0], task.output.width)
        largest = 2 ** math.ceil(math.log2(max(128, min(512, parts))))
        return (Knob("depth", (1, 2)), Knob("width", tuple(largest // 2**i for i in (4, 3, 2, 1, 0))))

    def fit(self, scale: Scale, task: Task, seed: int, path: Path, limit_s: float) -> Plain:
        """Learn and write the network of the look that earned most.

        Raises:
            DataError: if the environment fails.
            RuntimeFailureError: if the file does something else than the network.
        """
        from steelyard.families.qnetwork import fit_network  # noqa: PLC0415  imports torch

        return fit_network(scale, task, seed, path, limit_s)


DQN = Dqn()
"""The entry of the registry."""
