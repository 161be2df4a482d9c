"""Small services on torch modules, for callers that don't know torch."""

import math
from typing import Any

import torch

from steelyard.core.task import Array
from steelyard.training.rates import largest_stable_rate


def use_one_thread() -> None:
    """One torch thread in this process: two beside a busy core were seen to collapse to an eighth of the speed."""
    torch.set_num_threads(1)


def module_outputs(model: Any, rows: Array) -> Array:
    """Outputs (n, width) of a module in evaluation mode on raw rows (n, ...)."""
    with torch.no_grad():
        outputs: Array = model.eval()(torch.from_numpy(rows)).numpy()
    return outputs


def stable_rate_of(model: Any, rows: Array) -> float | None:
    """The largest stable rate of plain descent on the squared loss of a model whose last layer is all it trains.

    Args:
        model: front, body (its last module a linear layer) and back.
        rows: raw training rows (n, ...).

    Returns:
        The rate; None where every rate is stable.
    """
    with torch.no_grad():
        features = model.body[:-1](model.front(torch.from_numpy(rows))).flatten(1).numpy()
    rate = largest_stable_rate(features, bias=model.body[-1].bias is not None)
    return rate if math.isfinite(rate) else None
