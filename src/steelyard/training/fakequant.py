"""Quantization-aware training: layers compute with rounded weights and activations while they learn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from steelyard.training.distillation import evaluating

ACTIVATION_LEVELS = 255
"""The highest code of an activation: unsigned bytes, as the quantizer of files stores them."""
SHRINK = 0.05
"""The part by which a range that a batch does not fill comes nearer to that batch's.

A range grows at once and shrinks slowly, so that it is near the largest that calibration over many rows will find.
"""
SMALLEST = 1e-8
"""The least step between two codes, so that zeros alone can be divided by it."""

Layer = nn.Conv1d | nn.Conv2d | nn.Linear
"""Layers that the quantizer of files stores in bytes."""


class RoundedWeight(nn.Module):
    """Weights rounded to signed codes, symmetric, one scale a channel of the output (axis 0).

    The gradient passes as if nothing had been rounded.
    """

    def __init__(self, bits: int) -> None:
        """Round to `bits` bits."""
        super().__init__()
        self.highest = 2 ** (bits - 1) - 1

    def forward(self, weight: Tensor) -> Tensor:
        """Weights of the same shape, each a code times the scale of its channel."""
        scale = weight.detach().flatten(1).abs().amax(1).clamp(min=SMALLEST) / self.highest
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -self.highest, self.highest)


class RoundedActivation:
    """Activations rounded to unsigned codes between the least and the largest seen; the range always holds zero."""

    def __init__(self) -> None:
        """Start with no range: the first batch gives it."""
        self.low: Tensor | None = None
        self.high: Tensor | None = None

    def __call__(self, x: Tensor, *, learns: bool) -> Tensor:
        """Rounded activations; while it learns, the range follows them."""
        if learns or self.low is None or self.high is None:
            self._follow(x.detach())
        assert self.low is not None and self.high is not None  # noqa: S101  for the type checker
        scale = ((self.high - self.low) / ACTIVATION_LEVELS).clamp(min=SMALLEST)
        zero = (-self.low / scale).round().clamp(0, ACTIVATION_LEVELS).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, ACTIVATION_LEVELS)

    def _follow(self, x: Tensor) -> None:
        low, high = x.min().clamp(max=0), x.max().clamp(min=0)
        if self.low is None or self.high is None:
            self.low, self.high = low, high
            return
        self.low = torch.minimum(low, self.low + SHRINK * (low - self.low))
        self.high = torch.maximum(high, self.high + SHRINK * (high - self.high))


@dataclass(frozen=True, slots=True)
class Places:
    """Where a module is rounded: layers by their weights and inputs, and what gives their outputs."""

    layers: tuple[Layer, ...]
    outputs: tuple[nn.Module, ...]


@dataclass(frozen=True, slots=True)
class Rounding:
    """A rounding that is under way."""

    places: Places
    activations: tuple[RoundedActivation, ...]

    def forget(self) -> None:
        """Forget the ranges seen, as when learning starts again from other weights."""
        for each in self.activations:
            each.low = each.high = None


@contextmanager
def rounding(module: nn.Module, example: tuple[Tensor, ...], bits: int = 8) -> Iterator[Rounding]:
    """Let a module compute as if it were quantized, for a while; afterwards it is plain again.

    Every convolution and linear layer takes rounded inputs and weights and gives rounded outputs, as the static
    quantizer of files wraps them. A batch norm behind a convolution is rounded after it, since the two become one.
    The weights that learn stay in full precision, and are what is left.

    Args:
        module: any; layers whose weight is computed from others are left as they are.
        example: inputs of a few rows, which tell what stands behind what.
        bits: of the weights, 2 to 8; activations always have 8.

    References:
        B. Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
        inference, CVPR 2018.
        Y. Bengio, N. Léonard, A. Courville, Estimating or propagating gradients through stochastic neurons for
        conditional computation, 2013 (arXiv 1308.3432): the gradient of rounding.
    """
    places = find_places(module, example)
    activations, handles = [], []
    for layer in places.layers:
        parametrize.register_parametrization(layer, "weight", RoundedWeight(bits))
        activations.append(RoundedActivation())
        handles.append(layer.register_forward_pre_hook(_on_input(activations[-1])))
    for part in places.outputs:
        activations.append(RoundedActivation())
        handles.append(part.register_forward_hook(_on_output(activations[-1])))
    try:
        yield Rounding(places, tuple(activations))
    finally:
        for handle in handles:
            handle.remove()
        for layer in places.layers:
            _unwrap(layer)


def _unwrap(layer: Layer) -> None:
    """Make the weight a plain parameter again, in its place before the bias, so that names keep their order."""
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    bias = layer.bias
    if isinstance(bias, nn.Parameter):
        del layer.bias
        layer.register_parameter("bias", bias)


def find_places(module: nn.Module, example: tuple[Tensor, ...]) -> Places:
    """Pass a few rows through a module and see which layers run, and behind which a batch norm follows at once."""
    layers = [
        part
        for part in module.modules()
        if type(part) in (nn.Conv1d, nn.Conv2d, nn.Linear) and not parametrize.is_parametrized(part)
    ]
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    gave: dict[int, nn.Module] = {}
    given: list[Tensor] = []  # kept, so that no tensor takes the identity of one that is gone
    last: dict[nn.Module, nn.Module] = {}

    def leave(part: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        given.append(out)
        gave[id(out)] = part
        last.setdefault(part, part)

    def follow(part: nn.Module, taken: tuple[Tensor, ...]) -> None:
        before = gave.get(id(taken[0]))
        if before is not None:
            last[before] = part

    handles = [each.register_forward_hook(leave) for each in layers]
    handles += [each.register_forward_pre_hook(follow) for each in norms]
    try:
        with torch.no_grad(), evaluating(module):
            module(*example)
    finally:
        for handle in handles:
            handle.remove()
    ran = tuple(each for each in layers if each in last)
    return Places(ran, tuple(dict.fromkeys(last[each] for each in ran)))  # type: ignore[arg-type]


def _on_input(rounded: RoundedActivation) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    def hook(part: nn.Module, taken: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (rounded(taken[0], learns=part.training), *taken[1:])

    return hook


def _on_output(rounded: RoundedActivation) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(part: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return rounded(out, learns=part.training)

    return hook
