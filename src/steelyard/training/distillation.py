"""What a teacher says of rows, and how far a student is from it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.task import Array
from steelyard.training.lesson import first_output

KEPT_BYTES = 500_000_000
"""Outputs of a teacher on all training rows up to this size are kept; larger ones are made anew for each batch."""
SMALLEST = 1e-7
"""Probabilities are read as at least this, about the resolution of float32, so that their logarithm exists."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a student's outputs are from its teacher's.

    Two or more outputs on the last axis decide: softened by the temperature, their Kullback-Leibler divergence is
    taken, times its square, so that gradients keep their size. A single output is a value: mean squared error over
    the teacher's variance.

    Attributes:
        kind: what the outputs are; probabilities are outputs that a softmax in the model has made.
        temperature: of the softening; 1 compares the decisions as they are.
        variance: of the teacher's values, in their unit squared; 1 for decisions.

    References:
        G. Hinton, O. Vinyals, J. Dean, Distilling the knowledge in a neural network, 2015 (arXiv 1503.02531).
    """

    kind: Literal["scores", "probabilities", "values"]
    temperature: float = 1.0
    variance: float = 1.0

    @classmethod
    def of(cls, sample: Tensor, temperature: float = 1.0) -> Self:
        """The distance that fits a teacher's outputs (n, ..., width) on some rows."""
        if sample.ndim < 2 or sample.shape[-1] < 2:
            variance = float(sample.detach().double().var(correction=0))
            return cls("values", temperature, variance if variance > 0 and math.isfinite(variance) else 1.0)
        sums_to_one = bool(((sample.sum(-1) - 1).abs() < 1e-3).all())
        return cls("probabilities" if sums_to_one and bool((sample >= 0).all()) else "scores", temperature)

    def at(self, temperature: float) -> Self:
        """The same distance at another temperature."""
        return replace(self, temperature=temperature)

    def __call__(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """The mean distance over all rows, and over all places of a sequence.

        Args:
            outputs: the student's (n, ..., width).
            wanted: the teacher's, of the same shape.
        """
        if self.kind == "values":
            return F.mse_loss(outputs, wanted) / self.variance
        student = F.log_softmax(self._scores(outputs) / self.temperature, dim=-1).flatten(0, -2)
        teacher = F.log_softmax(self._scores(wanted) / self.temperature, dim=-1).flatten(0, -2)
        return F.kl_div(student, teacher, reduction="batchmean", log_target=True) * self.temperature**2

    def _scores(self, outputs: Tensor) -> Tensor:
        return outputs.clamp(min=SMALLEST).log() if self.kind == "probabilities" else outputs


class Teacher:
    """A teacher's first outputs on the training rows, made at first need and kept where all of them fit in memory."""

    def __init__(
        self, module: nn.Module, rows: int, *, known: Array | None = None, most_bytes: int = KEPT_BYTES
    ) -> None:
        """Teach `rows` rows by `module`, keeping at most `most_bytes` of its outputs; `known` are those of all rows."""
        self.module = module
        self.rows = rows
        self.most_bytes = most_bytes
        self.asked = 0
        self._kept: Tensor | None = None
        self._is_known = torch.zeros(rows, dtype=torch.bool)
        if known is not None:
            self._kept = torch.from_numpy(known)
            self._is_known[:] = True

    def __call__(self, inputs: tuple[Tensor, ...], index: Array | None = None) -> Tensor:
        """Outputs (n, ..., width) on the rows with these indices; without indices nothing is looked up or kept."""
        if index is None:
            return self._ask(inputs)
        place = torch.from_numpy(index)
        if self._kept is None:
            fresh = self._ask(inputs)
            shape = (self.rows, *fresh.shape[1:])
            if math.prod(shape) * fresh.element_size() > self.most_bytes:
                return fresh
            self._kept = torch.empty(shape, dtype=fresh.dtype)
            self._store(place, fresh)
            return fresh
        unknown = ~self._is_known[place]
        if bool(unknown.any()):
            self._store(place[unknown], self._ask(tuple(each[unknown] for each in inputs)))
        return self._kept[place]

    def _ask(self, inputs: tuple[Tensor, ...]) -> Tensor:
        self.asked += len(inputs[0])
        with torch.no_grad(), evaluating(self.module):
            return first_output(self.module(*inputs)).detach()

    def _store(self, place: Tensor, fresh: Tensor) -> None:
        if self._kept is not None:
            self._kept[place] = fresh
            self._is_known[place] = True


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """A module in evaluation mode for a while; each part gets its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, is_training in modes:
            part.training = is_training
