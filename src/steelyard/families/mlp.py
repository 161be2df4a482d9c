"""Multilayer perceptron."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import TextInput
from steelyard.families.ranges import hidden_widths, plain_refusal


@dataclass(frozen=True, slots=True)
class Mlp:
    """Fully connected layers with ReLU. Knobs: `depth` hidden layers of `width` units each."""

    name: str = "mlp"

    def refusal(self, task: Task) -> str | None:
        """Takes every task but texts and pairs: images, series and spectrograms are read as a row of numbers."""
        if isinstance(task.input, TextInput):
            return "the numbers of words are no quantities; linear, cnn1d, gru and transformer take texts"
        return plain_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 to 3; width five powers of two, the largest about twice the features."""
        return (Knob("depth", (1, 2, 3)), Knob("width", hidden_widths(task)))

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import nets  # noqa: PLC0415  imports torch, which proposing a scale must not

        return nets.mlp(scale, task, seed)


MLP = Mlp()
"""The entry of the registry."""
