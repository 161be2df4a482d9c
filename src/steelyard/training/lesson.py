"""What a module learns from when a compression step has changed it: rows, a loss, a teacher, a limit of time."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.task import Array, Rows

Loss = Callable[[Tensor, Tensor], Tensor]
"""A loss of (outputs, targets), its mean over the rows."""
Judge = Callable[[Array, Array], float]
"""A loss of quality of (outputs, targets) of the validation rows, lower is better."""

Batch = tuple[Array, tuple[Tensor, ...], Tensor | None]
"""Indices of training rows (n,), their inputs (n, ...), and their targets where there are labels."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What the teacher says of the training and the validation rows, (n, ..., width) each, where that is known."""

    train: Array
    valid: Array


@dataclass(frozen=True, slots=True)
class Lesson:
    """Everything that a step on a module may learn from.

    Attributes:
        train: rows to learn from; `x` (n, ...), or a structured array with a field for each of several inputs, in
            their order.
        valid: rows that stop the learning and judge it.
        teacher: the module whose outputs are to be kept; the one that was given, before any step.
        loss: of outputs and targets; None where the rows have no labels, and the teacher alone teaches.
        judge: loss of quality on the validation rows; None where the mean difference from the teacher is to judge.
        seed: of the order of rows.
        limit_s: seconds that the learning may take.
        taught: the teacher's outputs, so that nobody asks it again; None where they are not known yet.
    """

    train: Rows
    valid: Rows
    teacher: nn.Module
    loss: Loss | None = None
    judge: Judge | None = None
    seed: int = 0
    limit_s: float = math.inf
    taught: Taught | None = None

    def example(self, rows: int = 2) -> tuple[Tensor, ...]:
        """The first training rows as a module takes them, one tensor an input."""
        return inputs_of(self.train.x[:rows])

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[tuple[tuple[Tensor, ...], Tensor | None]]:
        """Batches of one epoch in a seeded order: the inputs, and the targets where there are labels.

        A last batch of a single row is left out, where others have more: batch norm has no variance of it.
        """
        for _, inputs, targets in self.numbered(size, seed=seed):
            yield inputs, targets

    def numbered(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """The same batches, the indices of their rows (size,) before them."""
        order = np.random.default_rng(self.seed if seed is None else seed).permutation(len(self.train.x))
        for start in range(0, len(order), size):
            index = order[start : start + size]
            if len(index) > 1 or size == 1 or len(order) == 1:
                yield index, inputs_of(self.train.x[index]), self._targets(index)

    def steps(self, size: int) -> int:
        """How many batches an epoch has."""
        whole, rest = divmod(len(self.train.x), size)
        return max(1, whole + (rest > 1))

    def _targets(self, index: Array) -> Tensor | None:
        if self.loss is None:
            return None
        y = np.ascontiguousarray(self.train.y[index])
        return torch.from_numpy(y.astype(np.float32) if y.dtype.kind == "f" else y.astype(np.int64))


def inputs_of(x: Array) -> tuple[Tensor, ...]:
    """Rows as tensors: one an input, floats as float32, whole numbers as int64 except bytes, which are pixels."""
    arrays = [x[name] for name in x.dtype.names] if x.dtype.names else [x]
    return tuple(_tensor(each) for each in arrays)


def _tensor(array: Array) -> Tensor:
    kind = np.int64 if array.dtype.kind in "iu" and array.dtype != np.uint8 else np.float32
    return torch.from_numpy(np.ascontiguousarray(array, dtype=bool if array.dtype.kind == "b" else kind))


def first_output(found: Any) -> Tensor:
    """The output that is judged: of several, or of several by name, the first."""
    if isinstance(found, Mapping):
        found = next(iter(found.values()))
    out: Tensor = found[0] if isinstance(found, tuple | list) else found
    return out
