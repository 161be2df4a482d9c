"""Judging a module on validation rows: by the loss of quality where there is a judge, and by its teacher."""

import math
import time
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.training.distillation import Distance, Teacher, evaluating
from steelyard.training.lesson import Judge, Lesson, first_output, inputs_of

ROWS_A_PASS = 256
"""Validation rows that pass a module at once."""
JUDGING_SHARE = 0.03
"""The part of a time limit that one judgement may take; more rows than fit are left out."""
FEWEST_ROWS = 256
"""Rows that are judged on in any case, where there are so many."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good a module is: the judge's loss, and the distance from the teacher that breaks ties; lower is better."""

    loss: float
    distance: float

    def is_better_than(self, other: "Verdict") -> bool:
        """Lower in the judge's loss, or equal in it and nearer to the teacher. What is not finite is never better."""
        if not math.isfinite(self.loss):
            return False
        if self.loss != other.loss:
            return self.loss < other.loss or not math.isfinite(other.loss)
        return self.distance < other.distance


@dataclass(frozen=True, slots=True)
class Jury:
    """Validation rows with what the teacher says of them.

    Attributes:
        passes: rows (n, ...) of each pass, as they are stored.
        wanted: the teacher's outputs of each pass.
        targets: labels of all rows, for the judge.
        judge: loss of quality; None takes the distance.
        distance: from the teacher, at temperature 1.
        cost_s: seconds that one judgement of the teacher took: about what one of a student takes at most.
    """

    passes: tuple[Array, ...]
    wanted: tuple[Tensor, ...]
    targets: Array
    judge: Judge | None
    distance: Distance
    cost_s: float

    @classmethod
    def of(cls, lesson: Lesson) -> Self:
        """Ask the teacher of a lesson; rows are as many as it answers in a small part of the time."""
        start = time.perf_counter()
        teacher = Teacher(lesson.teacher, len(lesson.valid.x))
        told = None if lesson.taught is None else torch.from_numpy(lesson.taught.valid)
        passes: list[Array] = []
        wanted: list[Tensor] = []
        rows = 0
        for begin in range(0, len(lesson.valid.x), ROWS_A_PASS):
            if rows >= FEWEST_ROWS and time.perf_counter() - start > JUDGING_SHARE * lesson.limit_s:
                break
            passes.append(lesson.valid.x[begin : begin + ROWS_A_PASS])
            wanted.append(teacher(inputs_of(passes[-1])) if told is None else told[begin : begin + ROWS_A_PASS])
            rows += len(passes[-1])
        cost_s = time.perf_counter() - start
        distance = Distance.of(torch.cat(wanted))
        return cls(tuple(passes), tuple(wanted), lesson.valid.y[:rows], lesson.judge, distance, cost_s)

    def __call__(self, module: nn.Module) -> Verdict:
        """Judge a module as it is in evaluation mode; its parts get their own modes back.

        Raises:
            InputError: if its outputs have another shape than the teacher's.
        """
        total, rows = 0.0, 0
        outputs = []
        with torch.no_grad(), evaluating(module):
            for each, wanted in zip(self.passes, self.wanted, strict=True):
                found = first_output(module(*inputs_of(each)))
                if found.shape != wanted.shape:
                    raise InputError(
                        f"a module must give what its teacher gives, {tuple(wanted.shape[1:])} a row, "
                        f"got {tuple(found.shape[1:])}."
                    )
                total += float(self.distance(found, wanted)) * len(found)
                rows += len(found)
                if self.judge is not None:
                    outputs.append(found)
        # A divergence of nearly nothing may come out below it by rounding.
        distance = max(0.0, total / max(1, rows))
        if self.judge is None:
            return Verdict(distance, distance)
        return Verdict(float(self.judge(torch.cat(outputs).numpy(), self.targets)), distance)
