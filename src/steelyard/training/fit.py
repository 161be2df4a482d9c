"""The training loop: mini-batches, early stopping, divergence noticed and cured."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.errors import WorkerError
from steelyard.core.protocols import Metric
from steelyard.core.task import Array, OutputSpec, Rows, TensorOutput, ValueOutput
from steelyard.training.changes import Change
from steelyard.training.losses import loss_of, penalty_of
from steelyard.training.rates import range_test
from steelyard.training.recipe import Recipe
from steelyard.training.tuning import Tuning, learning_groups, set_rate, train_mode

FRONT_BYTES = 1_500_000_000
"""Front outputs up to this size are made once and kept; larger ones are made anew for each batch."""
ANNEALED = 0.4
"""The last part of a time limit over which the learning rate falls to nothing, so that what is cut short ends well.

The cool-down of Hägele et al., Scaling laws and compute-optimal training beyond fixed training durations, NeurIPS 2024.
"""
GROWTH = 4.0
"""A loss this many times its first value has diverged: a model that only guesses has about the first value."""
RISES = 2
"""Rises in a row of a full-batch loss above its first value that mean divergence."""
CURES = 3
"""How often a diverged training is started again at a lower rate before it counts as failed."""


@dataclass(slots=True)
class Fit:
    """What a training did: its curve, its rate, how it ended. The module given holds the best weights."""

    learning_rate: float
    curve: dict[str, list[float]]
    stopped: str
    train_s: float
    notes: list[str] = field(default_factory=list)
    stable_rate: float | None = None


class _DivergedError(Exception):
    """The loss left the finite numbers, or kept rising."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"epoch {epoch}")
        self.epoch = epoch


class HopelessError(WorkerError):
    """A training fell short of the quality that it needed to go on."""

    def __init__(self, epoch: int, quality: float, curve: dict[str, list[float]]) -> None:
        """Keep after which epoch it was, the best quality so far, and the curve."""
        super().__init__(f"training fell short of what it needs in epoch {epoch}.", stage="train")
        self.epoch, self.quality, self.curve = epoch, quality, curve


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything a training needs beside the model: splits, what the output means, the metric, the recipe, limits.

    `limit_s` ends the training early with its best weights. `stable_rate` is the largest rate at which plain
    descent converges, where it is known. `loss` is the user's own, of (outputs, targets). `needed` is by epoch the
    least quality, the best so far, with which the training goes on. `tuning` says which
    parameters start from trained weights. `changes` are made of the rows of a batch.
    """

    train: Rows
    valid: Rows
    output: OutputSpec
    metric: Metric
    recipe: Recipe
    seed: int
    limit_s: float = math.inf
    stable_rate: float | None = None
    loss: Callable[[Tensor, Tensor], Tensor] | None = None
    needed: Mapping[int, float] = field(default_factory=dict)
    tuning: Tuning | None = None
    changes: tuple[Change, ...] = ()


def fit(model: Any, problem: Problem) -> Fit:
    """Train `model` (front, body, back) in place until it stops improving on the validation split.

    The best weights seen are kept: best by the metric, then by the loss. A training that diverges (a loss that is
    not finite, that grew to four times its first value, or that rises epoch after epoch) is noticed at once and
    started again at a lower rate: just below the largest stable one where it is known, a quarter otherwise.

    Raises:
        WorkerError: if it still diverges after three cures.
        HopelessError: if it falls short of what it needs.
    """
    start = time.perf_counter()
    torch.manual_seed(problem.seed)
    # Convolutions train a fifth faster with channels last; other layers don't mind.
    model.body.to(memory_format=torch.channels_last)
    data = _Tensors.prepare(model, problem)
    fresh = {name: value.clone() for name, value in model.body.state_dict().items()}
    rate = problem.recipe.learning_rate or _found_rate(model, problem, data)
    notes: list[str] = []
    for _ in range(CURES + 1):
        try:
            curve, stopped = _run(model, problem, data, rate, start)
        except _DivergedError as diverged:
            model.body.load_state_dict(fresh)
            lower = _cured_rate(rate, problem)
            stable = f"; the largest stable rate is {problem.stable_rate:.4g}" if problem.stable_rate else ""
            notes.append(f"diverged at learning rate {rate:.4g} in epoch {diverged.epoch}{stable}; now {lower:.4g}")
            rate = lower
            continue
        return Fit(rate, curve, stopped, time.perf_counter() - start, notes, problem.stable_rate)
    raise WorkerError(f"training diverged {CURES + 1} times, last at learning rate {rate:.4g}.", stage="train")


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The splits as the body sees them, and targets as the loss sees them."""

    train_x: Callable[[Tensor], Tensor]
    train_y: Tensor
    valid_x: Callable[[Tensor], Tensor]
    valid_y: Tensor
    valid_targets: Array
    rows: int

    @classmethod
    def prepare(cls, model: Any, problem: Problem) -> "_Tensors":
        return cls(
            train_x=_front_rows(model, problem.train.x),
            train_y=targets_of(problem.train.y, problem.output),
            valid_x=_front_rows(model, problem.valid.x),
            valid_y=targets_of(problem.valid.y, problem.output),
            valid_targets=problem.valid.y,
            rows=len(problem.train),
        )


def _front_rows(model: Any, x: Array) -> Callable[[Tensor], Tensor]:
    """Rows by index after the front: made once where they fit in memory."""
    size = math.prod(model.front.shape) * 4 * len(x)

    def through_front(rows: Array) -> Tensor:
        with torch.no_grad():
            out: Tensor = model.front(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)))
        return out.contiguous(memory_format=torch.channels_last) if out.ndim == 4 else out

    if size > FRONT_BYTES:
        return lambda index: through_front(x[index.numpy()])
    whole = torch.cat([through_front(x[start : start + 1024]) for start in range(0, len(x), 1024)])
    return lambda index: whole[index]


def targets_of(y: Array, output: OutputSpec) -> Tensor:
    """Targets as a body learns them: classes (n,), or standardised values (n, 1)."""
    if isinstance(output, ValueOutput):
        scaled = (np.asarray(y, dtype=np.float64) - output.mean) / output.std
        return torch.from_numpy(scaled.astype(np.float32)).view(-1, 1)
    return torch.from_numpy(np.asarray(y, dtype=np.int64))


def default_loss(output: OutputSpec) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of class scores, mean squared error of values, cross-entropy of every next token of a text."""
    if isinstance(output, TensorOutput):
        return loss_of(output)
    return F.mse_loss if isinstance(output, ValueOutput) else F.cross_entropy


def make_optimizer(recipe: Recipe, body: nn.Module, rate: float, tuning: Tuning | None = None) -> torch.optim.Optimizer:
    """The recipe's optimiser; plain SGD has no momentum, so that its stable rate is the textbook's."""
    parameters = learning_groups(body, tuning)
    set_rate(parameters, rate)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, foreach=False)
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate)
    return torch.optim.SGD(parameters, lr=rate)


def _found_rate(model: Any, problem: Problem, data: _Tensors) -> float:
    if not any(each.requires_grad for each in model.body.parameters()):
        return 0.0
    batches = _endless(data, problem)
    highest = min(1.0, problem.stable_rate) if problem.stable_rate and problem.recipe.optimizer == "sgd" else 0.3
    return range_test(
        model.body,
        lambda body, rate: make_optimizer(problem.recipe, body, rate, problem.tuning),
        problem.loss or default_loss(problem.output),
        lambda: next(batches),
        highest=highest,
    )


def _endless(data: _Tensors, problem: Problem) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(problem.seed)
    while True:
        yield from _epoch(data, problem, generator)


def _epoch(data: _Tensors, problem: Problem, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    size = problem.recipe.batch_size(data.rows)
    order = torch.randperm(data.rows, generator=generator)
    for start in range(0, data.rows, size):
        index = order[start : start + size]
        # Batch norm has no variance of a single row, so a last batch of one is left out.
        if len(index) > 1 or data.rows == 1:
            x = data.train_x(index)
            for change in problem.changes:
                x = change(x, generator)
            yield x, data.train_y[index]


def _in_time(
    batches: Iterator[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    rate: float,
    start: float,
    limit_s: float,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches until the time is up, the rate falling to zero over its last part.

    The first batch comes in any case, so that every epoch learns. A training that ends of itself before the last part
    never sees the clock.
    """
    for number, batch in enumerate(batches):
        used = (time.perf_counter() - start) / max(limit_s, 1e-9)
        if number and used > 1:
            return
        set_rate(optimizer.param_groups, rate * min(1.0, max(0.01, (1 - used) / ANNEALED)))
        yield batch


def _cured_rate(rate: float, problem: Problem) -> float:
    stable = problem.stable_rate
    if stable and problem.recipe.optimizer == "sgd" and rate >= stable:
        return 0.95 * stable
    return rate / 4


def _run(model: Any, problem: Problem, data: _Tensors, rate: float, start: float) -> tuple[dict[str, list[float]], str]:
    """One training at one rate; leaves the best weights in the body."""
    recipe, body = problem.recipe, model.body
    loss = problem.loss or default_loss(problem.output)
    if not any(each.requires_grad for each in body.parameters()):
        return {}, "nothing to train"
    optimizer = make_optimizer(recipe, body, rate, problem.tuning)
    generator = torch.Generator().manual_seed(problem.seed)
    steps = max(1, math.ceil(data.rows / recipe.batch_size(data.rows)))
    patience = recipe.patience(steps)
    curve: dict[str, list[float]] = {"epoch": [], "train_loss": [], "valid_loss": [], "valid_quality": []}
    best: tuple[float, float] | None = None
    kept: dict[str, Tensor] = {}
    stale, rises, first, stopped = 0, 0, None, "epochs"
    limit = recipe.epochs or recipe.max_epochs * (50 if recipe.batch == "full" else 1)
    for epoch in range(1, limit + 1):
        batches = _in_time(_epoch(data, problem, generator), optimizer, rate, start, problem.limit_s)
        train_mode(body, problem.tuning)
        train_loss = _train_epoch(body, loss, optimizer, batches)
        rises = rises + 1 if curve["train_loss"] and train_loss > curve["train_loss"][-1] else 0
        first = train_loss if first is None else first
        if diverges(train_loss, first, rises, is_full=recipe.batch == "full"):
            raise _DivergedError(epoch)
        valid_loss, quality = _judge(model, problem, data, loss)
        for name, value in zip(curve, (epoch, train_loss, valid_loss, quality), strict=True):
            curve[name].append(value)
        standing = (quality if problem.metric.higher_is_better else -quality, -valid_loss)
        if best is None or _improves(standing, best):
            best, stale = standing, 0
            kept = {name: value.clone() for name, value in body.state_dict().items()}
        else:
            stale += 1
        if recipe.epochs is None and stale >= patience:
            stopped = "no longer improving"
            break
        if stale and stale % max(1, patience // 2) == 0:
            rate *= 0.5
        if time.perf_counter() - start > problem.limit_s:
            stopped = "time limit"
            break
        _check_hope(problem, epoch, best[0], curve)
    if recipe.epochs is None:
        body.load_state_dict(kept)
    return thinned(curve), stopped


def _check_hope(problem: Problem, epoch: int, best: float, curve: dict[str, list[float]]) -> None:
    """Stop a training whose best standing so far, higher is better, is below what it needs after this epoch."""
    needed = problem.needed.get(epoch)
    if needed is None:
        return
    sign = 1.0 if problem.metric.higher_is_better else -1.0
    if best < sign * needed:
        raise HopelessError(epoch, sign * best, thinned(curve))


def diverges(loss: float, first: float, rises: int, *, is_full: bool) -> bool:
    """Whether a training has left the path of descent.

    Args:
        loss: of this epoch.
        first: of the first epoch.
        rises: how many epochs in a row the loss has risen.
        is_full: whether each epoch is one step over all rows; such a loss never rises at a stable rate.
    """
    if not math.isfinite(loss) or loss > GROWTH * max(first, 1e-12):
        return True
    return is_full and rises >= RISES and loss > first


def _improves(new: tuple[float, float], best: tuple[float, float]) -> bool:
    """Better by the metric, or equal by the metric and better by a thousandth of the loss."""
    if new[0] != best[0]:
        return new[0] > best[0]
    return new[1] > best[1] + 1e-3 * abs(best[1])


def _train_epoch(
    body: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
) -> float:
    """One pass; returns the mean loss, infinite as soon as one batch's is not finite."""
    total, count = 0.0, 0
    for x, y in batches:
        optimizer.zero_grad(set_to_none=True)
        value = loss(body(x), y) + penalty_of(body)
        current = float(value.detach())
        if not math.isfinite(current):
            return math.inf
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += current * len(y)
        count += len(y)
    return total / max(1, count)


def _judge(
    model: Any, problem: Problem, data: _Tensors, loss: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Loss and metric on the validation split; the metric sees outputs in the target's own unit."""
    model.body.eval()
    rows = len(data.valid_targets)
    outputs, total = [], 0.0
    with torch.no_grad():
        # Scores of every token to come fill memory sooner than scores of a row.
        size = 128 if isinstance(problem.output, TensorOutput) else 1024
        for start in range(0, rows, size):
            index = torch.arange(start, min(rows, start + size))
            raw = model.body(data.valid_x(index))
            total += float(loss(raw, data.valid_y[index])) * len(index)
            outputs.append(model.back(raw))
    quality = problem.metric(torch.cat(outputs).numpy(), data.valid_targets)
    valid_loss = total / rows
    return (valid_loss if math.isfinite(valid_loss) else math.inf), quality


def thinned(curve: dict[str, list[float]], most: int = 100) -> dict[str, list[float]]:
    """At most `most` points of a curve, evenly, first and last among them."""
    length = len(curve["epoch"])
    if length <= most:
        return curve
    keep = sorted({round(i * (length - 1) / (most - 1)) for i in range(most)})
    return {name: [values[i] for i in keep] for name, values in curve.items()}
