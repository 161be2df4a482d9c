import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steelyard.training.rates import HIGHEST, LOWEST, largest_stable_rate, range_test


def descend(x, y, rate, steps=3000):
    """Loss before and after plain full-batch descent from zero, in numpy."""
    weights, losses = np.zeros(x.shape[1]), []
    for _ in range(steps):
        error = x @ weights - y
        losses.append(float(np.mean(error**2)))
        if losses[-1] > 1e12:
            break
        weights -= rate * 2 * x.T @ error / len(x)
    return losses


def test_the_textbooks_rate():
    """x = 1 ... 5: the eigenvalues of 2/5 [[55, 15], [15, 5]] are 12 ± sqrt(136); 2 over the larger is 0.0845."""
    rate = largest_stable_rate(np.arange(1, 6)[:, None])
    assert rate == pytest.approx(2 / (12 + math.sqrt(136)), rel=1e-12)
    assert round(rate, 4) == 0.0845


def test_without_a_bias_the_rate_is_one_over_the_mean_square():
    assert largest_stable_rate(np.arange(1, 6)[:, None], bias=False) == pytest.approx(1 / 11)


def test_zeros_are_stable_at_any_rate():
    assert largest_stable_rate(np.zeros((4, 2)), bias=False) == math.inf


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 4), st.booleans())
def test_descent_converges_just_below_the_rate_and_diverges_just_above(seed, n, features, bias):
    rng = np.random.default_rng(seed)
    x = rng.normal(1.0, 2.0, (n, features))
    rate = largest_stable_rate(x, bias=bias)
    design = np.hstack([x, np.ones((n, 1))]) if bias else x
    # A target along the steepest direction, so that divergence shows.
    y = design @ np.linalg.svd(design)[2][0]
    below = descend(design, y, 0.99 * rate)
    assert below[-1] < 1e-6 * below[0]
    assert descend(design, y, 1.01 * rate)[-1] > 1e6 * below[0]


@pytest.fixture
def regression():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 5, generator=generator)
    return x, x @ torch.randn(5, 1, generator=generator)


def adam(body, rate):
    return torch.optim.Adam(body.parameters(), lr=rate)


def test_a_found_rate_lies_in_range_and_trains(regression):
    x, y = regression
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    before = {name: value.clone() for name, value in body.state_dict().items()}
    rate = range_test(body, adam, F.mse_loss, lambda: (x, y))
    assert LOWEST < rate < HIGHEST
    assert all(torch.equal(value, before[name]) for name, value in body.state_dict().items())
    first = float(F.mse_loss(body(x), y).detach())
    optimizer = adam(body, rate)
    for _ in range(300):
        optimizer.zero_grad()
        loss = F.mse_loss(body(x), y)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1 * first


def test_a_found_rate_keeps_to_the_highest(regression):
    body = nn.Linear(5, 1)
    assert range_test(body, adam, F.mse_loss, lambda: regression, highest=1e-3) <= 1e-3


def test_a_loss_that_is_no_number_gives_the_lowest_rate(regression):
    body = nn.Linear(5, 1)
    assert range_test(body, adam, lambda out, y: (out - y).sum() * math.nan, lambda: regression) == LOWEST
