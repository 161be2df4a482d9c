"""Matrix factorisation with biases: ratings from what is known of the user and of the item."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import PairInput

FACTORS = (0, 2, 4, 8, 16, 32)
"""Choices of `factors` where there are users and items enough."""


@dataclass(frozen=True, slots=True)
class Factorization:
    """The mean, a bias for each user and item, and the inner product of their factors.

    Knob: `factors`, how many numbers describe a user or an item beside the bias; 0 leaves the biases alone.

    References:
        Koren, Bell, Volinsky, "Matrix factorization techniques for recommender systems", Computer, 2009.
    """

    name: str = "factorization"

    def refusal(self, task: Task) -> str | None:
        """Takes pairs of a user and an item."""
        return None if isinstance(task.input, PairInput) else "it needs users and items, as recommendation has them"

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Factors from 0 to 32, fewer than there are users or items."""
        most = min(len(column.categories) for column in task.input.columns) if isinstance(task.input, PairInput) else 0
        return (Knob("factors", tuple(each for each in FACTORS if each < most)),)

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with biases as the training ratings have them, and seeded factors."""
        from steelyard.families import pairs  # noqa: PLC0415  imports torch, which proposing a scale must not

        return pairs.factorization(scale, task, seed)


FACTORIZATION = Factorization()
"""The entry of the registry."""
