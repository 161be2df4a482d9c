"""Trains all sub-networks of a supernet at once: each step the largest, the smallest and some between."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from steelyard.core.candidate import Scale
from steelyard.core.errors import WorkerError
from steelyard.core.task import Array, OutputSpec, Rows, ValueOutput
from steelyard.elastic.supernet import Member, Supernet
from steelyard.training.fit import default_loss, targets_of

RATE = 4e-3
"""Adam's highest rate along the cycle; small networks with batch norm take it, and a quarter cures what does not."""
WARM = 0.25
"""The part of a course over which the rate grows."""
BETWEEN = 2
"""Sub-networks between the largest and the smallest that each step trains (J. Yu et al. take two)."""
LIGHT = 4
"""Of so many steps one is whole, the others leave the largest model out."""
DIVERGED = 1e4
"""A loss so many times the first one, or 1 where that is smaller, has diverged."""
LARGEST_NORM = 5.0
"""Gradients longer than this are shortened to it."""
CURES = 3
"""How often a diverged training is started again at a quarter of its rate."""
LAST_STEPS = 100
"""Steps whose mean loss is reported."""

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Course:
    """How a supernet is trained: at most `epochs` passes within `limit_s` seconds, `batch` rows a step."""

    epochs: int
    batch: int
    limit_s: float
    seed: int
    rate: float = RATE


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training did: steps, seconds, the rate it ended with, the last losses of the largest and the smallest."""

    steps: int
    train_s: float
    rate: float
    largest_loss: float
    smallest_loss: float
    stopped: str


def train_supernet(
    net: Supernet, rows: Rows, output: OutputSpec, course: Course, own_loss: Loss | None = None
) -> Trained:
    """Train the shared weights in place by the sandwich rule with in-place distillation.

    In every fourth step the largest sub-network learns from the labels, the others from what it says; in the steps
    between, which leave it out, all learn from the labels (as always by the user's own loss). The learning rate follows
    one cycle, by the steps or by the time, whichever ends first.

    Args:
        net: the supernet; its first scale is the largest, its last the smallest.
        rows: training rows, raw.
        output: what the outputs mean.
        course: how long.
        own_loss: of (outputs, targets).

    Raises:
        WorkerError: if it still diverges after three cures.

    References:
        J. Yu and T. Huang, Universally slimmable networks and improved training techniques, ICCV 2019: the sandwich
        rule, in-place distillation. L. Smith and N. Topin, Super-convergence, 2018: the cycle.
    """
    start = time.perf_counter()
    fresh = [each.detach().clone() for each in net.parameters()]
    rate = course.rate
    for _ in range(CURES + 1):
        found = _Sandwich(net, rows, output, course, own_loss, start).run(rate)
        if found is not None:
            return found
        rate /= 4
        with torch.no_grad():
            for each, value in zip(net.parameters(), fresh, strict=True):
                each.copy_(value)
    raise WorkerError(
        f"elastic training diverged {CURES + 1} times, last at learning rate {rate * 4:.4g}.", stage="train"
    )


class _DivergedError(Exception):
    """A loss left the finite numbers, or grew beyond all measure."""


class _Sandwich:
    def __init__(  # noqa: PLR0917  what `train_supernet` is given, and when it began
        self,
        net: Supernet,
        rows: Rows,
        output: OutputSpec,
        course: Course,
        own_loss: Loss | None,
        start: float,
    ) -> None:
        self.net, self.course, self.start = net, course, start
        self.rows, self.targets = rows, targets_of(rows.y, output)
        self.ends = (net.scales[0], net.scales[-1])
        self.loss = own_loss or default_loss(output)
        self.distance = F.mse_loss if isinstance(output, ValueOutput) else soft_loss
        self.has_own_loss = own_loss is not None
        self.random = np.random.default_rng(course.seed)
        self.first: float | None = None

    def run(self, rate: float) -> Trained | None:
        """One training; None where it diverged, or where a cure has no time left."""
        course = self.course
        if self.start + course.limit_s <= time.perf_counter() and rate < course.rate:
            return None
        total = course.epochs * max(1, len(self.rows) // course.batch)
        optimizer = torch.optim.Adam(self.net.parameters(), lr=rate, foreach=False)
        lasts: list[tuple[float, float]] = []
        step, stopped = 0, "epochs"
        for index in self._batches():
            done = max(step / total, (time.perf_counter() - self.start) / course.limit_s)
            if done >= 1:
                stopped = "epochs" if step >= total else "time limit"
                break
            for group in optimizer.param_groups:
                group["lr"] = rate * cycle(done)
            optimizer.zero_grad(set_to_none=True)
            try:
                lasts = [*lasts[-LAST_STEPS + 1 :], self._backward(index, is_whole=step % LIGHT == 0)]
            except _DivergedError:
                return None
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_NORM)
            optimizer.step()
            step += 1
        took = time.perf_counter() - self.start
        large, small = (_mean([pair[at] for pair in lasts]) for at in (0, 1))
        return Trained(step, took, rate, large, small, stopped)

    def _backward(self, index: Array, *, is_whole: bool) -> tuple[float, float]:
        """Gradients of one step, member after member, so that the activations of one alone are held at a time.

        A whole step trains the largest by the labels and the others by what it says; a light one leaves it out, and the
        labels teach. The largest takes most of a whole step's time, and the smallest need more steps than it does.
        """
        x = torch.from_numpy(np.ascontiguousarray(self.rows.x[index], dtype=np.float32))
        y = self.targets[torch.from_numpy(index)]
        largest, smallest = (self.net.member(scale) for scale in self.ends)
        wanted, teach, large, small = y, self.loss, math.nan, math.nan
        if is_whole or largest is smallest:
            out = _forward(largest, x)
            large = self._learned(self.loss(out, y))
            if not self.has_own_loss:
                wanted, teach = out.detach(), self.distance
        if largest is not smallest:
            small = self._learned(teach(_forward(smallest, x), wanted))
        for member in self._between():
            self._learned(teach(_forward(member, x), wanted))
        return large, small

    def _learned(self, loss: Tensor) -> float:
        value = float(loss.detach())
        self.first = value if self.first is None else self.first
        if not math.isfinite(value) or value > DIVERGED * max(self.first, 1.0):
            raise _DivergedError
        loss.backward()  # type: ignore[no-untyped-call]
        return value

    def _between(self) -> Iterator[Member]:
        for _ in range(min(BETWEEN, len(self.net.scales) - 2)):
            yield self.net.member(self.net.scales[1 + int(self.random.integers(len(self.net.scales) - 2))])

    def _batches(self) -> Iterator[Array]:
        rows, size = len(self.rows), self.course.batch
        while True:
            order = self.random.permutation(rows)
            for at in range(0, rows, size):
                # Batch norm has no variance of a single row, so a last batch of one is left out.
                if len(order[at : at + size]) > 1 or rows == 1:
                    yield order[at : at + size]


def _mean(losses: Sequence[float]) -> float:
    """The mean of those that are known."""
    known = [each for each in losses if not math.isnan(each)]
    return float(np.mean(known)) if known else math.nan


def _forward(member: Member, x: Tensor) -> Tensor:
    member.model.body.train()
    with torch.no_grad():
        front = member.model.front(x)
    return member(front.contiguous(memory_format=torch.channels_last) if front.ndim == 4 else front)


def soft_loss(out: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of class scores against another model's: the mean over rows of −Σ p log q."""
    return -(F.softmax(wanted, dim=1) * F.log_softmax(out, dim=1)).sum(dim=1).mean()


def cycle(done: float) -> float:
    """The rate's factor at a share of the course: up along a quarter of it, down along half a cosine."""
    if done < WARM:
        return 0.05 + 0.95 * done / WARM
    return max(0.002, 0.5 * (1 + math.cos(math.pi * (done - WARM) / (1 - WARM))))


def step_s(net: Supernet, scale: Scale, batch: int) -> float:
    """Seconds of one training step of one sub-network."""
    member = net.member(scale)
    member.model.body.train()
    x = torch.randn(batch, *member.model.front.shape)
    took = []
    for _ in range(2):
        start = time.perf_counter()
        member(x).square().mean().backward()  # type: ignore[no-untyped-call]
        took.append(time.perf_counter() - start)
    for each in net.parameters():
        each.grad = None
    return min(took)
