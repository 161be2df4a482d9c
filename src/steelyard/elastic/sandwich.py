"""Trains all sub-networks of a supernet at once: one a step, by turns, the largest more often than the others."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steelyard.core.candidate import Scale
from steelyard.core.errors import WorkerError
from steelyard.core.task import Array, OutputSpec, Rows
from steelyard.elastic.supernet import Member, Supernet
from steelyard.training.fit import default_loss, targets_of

RATE = 4e-3
"""Adam's highest rate along the cycle; small networks with batch norm take it, and a quarter cures what does not."""
WARM = 0.25
"""The part of a course over which the rate grows."""
LARGEST = 6
"""Of so many steps one trains the largest sub-network: all others use parts of its weights, and it needs the most."""
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

    Each step trains one sub-network by the labels. Every sixth is the largest; the others have their turns, each once
    before any has its second, in a new order every time. So a batch of the sandwich rule (the largest, the smallest
    and some between on the mean of their gradients) becomes as many steps of the optimiser at the same cost, which is
    what a short training is short of. The learning rate follows one cycle, by the steps or by the time, whichever ends
    first.

    Args:
        net: the supernet; its first scale is the largest, its last the smallest.
        rows: training rows, raw.
        output: what the outputs mean.
        course: how long.
        own_loss: of (outputs, targets).

    Raises:
        WorkerError: if it still diverges after three cures.

    References:
        Z. Guo et al., Single path one-shot neural architecture search, ECCV 2020: one sub-network a step. X. Chu et
        al., FairNAS, ICCV 2021: turns. J. Yu and T. Huang, Universally slimmable networks, ICCV 2019: the largest.
        L. Smith and N. Topin, Super-convergence, 2018: the cycle.
    """
    start = time.perf_counter()
    fresh = [each.detach().clone() for each in net.parameters()]
    rate = course.rate
    for _ in range(CURES + 1):
        found = _Turns(net, rows, output, course, own_loss, start).run(rate)
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


class _Turns:
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
        self.random = np.random.default_rng(course.seed)
        self.first: float | None = None
        self.turns: list[Scale] = []
        self.optimizer = torch.optim.Adam(net.parameters(), lr=course.rate, fused=True)

    def run(self, rate: float) -> Trained | None:
        """One training; None where it diverged, or where a cure has no time left."""
        course = self.course
        if self.start + course.limit_s <= time.perf_counter() and rate < course.rate:
            return None
        total = course.epochs * max(1, len(self.rows) // course.batch)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=rate, fused=True)
        lasts: dict[Scale, list[float]] = {end: [] for end in self.ends}
        step, stopped = 0, "epochs"
        for index in self._batches():
            done = max(step / total, (time.perf_counter() - self.start) / course.limit_s)
            if done >= 1:
                stopped = "epochs" if step >= total else "time limit"
                break
            for group in self.optimizer.param_groups:
                group["lr"] = rate * cycle(done)
            try:
                scale = self.ends[0] if step % LARGEST == 0 else self._next()
                value = self._turn(index, scale)
            except _DivergedError:
                return None
            for end in {*self.ends} & {scale}:
                lasts[end] = [*lasts[end][-LAST_STEPS + 1 :], value]
            step += 1
        took = time.perf_counter() - self.start
        large, small = (_mean(lasts[end]) for end in self.ends)
        return Trained(step, took, rate, large, small, stopped)

    def _turn(self, index: Array, scale: Scale) -> float:
        """A sub-network learns from a batch; its loss before that."""
        x = torch.from_numpy(np.ascontiguousarray(self.rows.x[index], dtype=np.float32))
        return self._learned(self.loss(_forward(self.net.member(scale), x), self.targets[torch.from_numpy(index)]))

    def _learned(self, loss: Tensor) -> float:
        """One step of the optimiser; parameters that the sub-network lacks are left as they are."""
        value = float(loss.detach())
        self.first = value if self.first is None else self.first
        if not math.isfinite(value) or value > DIVERGED * max(self.first, 1.0):
            raise _DivergedError
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_NORM)
        self.optimizer.step()
        return value

    def _next(self) -> Scale:
        """The sub-network whose turn it is."""
        if not self.turns:
            self.turns = [self.net.scales[at] for at in self.random.permutation(len(self.net.scales))]
        return self.turns.pop()

    def _batches(self) -> Iterator[Array]:
        rows, size = len(self.rows), self.course.batch
        while True:
            order = self.random.permutation(rows)
            for at in range(0, rows, size):
                # Batch norm has no variance of a single row, so a last batch of one is left out.
                if len(order[at : at + size]) > 1 or rows == 1:
                    yield order[at : at + size]


def _mean(losses: Sequence[float]) -> float:
    """The mean; NaN of none."""
    return float(np.mean(losses)) if losses else math.nan


def _forward(member: Member, x: Tensor) -> Tensor:
    member.model.body.train()
    with torch.no_grad():
        front = member.model.front(x)
    return member(front.contiguous(memory_format=torch.channels_last) if front.ndim == 4 else front)


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
