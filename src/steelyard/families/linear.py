"""Linear and logistic regression."""

from dataclasses import dataclass
from typing import Any

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import ImageInput, ValueOutput
from steelyard.families.ranges import feature_count, plain_refusal, resolutions

FEWEST_TO_SELECT = 8
"""With fewer features than this, leaving some out saves nothing that can be measured."""


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer: linear regression with the squared loss, logistic regression with cross-entropy.

    Knobs: `resolution` on images; on tables `features`, how many features stay (those that correlate most with the
    target on the training split); on a regression `bias`, 0 or 1, whether there is an intercept.
    """

    name: str = "linear"

    def refusal(self, task: Task) -> str | None:
        """Takes tables and images."""
        return plain_refusal(task)

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """What the task allows: see the class."""
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
