"""How a model is trained: the part of a study's identity that says so."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from steelyard.core.errors import InputError
from steelyard.core.wire import Plain
from steelyard.training.changes import names_in
from steelyard.training.tuning import HOW, How

Optimizer = Literal["adam", "rmsprop", "sgd"]
OPTIMIZERS: tuple[Optimizer, ...] = ("adam", "rmsprop", "sgd")

STALE_STEPS = 1_000
"""Steps without improvement that end a training, in whole epochs between MIN_PATIENCE and MAX_PATIENCE.

A choice between time and the last tenths of a point; the bounds in epochs matter more on small and on large data.
"""
MIN_PATIENCE, MAX_PATIENCE = 3, 10


@dataclass(frozen=True, slots=True)
class Recipe:
    """The training protocol.

    `learning_rate` None: found by a range test. `epochs` None: until it stops improving, `max_epochs` at most.
    `batch` None: from the number of rows; "full": all rows in one step. `loss` and `loop` are addresses
    `file.py:function` of the user's own. `tune` says what of pretrained weights learns: all, more gently than the rest,
    or nothing but the rest. `augment` names changes of rows while they are learned, with commas between.
    """

    optimizer: Optimizer = "adam"
    learning_rate: float | None = None
    epochs: int | None = None
    max_epochs: int = 200
    batch: int | Literal["full"] | None = None
    loss: str | None = None
    loop: str | None = None
    tune: How = "all"
    augment: str = "none"

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: one sentence naming the field.
        """
        if self.optimizer not in OPTIMIZERS:
            raise InputError(
                f"'optimizer' must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}.", field="optimizer"
            )
        if self.tune not in HOW:
            raise InputError(f"'tune' must be all or head, got {self.tune!r}.", field="tune")
        names_in(self.augment)
        rate = self.learning_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise InputError(f"'learning_rate' must be a positive finite number, got {rate!r}.", field="learning_rate")
        for name in ("epochs", "max_epochs", "batch"):
            count = getattr(self, name)
            if isinstance(count, int) and count < 1:
                raise InputError(f"'{name}' must be at least 1, got {count!r}.", field=name)

    def batch_size(self, rows: int) -> int:
        """Rows a step: as asked, else about 30 steps an epoch between 16 and 128 rows."""
        if self.batch == "full":
            return rows
        if self.batch is not None:
            return min(self.batch, rows)
        return min(rows, max(16, min(128, int(2 ** round(math.log2(max(1, rows / 30)))))))

    def patience(self, steps_per_epoch: int) -> int:
        """Epochs without improvement that end a training."""
        return max(MIN_PATIENCE, min(MAX_PATIENCE, math.ceil(STALE_STEPS / steps_per_epoch)))

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, plain: Mapping[str, Plain]) -> Self:
        """The inverse of `to_json`."""
        return cls(**plain)
