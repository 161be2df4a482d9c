"""A decoder: a transformer that foretells each token from those before it."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import TextInput
from steelyard.families.sequences import affordable, attention_macs

WIDTHS = (16, 32, 64, 128)
PATIENCE = 4
"""Language models pay for their size: an epoch may cost so many times what another family's may."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Blocks of attention to the tokens so far, then scores of every token to come next, at each place.

    Knobs: `depth` blocks of `width` channels, `heads` of 16 channels each. The vocabulary is the task's own, because
    perplexities of two vocabularies don't compare.

    References:
        Radford et al., "Language models are unsupervised multitask learners", 2019.
    """

    name: str = "decoder"

    def refusal(self, task: Task) -> str | None:
        """Takes language modelling."""
        is_language = task.kind == "language-modelling" and isinstance(task.input, TextInput)
        return None if is_language else "it models language; the kind of task is language-modelling"

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 and 2, width from 16, heads 2 and 4.

        The largest width is left out while training the largest network takes long (`affordable`).
        """
        macs = {width: largest_macs(task, width) / PATIENCE for width in WIDTHS}
        return Knob("depth", (1, 2)), Knob("width", affordable(task, WIDTHS, macs)), Knob("heads", (2, 4))

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import causal  # noqa: PLC0415  imports torch, which proposing a scale must not

        return causal.decoder(scale, task, seed)


def largest_macs(task: Task, width: int) -> float:
    """Multiply-accumulates of a row through two blocks and the scores of its vocabulary."""
    steps = task.input.shape[0]
    return 2 * attention_macs(steps, width) + width * task.output.width


DECODER = Decoder()
"""The entry of the registry."""
