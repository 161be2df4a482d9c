"""Weight sharing: the weights of a layer take few values, and which ones, and who takes which, is learned."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.wire import Plain
from steelyard.steps.rates import Prices, entropy_bits
from steelyard.training.course import Course, Watch, learn
from steelyard.training.lesson import Lesson
from steelyard.training.sparsity import sparsity, weights_of

Start = Literal["linear", "density", "kmeans++"]
Spacing = Literal["free", "grid"]
_LLOYD = 12
"""Rounds of k-means before the codebook is learned by gradient."""
_MEMORY = 0.98
"""How much of the mean squared gradient stays from step to step."""
_FLOOR = 0.02
"""The least curvature of a weight, as a share of its layer's mean: what has no gradient now may have one later."""
_PATIENCE = 0.15
"""How much the price of a bit moves at each look, by the relative distance from the bytes wanted."""


@dataclass(frozen=True, slots=True)
class Share:
    """Codebooks of few values, one for each weight tensor and, unless told otherwise, for each bias.

    A weight that is exactly zero stays so. Others take the codebook entry that costs least: half the curvature of the
    loss times the squared distance, plus the price of the bits that the entry takes once it is encoded. At a price
    of 0 that is k-means. Values of entries are learned by gradient, the sum of the gradients of all who take them.

    Attributes:
        levels: entries of a codebook beside zero; a tensor of fewer weights has fewer.
        start: where entries begin: evenly between the extremes, at quantiles, or by k-means++.
        spacing: entries anywhere, or on whole multiples of one learned step, which take fewer bytes to store.
        price: what a bit may cost of the loss. With `bytes` it is only where the search for the price begins.
        bytes: how many bytes all tensors are to take by their entropy; None where the price stands.
        ramp: the share of the course over which the bytes come down.
        settle: the share of the course at which it is settled who takes which entry.
        every: steps between two looks at who takes which entry.
        biases: whether biases share too.
        course: how it is learned.

    References:
        S. Han, H. Mao, W. J. Dally, Deep compression, ICLR 2016: codebooks trained by summed gradients.
        P. A. Chou, T. Lookabaugh, R. M. Gray, Entropy-constrained vector quantization, IEEE TASSP 37(1), 1989.
        S. Wiedemann, A. Marban, K.-R. Müller, W. Samek, Entropy-constrained training of deep neural networks,
        IJCNN 2019.
        Y. Bengio, N. Léonard, A. Courville, Estimating or propagating gradients through stochastic neurons, 2013:
        the straight-through estimator.
    """

    levels: int = 16
    start: Start = "linear"
    spacing: Spacing = "free"
    price: float = 0.0
    bytes: int | None = None
    ramp: float = 0.6
    settle: float = 0.8
    every: int = 20
    biases: bool = True
    course: Course = field(default_factory=Course)
    name: str = "share"
    learns: ClassVar[bool] = True
    keeps_structure: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            InputError: naming the first of them.
        """
        for name, whole, least in (("levels", self.levels, 1), ("every", self.every, 1), ("bytes", self.bytes, 1)):
            if whole is not None and whole < least:
                raise InputError(f"'{name}' must be at least {least}, got {whole!r}.", field=name)
        if not (math.isfinite(self.price) and self.price >= 0):
            raise InputError(f"'price' must be 0 or above, got {self.price!r}.", field="price")
        for name, share in (("ramp", self.ramp), ("settle", self.settle)):
            if not 0 < share <= 1:
                raise InputError(f"'{name}' must be above 0 and at most 1, got {share!r}.", field=name)

    def apply(self, module: nn.Module, lesson: Lesson) -> tuple[nn.Module, Plain]:
        """A copy of the module whose weights take few values, and what each codebook came to.

        Raises:
            SteelyardError: if it has no weights.
        """
        module = copy.deepcopy(module)
        if not weights_of(module):
            raise SteelyardError("share found no weights of two axes or more to share; take the step away.")
        draw = torch.Generator().manual_seed(lesson.seed)
        shared = {
            name: _Shared(each, self, draw)
            for name, each in module.named_parameters()
            if each.requires_grad and (each.ndim > 1 or self.biases)
        }
        market = _Market(self, shared)
        watch = Watch(market.look, lambda: {name: each.values() for name, each in shared.items()}, market.feel)
        steps = learn(module, lesson, self.course, watch, [each.learned for each in shared.values()])
        with torch.no_grad():
            for name, each in module.named_parameters():
                if name in shared:
                    each.copy_(shared[name].final())
        return module, {
            "levels": {name: int(torch.unique(each.final()).numel()) for name, each in shared.items()},
            "bytes": market.bytes(),
            "entropy_bytes": sum(entropy_bits(each.taken) for each in shared.values()) / 8,
            "price": market.price,
            "sparsity": sparsity(module),
            "steps": steps,
        }


class _Shared:
    """One tensor: what it would be (the parameter itself), its codebook, and who takes which entry."""

    def __init__(self, weight: nn.Parameter, step: Share, draw: torch.Generator) -> None:
        self.weight, self.spacing = weight, step.spacing
        self.mask = weight.detach() != 0
        kept = weight.detach()[self.mask]
        count = min(step.levels, kept.numel())
        self.curve = torch.zeros_like(weight)
        if step.spacing == "grid":
            half = max(1, count // 2)
            self.whole = torch.arange(-half, half + 1, dtype=torch.float32)
            first = kept.abs().max().reshape(1) / half if count else torch.ones(1)
        else:
            self.whole = torch.arange(count + 1, dtype=torch.float32)
            first = entries(kept, count, step.start, draw)
        # Values are learned as multiples of their own size, so that one rate suits layers of large and small weights.
        self.size = float(first.abs().mean()) or 1.0 if count else 1.0
        self.learned = nn.Parameter(first / self.size)
        self.taken = torch.zeros(weight.shape, dtype=torch.long)
        self.choose(0.0)

    @property
    def zero(self) -> int:
        """The index of zero."""
        return len(self.whole) // 2 if self.spacing == "grid" else 0

    def book(self) -> Tensor:
        """The codebook's values."""
        if self.spacing == "grid":
            return self.whole * self.learned * self.size
        return torch.cat([torch.zeros(1), self.learned * self.size])

    def values(self) -> Tensor:
        """What the forward pass takes: entries, through which the weight itself learns as if it were taken."""
        if self.spacing == "grid":
            return self.whole[self.taken] * (self.learned * self.size) + (self.weight - self.weight.detach())
        taken: Tensor = _Take.apply(self.book(), self.taken, self.weight)  # type: ignore[no-untyped-call]
        return taken

    def final(self) -> Tensor:
        """Entries in numbers that take 16 bits: a step as bfloat16, free entries as float16."""
        with torch.no_grad():
            if self.spacing == "grid":
                return (self.whole * (self.learned * self.size).bfloat16().float())[self.taken]
            return self.book().clamp(-65504, 65504).half().float()[self.taken]

    def feel(self) -> None:
        """Take in the squared gradient: the curvature of the loss, up to the size of the batch."""
        if self.weight.grad is not None:
            self.curve.mul_(_MEMORY).addcmul_(self.weight.grad, self.weight.grad, value=1 - _MEMORY)

    def choose(self, price: float, batch: int = 1) -> None:
        """Let every weight take the entry that costs least."""
        with torch.no_grad():
            book = self.book()
            bent = 0.5 * batch * self.curve
            bent = bent + _FLOOR * bent.mean() if price else torch.ones_like(self.curve)
            prices = Prices.of(self.taken, self.zero, len(book)) if price else None
            weight = self.weight[self.mask]
            costs = bent[self.mask][:, None] * (weight[:, None] - book) ** 2
            if prices is not None:
                costs += price * prices.bits()[self.mask]
            taken = torch.full(self.weight.shape, self.zero)
            taken[self.mask] = costs.argmin(dim=1)
            self.taken = taken


class _Take(torch.autograd.Function):
    """Entries by index; each entry's gradient is the sum over those who take it, the weight's is theirs unchanged."""

    @staticmethod
    def forward(ctx: Any, book: Tensor, taken: Tensor, weight: Tensor) -> Tensor:  # noqa: ARG004  for its gradient
        ctx.save_for_backward(taken)
        ctx.entries = len(book)
        return book[taken]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        (taken,) = ctx.saved_tensors
        # Indexing's own gradient sorts all indices first, which takes longer than the network.
        book = torch.zeros(ctx.entries).scatter_add_(0, taken.flatten(), gradient.flatten())
        return book, None, gradient


class _Market:
    """Sets the price of a bit and has weights choose by it."""

    def __init__(self, step: Share, shared: dict[str, _Shared]) -> None:
        self.step, self.shared = step, shared
        self.price, self.steps = step.price, 0
        self.first = self.bytes()
        if step.bytes is not None and not self.price:
            self.price = 1e-8

    def bytes(self) -> float:
        """What all tensors take by their entropy."""
        return sum(Prices.of(each.taken, each.zero, len(each.whole)).total() for each in self.shared.values()) / 8

    def look(self, done: float) -> None:
        """Every so often: set the price, and choose."""
        self.steps += 1
        if done > self.step.settle or self.steps % self.step.every or self.steps < 2 * self.step.every:
            return
        if self.step.bytes is not None:
            left = (1 - min(1.0, done / self.step.ramp)) ** 3
            wanted = self.step.bytes + max(0.0, self.first - self.step.bytes) * left
            excess = max(-1.0, min(1.0, math.log(max(1.0, self.bytes()) / wanted)))
            self.price = min(1.0, max(1e-12, self.price * math.exp(3 * _PATIENCE * excess)))
        for each in self.shared.values():
            each.choose(self.price, self.step.course.batch)

    def feel(self) -> None:
        """Behind each backward pass."""
        for each in self.shared.values():
            each.feel()


def entries(kept: Tensor, count: int, start: Start, draw: torch.Generator) -> Tensor:
    """Codebook entries (count,) of weights (n,) by k-means, in ascending order."""
    if not count:
        return torch.zeros(0)
    if start == "linear":
        book = torch.linspace(float(kept.min()), float(kept.max()), count)
    elif start == "density":
        book = torch.quantile(_some(kept), (torch.arange(count) + 0.5) / count)
    else:
        some = _some(kept)
        book = some[torch.randint(len(some), (1,), generator=draw)]
        while len(book) < count:
            far = ((some[:, None] - book) ** 2).min(dim=1).values + 1e-20
            book = torch.cat([book, some[torch.multinomial(far, 1, generator=draw)]])
        book = book.sort().values
    for _ in range(_LLOYD):
        nearest = torch.bucketize(kept, (book[1:] + book[:-1]) / 2)
        counts = torch.bincount(nearest, minlength=count)
        sums = torch.zeros(count).scatter_add_(0, nearest, kept)
        book = torch.where(counts > 0, sums / counts.clamp_min(1), book)
    return book


def _some(kept: Tensor) -> Tensor:
    """At most a hundred thousand of the weights, evenly: quantiles take no more."""
    return kept[:: max(1, len(kept) // 100_000)]


SHARE = Share()
"""The entry of the registry."""
