"""Losses of a whole model, whose outputs are in the target's own unit."""

import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor

from steelyard.core.task import ClassOutput, ValueOutput
from steelyard.training.lesson import Loss


def loss_of(output: ClassOutput | ValueOutput) -> Loss:
    """Cross-entropy of scores (n, classes) and classes (n,), or the mean squared error of values (n, 1) and (n,)."""
    if isinstance(output, ClassOutput):
        return F.cross_entropy
    return _squared


def _squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs.reshape(len(targets), -1)[:, 0], targets)
