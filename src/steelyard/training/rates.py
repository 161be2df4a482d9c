"""Learning rates: found by a range test, and the largest stable one where it can be computed."""

import copy
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.task import Array
from steelyard.training.tuning import set_rate

LOWEST, HIGHEST, STEPS = 1e-5, 1.0, 32
"""Range of the test and its steps: five decades, a factor of 1.43 a step."""


def range_test(
    body: nn.Module,
    make_optimizer: Callable[[nn.Module, float], torch.optim.Optimizer],
    loss: Callable[[Tensor, Tensor], Tensor],
    batches: Callable[[], tuple[Tensor, Tensor]],
    *,
    highest: float = HIGHEST,
) -> float:
    """A good learning rate: grow it each step on a copy of the model and watch the smoothed loss.

    Args:
        body: the model; it is copied, not changed.
        make_optimizer: an optimiser on a model at a rate.
        loss: of outputs and targets.
        batches: gives the next mini-batch at each call.
        highest: where the test ends.

    Returns:
        A tenth of the rate at which the smoothed loss was lowest, but at least `LOWEST`.

    References:
        L. N. Smith, Cyclical learning rates for training neural networks, WACV 2017.
    """
    trial = copy.deepcopy(body).train()
    optimizer = make_optimizer(trial, LOWEST)
    factor = (highest / LOWEST) ** (1 / STEPS)
    rate, smoothed, best, best_rate = LOWEST, 0.0, math.inf, LOWEST
    for step in range(1, STEPS + 1):
        set_rate(optimizer.param_groups, rate)
        x, y = batches()
        optimizer.zero_grad(set_to_none=True)
        value = loss(trial(x), y)
        current = float(value.detach())
        if not math.isfinite(current):
            break
        smoothed = 0.8 * smoothed + 0.2 * current
        corrected = smoothed / (1 - 0.8**step)
        if corrected < best:
            best, best_rate = corrected, rate
        elif corrected > 4 * best:
            break
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        rate *= factor
    return max(LOWEST, best_rate / 10)


def largest_stable_rate(features: Array, *, bias: bool = True) -> float:
    """The largest rate at which full-batch gradient descent on the mean squared error of a linear model converges.

    The loss has the constant Hessian H = 2 XᵀX / n (a column of ones in X stands for the bias); descent converges
    for rates below 2 / λmax(H).

    Args:
        features: (n, features).
        bias: whether the model has one.

    Returns:
        2 / λmax, infinite where all features are zero.

    References:
        Y. Nesterov, Introductory Lectures on Convex Optimization, 2004, section 1.2.3.
    """
    x = np.asarray(features, dtype=np.float64).reshape(len(features), -1)
    if bias:
        x = np.hstack([x, np.ones((len(x), 1))])
    largest = float(np.linalg.norm(x, ord=2)) ** 2 * 2 / len(x)
    return math.inf if largest == 0 else 2 / largest
