"""Statistics of batch norm, estimated anew for a module that has changed."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from steelyard.training.lesson import Lesson

ROWS = 4096
"""Rows that the statistics are averaged over: a mean and a variance a channel need no more."""
BATCH = 128


def reestimate_norms(module: nn.Module, lesson: Lesson, rows: int = ROWS) -> int:
    """Set the running statistics of batch norms to the plain average over training rows, in place.

    Everything else of the module stays in evaluation mode meanwhile, so dropout does not disturb them.

    Returns:
        How many batch norms there were.

    References:
        J. Yu and T. Huang, Universally slimmable networks and improved training techniques, ICCV 2019.
    """
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
    if not norms:
        return 0
    was_training = module.training
    module.eval()
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.reset_running_stats()
        # No momentum is the cumulative average.
        each.momentum = None
        each.train()
    seen = 0
    with torch.no_grad():
        for inputs, _ in lesson.batches(BATCH):
            module(*inputs)
            seen += len(inputs[0])
            if seen >= rows:
                break
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum
    module.train(was_training)
    return len(norms)
