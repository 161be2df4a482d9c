"""Recovery by a teacher: a module learns again what a compression step has cost it."""

import copy
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from steelyard.core.wire import Plain
from steelyard.steps.quantizing.processor import has_vnni
from steelyard.training.augmentation import Augment
from steelyard.training.lesson import Lesson
from steelyard.training.recovery import Recovery, recover


@dataclass(frozen=True, slots=True)
class Distill:
    """Fine-tuning by a teacher, after any step that has changed a module's structure or weights.

    The loss mixes the teacher's softened outputs (share `weight`) with the labels; without labels the teacher alone
    teaches. With `weight=0` it is plain fine-tuning. With `bits` it is quantization-aware: what a static quantizer
    would cost later is learned away now. Other settings are those of `steelyard.training.recovery.Recovery`.

    References:
        G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, 2015 (arXiv 1503.02531).
    """

    temperature: float = 4.0
    weight: float = 0.7
    epochs: int | None = None
    rate: float | None = None
    batch: int | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    patience: int | None = 6
    augment: Augment = "none"
    features: float = 0.0
    bits: int | None = None
    name: str = "distill"
    learns: ClassVar[bool] = True
    keeps_structure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            InputError: one sentence naming the setting.
        """
        self._recovery()

    def apply(self, module: nn.Module, lesson: Lesson) -> tuple[nn.Module, Plain]:
        """A fine-tuned copy of a module, and how it went: judgements before and after, seconds, rate, why it stopped.

        Raises:
            WorkerError: if learning diverges at every rate.
        """
        student = copy.deepcopy(module)
        done = recover(student, lesson, self._recovery())
        return student, {
            "teacher": "alone" if lesson.loss is None else f"{self.weight:.2g} of the loss",
            "loss_before": done.before.loss,
            "loss_after": done.after.loss,
            "distance_before": done.before.distance,
            "distance_after": done.after.distance,
            "epochs": done.curve["epoch"][-1] if done.curve["epoch"] else 0.0,
            "rate": done.rate,
            "bits": self._bits(),
            "stopped": done.stopped,
            "train_s": done.train_s,
            "notes": done.notes,
        }

    def _recovery(self) -> Recovery:
        return Recovery(
            temperature=self.temperature,
            weight=self.weight,
            epochs=self.epochs,
            rate=self.rate,
            batch=self.batch,
            optimizer=self.optimizer,
            patience=self.patience,
            augment=self.augment,
            features=self.features,
            bits=self._bits(),
        )

    def _bits(self) -> int | None:
        """Bits of the weights; the quantizer uses one fewer than 8 where the processor would saturate."""
        return self.bits if self.bits is None or has_vnni() else min(self.bits, 7)


DISTILL = Distill()
"""The entry of the registry."""
