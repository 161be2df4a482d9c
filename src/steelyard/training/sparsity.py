"""Weights that are exactly zero: found, counted, and kept at zero by whatever trains a sparse module further."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SPARSE = 0.05
"""A weight with at least this share of exact zeros was pruned; fresh and trained weights have none."""


def weights_of(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that multiply: those of two axes or more, by name, each once however often it is shared."""
    return {name: each for name, each in module.named_parameters() if each.ndim > 1 and each.requires_grad}


def masks_of(module: nn.Module) -> dict[str, Tensor]:
    """Where the pruned weights of a module are not zero, by name."""
    with torch.no_grad():
        masks = {name: each != 0 for name, each in weights_of(module).items()}
    return {name: mask for name, mask in masks.items() if float(mask.float().mean()) <= 1 - SPARSE}


def hold(module: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Put the weights outside of the masks back to zero, in place: after each step of an optimiser."""
    with torch.no_grad():
        for name, each in module.named_parameters():
            if name in masks:
                # Multiplied by zero, a negative weight would become -0.0, which is another number when it is encoded.
                each.masked_fill_(~masks[name], 0.0)


def sparsity(module: nn.Module) -> float:
    """The share of multiplying weights that are exactly zero; 0 where there are none."""
    weights = list(weights_of(module).values())
    total = sum(each.numel() for each in weights)
    return sum(int((each == 0).sum()) for each in weights) / total if total else 0.0
