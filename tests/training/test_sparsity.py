"""Weights that are exactly zero."""

import pytest
import torch
from torch import nn

from steelyard.training.sparsity import hold, masks_of, sparsity, weights_of


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_weights_are_what_multiplies() -> None:
    assert set(weights_of(net())) == {"0.weight", "2.weight"}


def test_shared_weights_count_once() -> None:
    layer = nn.Linear(3, 3)
    assert len(weights_of(nn.Sequential(layer, nn.ReLU(), layer))) == 1


def test_fresh_weights_have_no_mask() -> None:
    assert masks_of(net()) == {}
    assert sparsity(net()) == 0.0
    assert sparsity(nn.ReLU()) == 0.0


def test_pruned_weights_stay_at_plain_zero() -> None:
    module = net()
    with torch.no_grad():
        module[0].weight[:2] = 0
    masks = masks_of(module)
    assert set(masks) == {"0.weight"}
    with torch.no_grad():
        module[0].weight -= 1
    hold(module, masks)
    assert not module[0].weight[:2].any()
    assert not torch.signbit(module[0].weight[:2]).any()
    assert module[0].weight[2:].all()
    assert sparsity(module) == pytest.approx(12 / 32)
