"""Fine-tuning after a compression step: what a module lost is learned again within a time limit, and ends well."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError, WorkerError
from steelyard.core.task import Array
from steelyard.training.augmentation import AUGMENTS, Augment, augmented
from steelyard.training.distillation import Teacher
from steelyard.training.fakequant import Rounding, rounding
from steelyard.training.features import Features
from steelyard.training.fit import diverges, thinned
from steelyard.training.jury import Jury, Verdict
from steelyard.training.lesson import Batch, Lesson, first_output
from steelyard.training.pace import Pace
from steelyard.training.recipe import Recipe

RATES = {"adamw": (5e-3, 1.5e-3, 5e-4), "sgd": (0.1, 0.03, 0.01)}
"""Learning rates that are tried: half decades around the usual rate of fine-tuning, the highest first."""
TRIAL_STEPS = 16
"""Steps that a rate is tried for; the loss of the last quarter is its result."""
TRIAL_SHARE = 0.08
"""The part of the time limit that trying rates may take in all."""
NEARLY = 1.25
"""A higher rate is taken where its loss is within a quarter of the lowest: it pays over the decay that follows."""
LARGEST_NORM = 1.0
"""Gradients longer than this are shortened to it."""
MOST_EPOCHS = 100
"""Epochs where none are asked for; patience or the time limit mostly ends the learning before."""
PATIENCE = 6
"""Judgements without improvement after which the learning rate falls quickly to nothing and learning ends."""
FEWEST_BITS, MOST_BITS = 2, 8
"""Bits of rounded weights: a sign and a step at least, a byte at most."""
LEARNING_TO_JUDGING = 4
"""Times as long as judging takes that a module learns before it is judged again, where time is short."""
CURES = 3
"""How often a diverged recovery is started again at a quarter of its rate before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a module is fine-tuned. Where there are no labels, the teacher alone teaches, whatever the weight.

    Attributes:
        temperature: softens decisions before they are compared with the teacher's.
        weight: share of the teacher in the loss, 0 to 1; the labels have the rest.
        epochs: passes over the rows; None goes on until patience or the time ends it.
        rate: learning rate; None tries three on a few batches.
        batch: rows a step; None takes it from the number of rows.
        optimizer: AdamW, or SGD with Nesterov's momentum.
        patience: judgements without improvement that end the learning; None never ends it early.
        augment: changes of images while they are learned, see `steelyard.training.augmentation`; the teacher is asked
            about each changed image, which costs its time in every epoch.
        features: share of the loss that compares layers inside with the teacher's, 0 to below 1.
        bits: of the weights while they learn, 2 to 8, with activations of 8: the module is then judged as it will be
            once a static quantizer has rounded it. None learns without rounding.
        keep_zeros: whether weights that are exactly zero stay so in layers where a tenth of them is.
    """

    temperature: float = 4.0
    weight: float = 0.7
    epochs: int | None = None
    rate: float | None = None
    batch: int | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    patience: int | None = PATIENCE
    augment: Augment = "none"
    features: float = 0.0
    bits: int | None = None
    keep_zeros: bool = True

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            InputError: one sentence naming the setting.
        """
        if self.optimizer not in RATES:
            raise InputError(f"'optimizer' must be adamw or sgd, got {self.optimizer!r}.", field="optimizer")
        if self.augment not in AUGMENTS:
            raise InputError(f"'augment' must be one of {', '.join(AUGMENTS)}, got {self.augment!r}.", field="augment")
        if not 0 <= self.features < 1:
            raise InputError(f"'features' must be from 0 to below 1, got {self.features!r}.", field="features")
        if not 0 <= self.weight <= 1:
            raise InputError(f"'weight' must be from 0 to 1, got {self.weight!r}.", field="weight")
        if self.bits is not None and not FEWEST_BITS <= self.bits <= MOST_BITS:
            raise InputError(f"'bits' must be from 2 to 8, got {self.bits!r}.", field="bits")
        for name in ("temperature", "rate"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"'{name}' must be a positive finite number, got {value!r}.", field=name)
        for name in ("epochs", "batch", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"'{name}' must be at least 1, got {value!r}.", field=name)


@dataclass(slots=True)
class Recovered:
    """What a recovery did. The module given holds the best weights that were judged, those before it among them.

    Attributes:
        curve: by judgement: "epoch" (a fraction), "used_s", "train_loss", "valid_loss" (the judge's) and
            "valid_distance" (from the teacher, at temperature 1).
        before: judgement of the module as it was given.
        after: judgement of the weights that were kept.
        rate: learning rate it ended with.
        stopped: why it ended: "epochs", "no longer improving", "time limit" or "nothing to train".
        train_s: seconds it took in all.
        notes: one sentence for each divergence, and for what could not be done.
    """

    curve: dict[str, list[float]]
    before: Verdict
    after: Verdict
    rate: float
    stopped: str
    train_s: float
    notes: list[str] = field(default_factory=list)


class _DivergedError(Exception):
    """The loss left the finite numbers, or grew far beyond that of a guess."""


def recover(module: nn.Module, lesson: Lesson, settings: Recovery | None = None) -> Recovered:
    """Fine-tune a module in place on its lesson, by labels, teacher or both, within `lesson.limit_s` seconds.

    The learning rate warms up, then falls to nothing along a cosine, driven by the time where that ends first and by
    the epochs otherwise. The best weights by the validation judge are kept; where none is better than those given,
    these. One torch thread is used.

    Raises:
        InputError: if there are too few rows, or the module's outputs have another shape than the teacher's.
        WorkerError: if learning still diverges after three cures.
    """
    start = time.perf_counter()
    for name, rows, least in (("train", lesson.train, 2), ("valid", lesson.valid, 1)):
        if len(rows.x) < least:
            raise InputError(f"'{name}' must have {least} or more rows to learn from, got {len(rows.x)}.", field=name)
    settings = settings or Recovery()
    with _one_thread(), torch.random.fork_rng(devices=[]), _rounding(module, lesson, settings) as rounding:
        torch.manual_seed(lesson.seed)
        done = _Course(module, lesson, settings, start, rounding).run()
    module.eval()
    return done


def _rounding(module: nn.Module, lesson: Lesson, settings: Recovery) -> AbstractContextManager[Rounding | None]:
    return nullcontext() if settings.bits is None else rounding(module, lesson.example(), settings.bits)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Course:
    """One recovery: the loss, the judge, what is kept."""

    def __init__(
        self, module: nn.Module, lesson: Lesson, settings: Recovery, start: float, rounding: Rounding | None
    ) -> None:
        self.module = module
        self.lesson = lesson
        self.settings = settings
        self.start = start
        self.rounding = rounding
        taught = None if lesson.taught is None else lesson.taught.train
        self.teacher = Teacher(lesson.teacher, len(lesson.train.x), known=taught)
        self.jury = Jury.of(lesson)
        self.distance = self.jury.distance.at(settings.temperature)
        self.size = settings.batch or Recipe().batch_size(len(lesson.train.x))
        self.parameters = [each for each in module.parameters() if each.requires_grad]
        self.features = Features.of(module, lesson.teacher, lesson.example()) if settings.features else None
        self.masks = _zeros(self.parameters) if settings.keep_zeros else []
        self.curve: dict[str, list[float]] = {
            name: [] for name in ("epoch", "used_s", "train_loss", "valid_loss", "valid_distance")
        }
        self.best: Verdict | None = None
        self.kept: dict[str, Tensor] = {}

    def run(self) -> Recovered:
        before = self._judge(0.0, math.nan)
        notes: list[str] = []
        if self.settings.features and self.features is None:
            notes.append("no layer inside can be compared with the teacher's")
        rate, stopped = 0.0, "nothing to train"
        if self.parameters:
            self._lay_out(torch.channels_last)
            fresh = _state(self.module)
            rate = self.settings.rate or self._tried_rate(fresh)
            rate, stopped = self._cured(rate, fresh, notes)
            self.module.load_state_dict(self.kept)
            self._lay_out(torch.contiguous_format)
        after = self.best or before
        return Recovered(thinned(self.curve), before, after, rate, stopped, self._used_s(), notes)

    def _cured(self, rate: float, fresh: dict[str, Tensor], notes: list[str]) -> tuple[float, str]:
        for _ in range(CURES + 1):
            try:
                return rate, self._learn(rate)
            except _DivergedError:
                self._start_from(fresh)
                notes.append(f"diverged at learning rate {rate:.4g}; now {rate / 4:.4g}")
                rate /= 4
        raise WorkerError(f"recovery diverged {CURES + 1} times, last at learning rate {rate * 4:.4g}.", stage="train")

    def _learn(self, rate: float) -> str:
        """One recovery at one rate; returns why it stopped."""
        settings = self.settings
        epochs = settings.epochs or MOST_EPOCHS
        per_epoch = self.lesson.steps(self.size)
        left_s = self.lesson.limit_s - self._used_s() - self.jury.cost_s
        pace = Pace(left_s, epochs * per_epoch)
        optimizer = self._optimizer(rate)
        guess = self._guess()
        step, stale = 0, 0
        for epoch in range(1, epochs + 1):
            total, count = 0.0, 0
            for batch in self.lesson.numbered(self.size, seed=self.lesson.seed + epoch):
                if step and pace.is_over(step):
                    break
                total += self._step(optimizer, rate * pace.factor(step), batch)
                step, count = step + 1, count + 1
            mean = total / max(1, count)
            if diverges(mean, guess, 0, is_full=False):
                raise _DivergedError
            if not pace.is_over(step) and not self._is_worth_judging():
                continue
            is_better = self._improved(step / per_epoch, mean)
            stale = 0 if is_better else stale + 1
            if pace.is_over(step):
                break
            if settings.patience and settings.epochs is None and stale >= settings.patience and not pace.is_hurried:
                pace.hurry(step, max(1, settings.patience // 2) * per_epoch)
        return pace.why_over()

    def _step(self, optimizer: torch.optim.Optimizer, rate: float, batch: Batch) -> float:
        self.module.train()
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = self._loss(*batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _DivergedError
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_NORM)
        optimizer.step()
        with torch.no_grad():
            for parameter, mask in self.masks:
                parameter.mul_(mask)
        return value

    def _loss(self, index: Array, inputs: tuple[Tensor, ...], targets: Tensor | None) -> Tensor:
        if self.settings.augment != "none":
            inputs = augmented(inputs, self.settings.augment)
        share = self.settings.features
        if self.features is None:
            return self._mixed(first_output(self.module(*inputs)), index, inputs, targets)
        with self.features.watching():
            outputs = first_output(self.module(*inputs))
        return (1 - share) * self._mixed(outputs, index, inputs, targets) + share * self.features.distance(inputs)

    def _mixed(self, outputs: Tensor, index: Array, inputs: tuple[Tensor, ...], targets: Tensor | None) -> Tensor:
        """The labels' share of the loss and the teacher's."""
        weight = self.settings.weight
        hard = None if targets is None or self.lesson.loss is None else self.lesson.loss(outputs, targets)
        if hard is not None and weight == 0:
            return hard
        # What is kept of the teacher belongs to the rows as they are.
        soft = self.distance(outputs, self.teacher(inputs, index if self.settings.augment == "none" else None))
        return soft if hard is None else (1 - weight) * hard + weight * soft

    def _guess(self) -> float:
        """The loss of outputs that are all zero on the first batch: what a module has that knows nothing."""
        index, inputs, targets = next(self.lesson.numbered(self.size))
        with torch.no_grad():
            self.module.eval()
            outputs = first_output(self.module(*inputs))
            own = float(self._mixed(outputs, index, inputs, targets))
            guess = float(self._mixed(torch.zeros_like(outputs), index, inputs, targets))
        return max(each for each in (own, guess, 1e-12) if math.isfinite(each))

    def _tried_rate(self, fresh: dict[str, Tensor]) -> float:
        """The highest of the rates whose loss after a few steps is near the lowest."""
        rates = RATES[self.settings.optimizer]
        share_s = TRIAL_SHARE * self.lesson.limit_s / len(rates)
        found: list[float] = []
        for rate in rates:
            found.append(self._trial(rate, share_s))
            self._start_from(fresh)
        lowest = min(found)
        if not math.isfinite(lowest):
            return rates[1]
        return next(rate for rate, loss in zip(rates, found, strict=True) if loss <= NEARLY * lowest)

    def _trial(self, rate: float, share_s: float) -> float:
        """The loss at the end of a few steps; infinite where they diverge, or where the time is up before."""
        optimizer = self._optimizer(rate)
        begin, losses = time.perf_counter(), []
        batches = self._endless()
        for step in range(TRIAL_STEPS):
            if time.perf_counter() - begin > share_s:
                return math.inf
            try:
                losses.append(self._step(optimizer, rate * min(1.0, (step + 1) / 4), next(batches)))
            except _DivergedError:
                return math.inf
        tail = losses[-TRIAL_STEPS // 4 :]
        return sum(tail) / len(tail)

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self.lesson.numbered(self.size)

    def _optimizer(self, rate: float) -> torch.optim.Optimizer:
        learned = [*self.parameters, *(self.features.parameters() if self.features else ())]
        if self.settings.optimizer == "sgd":
            return torch.optim.SGD(learned, lr=rate, momentum=0.9, nesterov=True)
        return torch.optim.AdamW(learned, lr=rate, fused=True)

    def _is_worth_judging(self) -> bool:
        """Whether learning has taken a few times as long as judging would; without a limit, time changes nothing."""
        since_s = self._used_s() - (self.curve["used_s"][-1] if self.curve["used_s"] else 0.0)
        return math.isinf(self.lesson.limit_s) or since_s > LEARNING_TO_JUDGING * self.jury.cost_s

    def _improved(self, epoch: float, train_loss: float) -> bool:
        before = self.best
        self._judge(epoch, train_loss)
        return self.best is not before

    def _judge(self, epoch: float, train_loss: float) -> Verdict:
        """Judge the module as it is, add to the curve, keep its weights where it is the best so far."""
        verdict = self.jury(self.module)
        found = (epoch, self._used_s(), train_loss, verdict.loss, verdict.distance)
        if epoch:
            for name, value in zip(self.curve, found, strict=True):
                self.curve[name].append(value)
        if self.best is None or verdict.is_better_than(self.best):
            self.best = verdict
            self.kept = _state(self.module)
        return verdict

    def _start_from(self, fresh: dict[str, Tensor]) -> None:
        self.module.load_state_dict(fresh)
        if self.rounding is not None:
            self.rounding.forget()

    def _lay_out(self, memory_format: torch.memory_format) -> None:
        """Weights of convolutions train a fifth faster with channels last; what saves them wants them as they were."""
        with torch.no_grad():
            for each in self.module.parameters():
                if each.ndim == 4:
                    each.data = each.data.contiguous(memory_format=memory_format)

    def _used_s(self) -> float:
        return time.perf_counter() - self.start


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _zeros(parameters: list[nn.Parameter]) -> list[tuple[nn.Parameter, Tensor]]:
    """Masks of the weights that were made sparse: those of which from a tenth to not quite all are exactly zero."""
    found = []
    for each in parameters:
        mask = each.detach() != 0
        if each.ndim >= 2 and 0 < int(mask.sum()) <= 0.9 * mask.numel():
            found.append((each, mask))
    return found
