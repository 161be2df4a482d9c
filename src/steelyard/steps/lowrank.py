"""Low-rank forms of weighted layers: which rank keeps how much, and the smaller layers that make it up."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SWEEPS = 2
"""Sweeps of higher-order orthogonal iteration; the fit hardly moves after the first."""
RIDGE = 1e-6
"""Added to the input's second moments, as a part of their mean, so that dead channels can be divided by."""


class LowRank(nn.Sequential):
    """A layer that is the product of smaller ones; its `weight` and `bias` are read-only, those of the whole layer."""

    @property
    def weight(self) -> Tensor:
        """The product of the parts, of the shape that the layer's weight had."""
        whole = None
        for part in self:
            weight = part.weight if isinstance(part.weight, Tensor) else torch.empty(0)
            whole = weight if whole is None else _joined(whole, weight)
        return torch.empty(0) if whole is None else whole

    @property
    def bias(self) -> Tensor | None:
        """The bias of the last part."""
        found: Tensor | None = self[-1].bias  # type: ignore[assignment]
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What a layer took and gave on some rows.

    Attributes:
        mean: of the outputs (out,).
        outputs: second moments of the outputs about their mean (out, out).
        inputs: second moments of the inputs (in,) by channel (in, in).
        samples: how many outputs were seen, positions of an image counted each.
    """

    mean: Tensor
    outputs: Tensor
    inputs: Tensor
    samples: int


@dataclass(frozen=True, slots=True)
class Form:
    """A low-rank form of a layer.

    Attributes:
        layer: the smaller layers in their order.
        scheme: "svd" of a matrix, "channel" or "tucker" of a convolution.
        ranks: one, or of the output and the input channels.
        error: part of the outputs' deviation that is lost, of the weights' norm where no rows were seen.
    """

    layer: LowRank
    scheme: str
    ranks: tuple[int, ...]
    error: float


@dataclass(frozen=True, slots=True)
class Ranks:
    """How ranks are chosen: by the energy that is kept, or as a share of the full rank; then rounded up."""

    energy: float
    share: float | None
    multiple: int

    def of(self, spectrum: Tensor, *, parts: int = 1) -> int:
        """The rank for these squared singular values (full,), in falling order.

        Args:
            spectrum: energies.
            parts: how many such choices share the loss that is permitted.
        """
        full = len(spectrum)
        if self.share is not None:
            rank = round(self.share * full)
        else:
            kept = torch.cumsum(spectrum, 0) / spectrum.sum()
            rank = int((kept < 1 - (1 - self.energy) / parts).sum()) + 1
        rounded = math.ceil(max(1, rank) / self.multiple) * self.multiple
        return min(full, rounded)


def by_outputs(layer: nn.Linear | nn.Conv2d, seen: Seen | None, ranks: Ranks) -> Form:
    """A layer followed by a linear map of its outputs' principal directions.

    With rows seen, these are the directions in which the outputs vary most; without, the left singular vectors of
    the weight. What the outputs lose on average goes into the bias.

    References:
        X. Zhang et al., Accelerating very deep convolutional networks for classification and detection, TPAMI 2016.
    """
    matrix = layer.weight.detach().double().flatten(1)
    energies, vectors = _directions(matrix, seen)
    rank = ranks.of(energies)
    basis = vectors[:, :rank]
    first = _like(layer, rank, bias=False)
    last = _pointwise(layer, rank, layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features)
    _fill(first, basis.T @ matrix)
    _fill(last, basis, _bias(layer, basis, seen))
    scheme = "channel" if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1) else "svd"
    lost = float(energies[rank:].sum() / energies.sum())
    return Form(LowRank(OrderedDict(reduce=first, expand=last)), scheme, (rank,), math.sqrt(max(0.0, lost)))


def tucker(layer: nn.Conv2d, seen: Seen | None, ranks: Ranks) -> Form:
    """A convolution between two pointwise ones: Tucker decomposition of the two channel modes.

    Found by higher-order orthogonal iteration; with rows seen, input channels are weighted by how they vary together
    and output directions are those in which the outputs do.

    References:
        Y.-D. Kim et al., Compression of deep convolutional neural networks for fast and low power mobile
        applications, ICLR 2016.
        L. De Lathauwer, B. De Moor, J. Vandewalle, On the best rank-1 and rank-(R1, ..., RN) approximation of
        higher-order tensors, SIAM J. Matrix Anal. Appl. 2000.
    """
    weight = layer.weight.detach().double()
    root, inverse = _roots(seen, weight.shape[1])
    tensor = torch.einsum("oihw,ij->ojhw", weight, root)
    energies, vectors = _directions(weight.flatten(1), seen)
    rank_out = ranks.of(energies, parts=2)
    out, inner = vectors[:, :rank_out], torch.empty(0)
    rank_in = 0
    for sweep in range(SWEEPS):
        projected = torch.einsum("ojhw,or->rjhw", tensor, out)
        left, values, _ = torch.linalg.svd(projected.transpose(0, 1).flatten(1), full_matrices=False)
        rank_in = rank_in or ranks.of(values**2, parts=2)
        inner = left[:, :rank_in]
        if seen is None and sweep + 1 < SWEEPS:
            back = torch.einsum("ojhw,jr->orhw", tensor, inner).flatten(1)
            out = torch.linalg.svd(back, full_matrices=False)[0][:, :rank_out]
    core = torch.einsum("ojhw,or,js->rshw", tensor, out, inner)
    lost = 1 - float((core**2).sum() / (tensor**2).sum())
    first = nn.Conv2d(layer.in_channels, rank_in, 1, bias=False)
    middle = _like(layer, rank_out, bias=False, channels=rank_in)
    last = _pointwise(layer, rank_out, layer.out_channels)
    _fill(first, inner.T @ inverse)
    _fill(middle, core)
    _fill(last, out, _bias(layer, out, seen))
    parts = LowRank(OrderedDict(reduce=first, core=middle, expand=last))
    return Form(parts, "tucker", (out.shape[1], rank_in), math.sqrt(max(0.0, lost)))


def _directions(matrix: Tensor, seen: Seen | None) -> tuple[Tensor, Tensor]:
    """Energies and directions of the outputs, in falling order.

    Few samples don't tell many directions apart, so their moments are mixed with those that white noise would give.
    """
    moments = matrix @ matrix.T
    if seen is not None and float(seen.outputs.trace()) > 0:
        doubt = len(moments) / (seen.samples + len(moments))
        white = moments * (seen.outputs.trace() / moments.trace())
        moments = (1 - doubt) * seen.outputs + doubt * white
    energies, vectors = torch.linalg.eigh(moments)
    most = min(matrix.shape)
    return energies.flip(0).clamp(min=0)[:most], vectors.flip(1)[:, :most]


def _roots(seen: Seen | None, channels: int) -> tuple[Tensor, Tensor]:
    """The symmetric square root of the inputs' second moments, and its inverse."""
    if seen is None or not float(seen.inputs.trace()) > 0:
        return torch.eye(channels, dtype=torch.float64), torch.eye(channels, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(seen.inputs)
    roots = (values.clamp(min=0) + RIDGE * values.mean()).sqrt()
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T


def _bias(layer: nn.Linear | nn.Conv2d, basis: Tensor, seen: Seen | None) -> Tensor | None:
    """The bias that keeps the mean of the outputs."""
    own = None if layer.bias is None else layer.bias.detach().double()
    if seen is None:
        return own
    offset = -seen.mean if own is None else own - seen.mean
    return basis @ (basis.T @ offset) + seen.mean


def _like(layer: nn.Linear | nn.Conv2d, width: int, *, bias: bool, channels: int | None = None) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, width, bias=bias)
    return nn.Conv2d(
        layer.in_channels if channels is None else channels,
        width,
        (layer.kernel_size[0], layer.kernel_size[1]),
        stride=(layer.stride[0], layer.stride[1]),
        padding=layer.padding if isinstance(layer.padding, str) else (layer.padding[0], layer.padding[1]),
        dilation=(layer.dilation[0], layer.dilation[1]),
        padding_mode=layer.padding_mode,
        bias=bias,
    )


def _pointwise(layer: nn.Linear | nn.Conv2d, width: int, outputs: int) -> nn.Module:
    return nn.Linear(width, outputs) if isinstance(layer, nn.Linear) else nn.Conv2d(width, outputs, 1)


def _fill(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    """Set a layer's weight, flat or shaped, and its bias; a bias that is not there is left out of the layer."""
    with torch.no_grad():
        own: Tensor = layer.weight  # type: ignore[assignment]
        own.copy_(weight.reshape(own.shape))
        if bias is None:
            layer.register_parameter("bias", None)
        elif isinstance(layer.bias, Tensor):
            layer.bias.copy_(bias)


def _joined(first: Tensor, then: Tensor) -> Tensor:
    """The weight of two layers in a row, one of them pointwise."""
    if first.ndim == 2:
        return then @ first
    if then.shape[2:] == (1, 1):
        return torch.einsum("or,rihw->oihw", then[:, :, 0, 0], first)
    return torch.einsum("orhw,ri->oihw", then, first[:, :, 0, 0])
