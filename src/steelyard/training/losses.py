"""Losses of a whole model, whose outputs are in the target's own unit."""

from typing import Protocol, runtime_checkable

import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.task import ClassOutput, OutputSpec, ValueOutput
from steelyard.training.lesson import Loss


@runtime_checkable
class Penalised(Protocol):
    """A module that says how dear its own values are, so that what few rows speak for stays small."""

    def penalty(self) -> Tensor:
        """What is added to the loss of every step, a scalar."""


def penalty_of(module: nn.Module) -> Tensor | float:
    """What a module adds to the loss of a step while it trains; 0 for nearly all of them."""
    return module.penalty() if isinstance(module, Penalised) else 0.0


def loss_of(output: OutputSpec) -> Loss:
    """Cross-entropy of scores, mean squared error of values, cross-entropy of every next token of a text.

    Args:
        output: what the outputs mean: scores (n, classes) for classes (n,), values (n, 1) for values (n,), or scores
            (n, tokens, vocabulary) for tokens (n, tokens), −1 where none is asked for.
    """
    if isinstance(output, ClassOutput):
        return F.cross_entropy
    return _squared if isinstance(output, ValueOutput) else _next_tokens


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.reshape(len(targets), -1)[:, 0], targets)


def _next_tokens(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=-1)
