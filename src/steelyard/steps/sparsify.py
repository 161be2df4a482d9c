"""Unstructured pruning: single weights become zero, at once or little by little, and the rest learns to do without."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.wire import Plain
from steelyard.training.course import Course, Objective, Watch, learn
from steelyard.training.lesson import Lesson, first_output
from steelyard.training.sparsity import hold, sparsity, weights_of

Importance = Literal["magnitude", "taylor", "random"]
Scope = Literal["global", "layer"]
Schedule = Literal["once", "gradual", "dynamic"]
_PROBES = 16
"""Batches whose gradients tell the importance of weights, before anything is removed."""
_MOMENTUM = 0.95
"""How much of an importance by gradients stays from step to step."""


@dataclass(frozen=True, slots=True)
class Sparsify:
    """Single weights set to zero by importance.

    Attributes:
        ratio: the share of weights to remove, of those that multiply.
        importance: of a weight: its magnitude; what the loss would change without it, to first order; or chance.
        scope: whether weights of all layers are compared, or each layer loses the same share.
        schedule: all at once; more and more along a cubic curve; or the same with weights coming back when they grow
            in importance, because what is masked goes on learning.
        ramp: the share of the course after which no more is removed.
        every: steps between two looks at the importance.
        rewind: None goes on from the weights given. A share of the course trains the module anew from fresh weights,
            removes what is least important at the end, puts the rest back to where it was at that share, and
            trains again.
        course: how the module learns meanwhile, and afterwards.

    References:
        M. Zhu, S. Gupta, To prune, or not to prune, ICLR workshop 2018: the cubic schedule.
        Y. Guo et al., Dynamic network surgery for efficient DNNs, NeurIPS 2016.
        P. Molchanov et al., Importance estimation for neural network pruning, CVPR 2019: Taylor.
        J. Frankle et al., Linear mode connectivity and the lottery ticket hypothesis, ICML 2020: rewinding.
    """

    ratio: float = 0.9
    importance: Importance = "magnitude"
    scope: Scope = "global"
    schedule: Schedule = "gradual"
    ramp: float = 0.7
    every: int = 20
    rewind: float | None = None
    course: Course = field(default_factory=Course)
    name: str = "sparsify"
    learns: ClassVar[bool] = True
    keeps_structure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            InputError: naming the first of them.
        """
        if not 0 <= self.ratio < 1:
            raise InputError(f"'ratio' must be from 0 to below 1, got {self.ratio!r}.", field="ratio")
        if not 0 < self.ramp <= 1:
            raise InputError(f"'ramp' must be above 0 and at most 1, got {self.ramp!r}.", field="ramp")
        if self.rewind is not None and not 0 <= self.rewind < 1:
            raise InputError(f"'rewind' must be from 0 to below 1, got {self.rewind!r}.", field="rewind")
        if self.every < 1:
            raise InputError(f"'every' must be at least 1, got {self.every!r}.", field="every")

    def apply(self, module: nn.Module, lesson: Lesson) -> tuple[nn.Module, Plain]:
        """A sparse copy of the module, and what was removed from which weight.

        Raises:
            SteelyardError: if it has no weights to remove, or can't be trained anew where it is to be rewound.
        """
        module = copy.deepcopy(module)
        if not weights_of(module):
            raise SteelyardError("sparsify found no weights of two axes or more to remove; take the step away.")
        if self.rewind is not None:
            steps = self._rewound(module, lesson)
        elif self.schedule == "once":
            masks = self._chosen(module, lesson)
            steps = self._trained(module, lesson, masks)
        else:
            steps = self._gradual(module, lesson)
        left = {name: int(torch.count_nonzero(each)) for name, each in weights_of(module).items()}
        return module, {"sparsity": sparsity(module), "weights": dict(left), "steps": steps}

    def _trained(self, module: nn.Module, lesson: Lesson, masks: dict[str, Tensor]) -> int:
        hold(module, masks)
        return learn(module, lesson, self.course, Watch(after=lambda: hold(module, masks)))

    def _chosen(self, module: nn.Module, lesson: Lesson) -> dict[str, Tensor]:
        """The masks of removing everything at once."""
        scores = _Scores(self.importance, module, lesson.seed)
        if self.importance == "taylor":
            objective = Objective(lesson, self.course)
            module.train()
            for index in torch.arange(len(lesson.train.x)).split(self.course.batch)[:_PROBES]:  # type: ignore[no-untyped-call]
                inputs, targets = objective.batch(index)
                module.zero_grad()
                objective(first_output(module(*inputs)), targets, index).backward()  # type: ignore[no-untyped-call]
                scores.learn()
            module.zero_grad()
        return chosen(scores.now(), self.ratio, self.scope)

    def _rewound(self, module: nn.Module, lesson: Lesson) -> int:
        """Train anew, keep what matters, go back, train again."""
        _reset(module, lesson.seed)
        early: dict[str, Tensor] = {}

        def remember(done: float) -> None:
            if not early and done >= (self.rewind or 0.0):
                early.update({name: value.clone() for name, value in module.state_dict().items()})

        steps = learn(module, lesson, self.course, Watch(before=remember))
        masks = self._chosen(module, lesson)
        module.load_state_dict(early or module.state_dict())
        return steps + self._trained(module, lesson, masks)

    def _gradual(self, module: nn.Module, lesson: Lesson) -> int:
        """Remove along the cubic curve while learning."""
        weights = weights_of(module)
        scores = _Scores(self.importance, module, lesson.seed)
        before = sparsity(module)
        masks: dict[str, Tensor] = {name: each.detach() != 0 for name, each in weights.items()}
        clock = {"step": 0}

        def look(done: float) -> None:
            if clock["step"] % self.every == 0 and (done <= self.ramp or clock["step"] == 0):
                masks.update(chosen(scores.now(), cubic(done / self.ramp, before, self.ratio), self.scope))
                if self.schedule == "gradual":
                    hold(module, masks)
            clock["step"] += 1

        watch = Watch(before=look, gradients=scores.learn, after=lambda: hold(module, masks))
        if self.schedule == "dynamic":
            # What is masked still learns by the gradient that it would have, so that it can come back.
            watch.weights = lambda: {name: _masked(each, masks[name]) for name, each in weights.items()}
            watch.after = _nothing
        steps = learn(module, lesson, self.course, watch)
        if sparsity(module) < self.ratio or not steps:
            masks.update(chosen(scores.now(masks), self.ratio, self.scope))
        hold(module, masks)
        return steps


def _nothing() -> None:
    pass


def _masked(weight: Tensor, mask: Tensor) -> Tensor:
    """The weight without what is masked; its gradient is that of the whole."""
    return weight + (weight * mask - weight).detach()


class _Scores:
    """The importance of every weight, as far as known."""

    def __init__(self, importance: Importance, module: nn.Module, seed: int) -> None:
        self.importance, self.weights = importance, weights_of(module)
        self.draw = torch.Generator().manual_seed(seed)
        self.fixed = {name: torch.rand(each.shape, generator=self.draw) for name, each in self.weights.items()}
        self.felt = {name: torch.zeros_like(each) for name, each in self.weights.items()}

    def learn(self) -> None:
        """Take in the gradients of a backward pass."""
        if self.importance == "taylor":
            for name, each in self.weights.items():
                if each.grad is not None:
                    self.felt[name].mul_(_MOMENTUM).add_((each.detach() * each.grad).abs(), alpha=1 - _MOMENTUM)

    def now(self, masks: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Scores by name, higher stays; what is masked scores least."""
        with torch.no_grad():
            if self.importance == "random":
                found = {name: each + 1 for name, each in self.fixed.items()}
            elif self.importance == "taylor" and any(bool(each.any()) for each in self.felt.values()):
                found = {name: each.clone() for name, each in self.felt.items()}
            else:
                found = {name: each.detach().abs().clone() for name, each in self.weights.items()}
            return {name: each if masks is None else each * masks[name] for name, each in found.items()}


def cubic(done: float, first: float, last: float) -> float:
    """The share of weights to be gone by then: fast while much is redundant, slow towards the end."""
    return last + (first - last) * (1 - min(1.0, max(0.0, done))) ** 3


def chosen(scores: dict[str, Tensor], ratio: float, scope: Scope) -> dict[str, Tensor]:
    """Masks that leave out exactly the share `ratio` of least scores, of all weights or of each."""
    if scope == "layer":
        return {name: _top(each.flatten(), ratio).view(each.shape) for name, each in scores.items()}
    top = _top(torch.cat([each.flatten() for each in scores.values()]), ratio)
    parts = top.split([each.numel() for each in scores.values()])  # type: ignore[no-untyped-call]
    return {name: part.view(each.shape) for part, (name, each) in zip(parts, scores.items(), strict=True)}


def _top(scores: Tensor, ratio: float) -> Tensor:
    kept = max(1, round((1 - ratio) * scores.numel()))
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[scores.topk(kept).indices] = True
    return mask


def _reset(module: nn.Module, seed: int) -> None:
    """Fresh weights in every layer.

    Raises:
        SteelyardError: naming the first layer that can't be reset.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, each in module.named_modules():
            reset: Callable[[], None] | None = getattr(each, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(each.parameters(recurse=False), None) is not None:
                raise SteelyardError(
                    f"sparsify can't rewind: layer {name!r} has parameters but no reset_parameters(); "
                    "leave 'rewind' out."
                )


SPARSIFY = Sparsify()
"""The entry of the registry."""
