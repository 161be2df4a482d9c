"""A course: how a changed module learns again, from labels, from its teacher, or from both."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn
from torch.func import functional_call

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.task import Array
from steelyard.training.lesson import Lesson, first_output, inputs_of

Weights = Callable[[], Mapping[str, Tensor]]
"""The weights that a forward pass takes, by the names of parameters; those not named are the module's own."""


@dataclass(frozen=True, slots=True)
class Course:
    """How to learn: how long, in which steps, from whom.

    Attributes:
        epochs: passes over the training rows, a fraction too.
        rate: Adam's learning rate; it falls to nothing along half a cosine after `warmup`.
        batch: rows of a step.
        distill: the teacher's share of the loss, 0 to 1; where there are no labels it is all of it.
        temperature: softens class scores of teacher and pupil.
        flat: the share of the course before the rate begins to fall.

    References:
        G. Hinton et al., Distilling the knowledge in a neural network, 2015.
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017: the cosine.
    """

    epochs: float = 3.0
    rate: float = 1e-3
    batch: int = 128
    distill: float = 0.5
    temperature: float = 2.0
    flat: float = 0.0

    def __post_init__(self) -> None:
        """Refuse settings that no course can have.

        Raises:
            InputError: naming the first of them.
        """
        for name, value, least in (("epochs", self.epochs, 0), ("rate", self.rate, 0), ("batch", self.batch, 1)):
            if not (math.isfinite(value) and value >= least):
                raise InputError(f"'{name}' must be at least {least}, got {value!r}.", field=name)
        for name, share in (("distill", self.distill), ("flat", self.flat)):
            if not 0 <= share <= 1:
                raise InputError(f"'{name}' must be from 0 to 1, got {share!r}.", field=name)
        if not self.temperature > 0:
            raise InputError(f"'temperature' must be above 0, got {self.temperature!r}.", field="temperature")


@dataclass(slots=True)
class Watch:
    """What a step on a module does along a course; nothing, where it is not replaced.

    Attributes:
        before: called with the share of the course that is done, before each step.
        weights: what the forward pass takes.
        gradients: called behind the backward pass.
        after: called behind the optimiser's step.
    """

    before: Callable[[float], None] = lambda _: None
    weights: Weights = dict
    gradients: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


def learn(
    module: nn.Module, lesson: Lesson, course: Course, watch: Watch | None = None, extra: list[Tensor] | None = None
) -> int:
    """Train the module in place along the course; returns the steps it took.

    Args:
        module: the pupil.
        lesson: what it learns from. Its limit of time ends the course early, with the rate brought down by then.
        course: how.
        watch: what is done along the way.
        extra: further tensors to be learned, such as codebooks.

    Raises:
        SteelyardError: if the loss is no longer a number.
    """
    watch = watch or Watch()
    rows = len(lesson.train.x)
    total = math.ceil(course.epochs * rows / course.batch)
    if not total:
        return 0
    objective = Objective(lesson, course)
    learned = [each for each in module.parameters() if each.requires_grad] + (extra or [])
    optimizer = torch.optim.Adam(learned, lr=course.rate, fused=True)
    start, step = time.monotonic(), 0
    module.train()
    for index in _orders(rows, course.batch, lesson.seed, total):
        done = max(step / total, (time.monotonic() - start) / lesson.limit_s)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = course.rate * _cosine(done, course.flat)
        watch.before(done)
        optimizer.zero_grad()
        inputs, targets = objective.batch(index)
        out = first_output(functional_call(module, dict(watch.weights()), inputs))
        loss = objective(out, targets, index)
        if not torch.isfinite(loss.detach()):
            raise SteelyardError(
                f"the loss became {float(loss.detach())} at step {step}; lower 'rate' (now {course.rate})."
            )
        loss.backward()  # type: ignore[no-untyped-call]
        watch.gradients()
        optimizer.step()
        watch.after()
        step += 1
    module.eval()
    return step


def _cosine(done: float, flat: float) -> float:
    share = max(0.0, done - flat) / max(1e-9, 1 - flat)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def _orders(rows: int, size: int, seed: int, total: int) -> Iterator[Tensor]:
    """Indices of `total` batches, pass after pass in new orders; no batch has a single row if it can be helped."""
    draw = torch.Generator().manual_seed(seed)
    given = 0
    while given < total:
        parts = torch.randperm(rows, generator=draw).split(size)  # type: ignore[no-untyped-call]
        for index in parts[: total - given]:
            given += 1
            # Batch norm has no variance of a single row, so a last batch of one is left out.
            if len(index) > 1 or len(parts) == rows:
                yield index


class Objective:
    """The loss of a batch: the lesson's own, the distance from the teacher, or both by their shares."""

    def __init__(self, lesson: Lesson, course: Course) -> None:
        """Ask the teacher about every training row once, where it has a say."""
        self._lesson, self._course = lesson, course
        self._share = 1.0 if lesson.loss is None else course.distill
        self._taught = answers(lesson.teacher, lesson.train.x) if self._share else None
        self._is_classes = lesson.train.y.dtype.kind in "iub" if lesson.loss is not None else False

    def batch(self, index: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Inputs and targets of the rows."""
        rows = index.numpy()
        targets = None
        if self._lesson.loss is not None:
            y = self._lesson.train.y[rows]
            targets = torch.from_numpy(y.astype("float32" if y.dtype.kind == "f" else "int64"))
        return inputs_of(self._lesson.train.x[rows]), targets

    def __call__(self, out: Tensor, targets: Tensor | None, index: Tensor) -> Tensor:
        """The loss of outputs."""
        loss = torch.zeros(())
        if self._share < 1 and self._lesson.loss is not None:
            loss = loss + (1 - self._share) * self._lesson.loss(out, targets)  # type: ignore[arg-type]
        if self._taught is not None:
            loss = loss + self._share * self._distance(out, self._taught[index])
        return loss

    def _distance(self, out: Tensor, taught: Tensor) -> Tensor:
        if not (self._is_classes and out.ndim == 2 and out.shape[1] > 1):
            return F.mse_loss(out, taught) / taught.var().clamp_min(1e-12)
        heat = self._course.temperature
        wanted = F.log_softmax(taught / heat, dim=1)
        return heat**2 * F.kl_div(F.log_softmax(out / heat, dim=1), wanted, reduction="batchmean", log_target=True)


def answers(teacher: nn.Module, x: Array, size: int = 1024) -> Tensor:
    """The teacher's outputs on all rows."""
    was_training = teacher.training
    teacher.eval()
    with torch.no_grad():
        found = [first_output(teacher(*inputs_of(x[start : start + size]))) for start in range(0, len(x), size)]
    teacher.train(was_training)
    return torch.cat(found)
