"""A transformer encoder."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.families.sequences import affordable, attention_macs, sequence_refusal, steps_of, vocabularies

WIDTHS = (16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Transformer:
    """Blocks of attention over the steps of a sequence; mean and maximum over the steps; a linear layer.

    Knobs: `depth` blocks of `width` channels, `heads` of 16 channels each, and on texts the `vocabulary`.

    References:
        Vaswani et al., "Attention is all you need", NeurIPS 2017.
    """

    name: str = "transformer"

    def refusal(self, task: Task) -> str | None:
        """Takes series, texts and sound."""
        return sequence_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 and 2, width from 16, heads 2 and 4.

        The largest width is left out while training the largest network takes long (`affordable`).
        """
        widths = affordable(task, WIDTHS, {width: largest_macs(task, width) for width in WIDTHS})
        return (Knob("depth", (1, 2)), Knob("width", widths), Knob("heads", (2, 4)), *vocabularies(task))

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import temporal  # noqa: PLC0415  imports torch, which proposing a scale must not

        return temporal.transformer(scale, task, seed)


def largest_macs(task: Task, width: int) -> float:
    """Multiply-accumulates of a row through two blocks."""
    return 2 * attention_macs(steps_of(task), width)


TRANSFORMER = Transformer()
"""The entry of the registry."""
