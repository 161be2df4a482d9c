"""Attention whose heads can be fewer than its width holds, in place of `torch.nn.MultiheadAttention`."""

import math

import torch
from torch import Tensor, nn


class HeadwiseAttention(nn.Module):
    """Multi-head attention with any number of heads of a given size, whatever the width around it.

    It is called like `torch.nn.MultiheadAttention` and keeps the names of its parameters. Inputs (rows, steps, width),
    or (steps, rows, width) without `batch_first`.
    """

    _qkv_same_embed_dim = False
    """Read by torch's encoder layers: their fused kernel does not fit."""

    def __init__(self, source: nn.MultiheadAttention, num_heads: int, weights: tuple[nn.Parameter, ...]) -> None:
        """Stand for `source`, with in_proj_weight, out_proj.weight, and both biases where it has them."""
        super().__init__()
        into, last, *biases = weights
        self.num_heads = num_heads
        self.head_dim = last.shape[1] // num_heads
        self.embed_dim = last.shape[0]
        self.batch_first = source.batch_first
        self.dropout = source.dropout
        self.in_proj_weight = into
        self.in_proj_bias = biases[0] if biases else None
        self.out_proj = nn.Linear(1, 1, bias=bool(biases), device="meta")
        self.out_proj.weight = last
        self.out_proj.in_features, self.out_proj.out_features = last.shape[1], last.shape[0]
        if biases:
            self.out_proj.bias = biases[1]
        self.train(source.training)

    def forward(  # noqa: PLR0917  the call of the layer that it stands for
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,  # noqa: ARG002  a hint; the mask that torch wants beside it is what counts
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs, and the weights (rows, target steps, source steps) where they are asked for."""
        if not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        q, k, v = (self._heads(each, part) for part, each in enumerate((query, key, value)))
        scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(self.head_dim))
        for mask in self._masks(key_padding_mask, attn_mask):
            scores = scores.masked_fill(mask, -math.inf) if mask.dtype == torch.bool else scores + mask
        weights = torch.softmax(scores, dim=-1)
        dropped = nn.functional.dropout(weights, self.dropout, self.training)
        mixed = (dropped @ v).transpose(1, 2).flatten(2)
        out = self.out_proj(mixed)
        out = out if self.batch_first else out.transpose(0, 1)
        if not need_weights:
            return out, None
        return out, weights.mean(1) if average_attn_weights else weights

    def _heads(self, x: Tensor, part: int) -> Tensor:
        """Projections (rows, heads, steps, head size) of inputs (rows, steps, width)."""
        size = self.num_heads * self.head_dim
        weight = self.in_proj_weight[part * size : (part + 1) * size]
        bias = None if self.in_proj_bias is None else self.in_proj_bias[part * size : (part + 1) * size]
        projected = nn.functional.linear(x, weight, bias)
        return projected.view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def _masks(self, padding: Tensor | None, mask: Tensor | None) -> list[Tensor]:
        found = [] if padding is None else [padding[:, None, None, :]]
        if mask is not None:
            found.append(mask.view(-1, self.num_heads, *mask.shape[1:]) if mask.ndim == 3 else mask)
        return found
