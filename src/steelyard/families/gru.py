"""A recurrent network with gates."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.families.sequences import affordable, channels_of, sequence_refusal, steps_of, vocabularies

WIDTHS = (16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Gru:
    """Layers of gated recurrent units; mean and maximum over the steps; a linear layer.

    Knobs: `depth` layers of `width` units, and on texts the `vocabulary`.

    References:
        Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
        EMNLP 2014.
    """

    name: str = "gru"

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

        return temporal.gru(scale, task, seed)


def largest_macs(task: Task, width: int) -> float:
    """Multiply-accumulates of a row through two layers of three gates."""
    return 3.0 * steps_of(task) * width * (channels_of(task) + 3 * width)


GRU = Gru()
"""The entry of the registry."""
