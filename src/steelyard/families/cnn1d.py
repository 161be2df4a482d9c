"""A convolutional network over the steps of a sequence."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.families.sequences import affordable, channels_of, sequence_refusal, steps_of, vocabularies

WIDTHS = (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Cnn1d:
    """Blocks of convolution along the steps, batch norm, ReLU and pooling, then a linear layer.

    It reads the mean and the maximum over the steps that are left.

    Knobs: `depth` blocks, `width` channels of the first one (doubled in each), `kernel` size, and on texts the
    `vocabulary`.

    References:
        Kim, "Convolutional neural networks for sentence classification", EMNLP 2014; Wang et al., "Time series
        classification from scratch with deep neural networks", IJCNN 2017.
    """

    name: str = "cnn1d"

    def refusal(self, task: Task) -> str | None:
        """Takes series, texts and sound."""
        return sequence_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 to 3, width from 8, kernel 3 to 7.

        The largest width is left out while training the largest network takes long (`affordable`).
        """
        widths = affordable(task, WIDTHS, {width: largest_macs(task, width) for width in WIDTHS})
        return (Knob("depth", (1, 2, 3)), Knob("width", widths), Knob("kernel", (3, 5, 7)), *vocabularies(task))

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import temporal  # noqa: PLC0415  imports torch, which proposing a scale must not

        return temporal.cnn1d(scale, task, seed)


def largest_macs(task: Task, width: int) -> float:
    """Multiply-accumulates of a row through the convolutions at depth 3 and kernel 7: each halves the steps."""
    steps, incoming, total = steps_of(task), channels_of(task), 0
    for block in range(3):
        outgoing = width * 2**block
        total += steps * incoming * outgoing * 7
        steps, incoming = steps // 2, outgoing
    return total


CNN1D = Cnn1d()
"""The entry of the registry."""
