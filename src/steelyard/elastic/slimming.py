"""Trains all structures of a given module at once, from what it has learned already."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from steelyard.core.errors import WorkerError
from steelyard.elastic.sandwich import CURES, LARGEST_NORM, LAST_STEPS, Course, Trained, cycle
from steelyard.elastic.slimmable import Sizes, Slimmable, ladder
from steelyard.elastic.statistics import reestimate_norms
from steelyard.training.distillation import Teacher
from steelyard.training.jury import Jury, Verdict
from steelyard.training.lesson import Batch, Lesson, first_output

RATE = 2e-3
"""Adam's highest rate along the cycle: half of what fresh weights take."""
BETWEEN = 2
"""Structures between the largest and the smallest that each step trains (J. Yu et al. take two)."""
LIGHT = 4
"""Of so many steps one is whole, the others leave the largest structure out."""
TEMPERATURE, WEIGHT = 4.0, 0.7
"""How the teacher teaches, and its share beside the labels: as in a recovery."""
FOCUSES = (0.15, 0.45)
"""Parts of the time after which structures that are of no use are left out."""
RUNGS = 12
"""Structures that are judged to tell what is of use."""
LARGEST, SMALLEST = 0.35, 0.004
"""Shares of the rough time that structures keep at first."""
EASY, HOPELESS = 0.5, 8.0
"""Shares of the permitted drop: what loses less is larger than it has to be, what loses more is lost."""
MARGIN = 1.6
"""Structures so many times cheaper or dearer than these bounds are kept: training moves the bounds."""
NORM_ROWS = 256
"""Training rows that statistics of batch norm are estimated on."""
DIVERGED = 1e3
"""A loss so many times the first one has diverged."""

Spent = Callable[[float], float]
"""The share of the permitted drop that a loss of quality is."""


@dataclass(slots=True)
class Slimming:
    """One training of a slimmable module on a lesson, and the structures that it is for.

    Every step trains the cheapest structure and two others, every fourth the dearest too, by the labels and by what the
    given module says of the rows (the sandwich rule, with the given module in the place of the largest). Twice it
    judges a ladder of structures and leaves out those that are larger than the permitted drop asks for, and those that
    are beyond hope.

    References:
        J. Yu and T. Huang, Universally slimmable networks and improved training techniques, ICCV 2019.
    """

    net: Slimmable
    lesson: Lesson
    spent: Spent
    jury: Jury
    pool: tuple[Sizes, ...] = ()
    low: float = SMALLEST
    high: float = LARGEST

    def train(self, course: Course, drawn: Callable[[float, float], Sequence[Sizes]]) -> Trained:
        """Train the shared weights in place.

        Args:
            course: how long; its rate is the highest.
            drawn: structures between two shares of the whole's rough time.

        Raises:
            WorkerError: if it still diverges after three cures.
        """
        start = time.perf_counter()
        parameters = [each for each in self.net.shared().values() if each.requires_grad]
        fresh = [each.detach().clone() for each in parameters]
        rate = course.rate
        for _ in range(CURES + 1):
            found = self._run(course, rate, start, drawn)
            if found is not None:
                return found
            rate /= 4
            with torch.no_grad():
                for each, value in zip(parameters, fresh, strict=True):
                    each.copy_(value)
        raise WorkerError(f"elastic training diverged {CURES + 1} times.", stage="train")

    def judged(self, sizes: Sizes) -> Verdict:
        """What a structure is worth by the shared weights as they are."""
        module = self.net.extracted(sizes)
        reestimate_norms(module, self.lesson, NORM_ROWS)
        return self.jury(module)

    def focus(self) -> None:
        """Set the bounds of what is of use: along a ladder, by halving, as if a smaller structure were never better."""
        rungs = ladder(self.net, np.geomspace(LARGEST, SMALLEST, RUNGS).tolist())[:RUNGS]
        known: dict[Sizes, float] = {}

        def last_within(bound: float) -> int:
            """The place of the smallest rung that spends no more than the bound; −1 where none does."""
            low, high = -1, len(rungs)
            while high - low > 1:
                middle = (low + high) // 2
                if rungs[middle] not in known:
                    known[rungs[middle]] = self.spent(self.judged(rungs[middle]).loss)
                low, high = (middle, high) if known[rungs[middle]] <= bound else (low, middle)
            return low

        whole = self.net.cost(self.net.full)
        easy, alive = last_within(EASY), last_within(HOPELESS)
        self.high = LARGEST if easy < 0 else min(LARGEST, MARGIN * self.net.cost(rungs[easy]) / whole)
        self.low = self.high / 4 if alive < 0 else max(SMALLEST, self.net.cost(rungs[alive]) / whole / MARGIN)
        self.low = min(self.low, self.high / 2)

    def _run(
        self, course: Course, rate: float, start: float, drawn: Callable[[float, float], Sequence[Sizes]]
    ) -> Trained | None:
        """One training; None where it diverged."""
        torch.manual_seed(course.seed)
        random = np.random.default_rng(course.seed)
        parameters = [each for each in self.net.shared().values() if each.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=rate, foreach=False)
        loss = _Mixed(self.lesson, self.jury)
        self.pool = _by_cost(self.net, drawn(self.low, self.high))
        focuses, first = list(FOCUSES), math.nan
        lasts: list[tuple[float, float]] = []
        total, step, stopped = course.epochs * self.lesson.steps(course.batch), 0, "epochs"
        for batch in self._batches(course):
            used = (time.perf_counter() - start) / course.limit_s
            done = max(step / total, used)
            if done >= 1:
                stopped = "epochs" if step >= total else "time limit"
                break
            if focuses and done >= focuses[0]:
                del focuses[0]
                self.focus()
                self.pool = _by_cost(self.net, drawn(self.low, self.high))
            for group in optimizer.param_groups:
                group["lr"] = rate * cycle(done)
            optimizer.zero_grad(set_to_none=True)
            values = []
            for sizes in self._members(random, is_whole=step % LIGHT == 0):
                value = loss(first_output(self.net.outputs(sizes, _laid_out(batch[1]))), batch)
                values.append(float(value.detach()))
                value.backward()  # type: ignore[no-untyped-call]
            first = values[-1] if math.isnan(first) else first
            if not all(math.isfinite(each) and each <= DIVERGED * max(first, 1.0) for each in values):
                return None
            torch.nn.utils.clip_grad_norm_(parameters, LARGEST_NORM)
            optimizer.step()
            large = values[1] if step % LIGHT == 0 and len(values) > 1 else math.nan
            lasts = [*lasts[-LAST_STEPS + 1 :], (large, values[0])]
            step += 1
        large, small = (_mean([pair[at] for pair in lasts]) for at in (0, 1))
        return Trained(step, time.perf_counter() - start, rate, large, small, stopped)

    def _members(self, random: np.random.Generator, *, is_whole: bool) -> Iterator[Sizes]:
        yield self.pool[0]
        if is_whole and len(self.pool) > 1:
            yield self.pool[-1]
        for _ in range(min(BETWEEN, len(self.pool) - 2)):
            yield self.pool[1 + int(random.integers(len(self.pool) - 2))]

    def _batches(self, course: Course) -> Iterator[Batch]:
        epoch = 0
        while True:
            yield from self.lesson.numbered(course.batch, seed=course.seed + epoch)
            epoch += 1


class _Mixed:
    """The loss of a structure's outputs: the labels' share and the teacher's, or the teacher alone."""

    def __init__(self, lesson: Lesson, jury: Jury) -> None:
        self.lesson = lesson
        taught = None if lesson.taught is None else lesson.taught.train
        self.teacher = Teacher(lesson.teacher, len(lesson.train.x), known=taught)
        self.distance = jury.distance.at(TEMPERATURE)

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        index, inputs, targets = batch
        soft = self.distance(outputs, self.teacher(inputs, index))
        if targets is None or self.lesson.loss is None:
            return soft
        return (1 - WEIGHT) * self.lesson.loss(outputs, targets) + WEIGHT * soft


def _mean(losses: Sequence[float]) -> float:
    """The mean of those that are known."""
    known = [each for each in losses if not math.isnan(each)]
    return float(np.mean(known)) if known else math.nan


def _by_cost(net: Slimmable, structures: Sequence[Sizes]) -> tuple[Sizes, ...]:
    """From the cheapest to the dearest."""
    return tuple(sorted(dict.fromkeys(structures), key=net.cost))


def _laid_out(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Pictures with their channels last, which convolutions take faster."""
    return tuple(each.contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each for each in inputs)
