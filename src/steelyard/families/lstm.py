"""A recurrent network with long short-term memory."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.families.sequences import affordable, channels_of, sequence_refusal, steps_of, vocabularies

WIDTHS = (16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Lstm:
    """Layers of long short-term memory; mean and maximum over the steps; a linear layer.

    Knobs: `depth` layers of `width` units, and on texts the `vocabulary`.

    References:
        Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    """

    name: str = "lstm"

    def refusal(self, task: Task) -> str | None:
        """Takes series, texts and sound."""
        return sequence_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 and 2, width from 16.

        The largest width is left out while training the largest network takes long (`affordable`).
        """
        widths = affordable(task, WIDTHS, {width: largest_macs(task, width) for width in WIDTHS})
        return (Knob("depth", (1, 2)), Knob("width", widths), *vocabularies(task))

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import temporal  # noqa: PLC0415  imports torch, which proposing a scale must not

        return temporal.lstm(scale, task, seed)


def largest_macs(task: Task, width: int) -> float:
    """Multiply-accumulates of a row through two layers of four gates."""
    return 4.0 * steps_of(task) * width * (channels_of(task) + 3 * width)


LSTM = Lstm()
"""The entry of the registry."""
