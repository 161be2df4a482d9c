"""Small services on torch modules, for callers that don't know torch."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from steelyard.core.protocols import Feed
from steelyard.core.task import Array
from steelyard.training.lesson import first_output
from steelyard.training.rates import largest_stable_rate


def use_one_thread() -> None:
    """One torch thread in this process: two beside a busy core were seen to collapse to an eighth of the speed."""
    torch.set_num_threads(1)


def module_outputs(model: Any, rows: Feed) -> Array:
    """Outputs (n, width) of a module in evaluation mode on raw rows (n, ...), or on arrays in the inputs' order."""
    arrays = rows.values() if isinstance(rows, Mapping) else (rows,)
    with torch.no_grad():
        found = model.eval()(*(torch.from_numpy(each) for each in arrays))
    outputs: Array = first_output(found).numpy()
    return outputs


class _Copy(torch.nn.Module):
    """Gives a copy of its input; a bare input as output is a graph that some exporters refuse."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clone()


def identity_module() -> Any:
    """A module that gives back its input: what it costs to run it is the floor under every latency."""
    return _Copy()


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
