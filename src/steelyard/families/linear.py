"""Linear and logistic regression."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import TextInput
from steelyard.core.task import ImageInput, ValueOutput
from steelyard.families.ranges import feature_count, plain_refusal, resolutions
from steelyard.families.sequences import vocabularies

FEWEST_TO_SELECT = 8
"""With fewer features than this, leaving some out saves nothing that can be measured."""


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer: linear regression with the squared loss, logistic regression with cross-entropy.

    On texts it adds up a weight for each word and each pair of neighbours (`families/ngrams.py`).

    Knobs: `resolution` on images; `vocabulary` and `ngrams` on texts; elsewhere `features`, how many stay (those that
    correlate most with the target on the training split); on a regression `bias`, 0 or 1: whether to have an intercept.
    """

    name: str = "linear"

    def refusal(self, task: Task) -> str | None:
        """Takes every task but language modelling and recommendation."""
        if task.kind == "language-modelling":
            return "it gives one answer a row; decoder models language"
        return plain_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """What the task allows: see the class."""
        if isinstance(task.input, TextInput):
            return (*vocabularies(task, words_only=True), Knob("ngrams", (1, 2)))
        knobs: list[Knob] = []
        features = feature_count(task)
        if isinstance(task.input, ImageInput):
            heights = resolutions(task)
            knobs += [Knob("resolution", heights)] if heights else []
        elif features >= FEWEST_TO_SELECT:
            knobs.append(Knob("features", tuple(sorted({features // 4, features // 2, features}))))
        if isinstance(task.output, ValueOutput):
            knobs.append(Knob("bias", (0, 1)))
        return tuple(knobs)

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """The module with fresh seeded weights."""
        from steelyard.families import nets  # noqa: PLC0415  imports torch, which proposing a scale must not

        return nets.linear(scale, task, seed)


LINEAR = Linear()
"""The entry of the registry."""
