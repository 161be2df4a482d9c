from itertools import pairwise

import pytest
import torch
from torch import nn

from steelyard.training.features import Features


def net(*widths):
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 3))


X = (torch.randn(6, 4, generator=torch.Generator().manual_seed(0)),)


def apart(student, teacher):
    found = Features.of(student, teacher, X)
    with found.watching():
        student(*X)
    return found, found.distance(X)


def test_layers_of_one_name_and_shape_are_compared_and_equal_modules_agree():
    found, distance = apart(net(4, 5, 6), net(4, 5, 6))
    assert found.names == ("0.0", "1.0")
    assert found.parameters() == []
    assert float(distance.detach()) == 0


def test_the_distance_is_the_mean_over_layers_of_the_relative_square():
    student, teacher = net(4, 5), net(4, 5)
    with torch.no_grad():
        teacher[0][0].weight *= 2
        teacher[0][0].bias *= 2
    _, distance = apart(student, teacher)
    assert float(distance.detach()) == pytest.approx(0.25)


def test_at_most_four_layers_are_compared_from_first_to_last():
    found, _ = apart(net(4, *[5] * 9), net(4, *[5] * 9))
    assert len(found.names) == 4
    assert (found.names[0], found.names[-1]) == ("0.0", "8.0")


def test_of_other_widths_the_features_before_the_decision_are_compared_over_a_bridge():
    student, teacher = net(4, 2), net(4, 8)
    found, distance = apart(student, teacher)
    assert found.bridge.weight.shape == (8, 2)
    distance.backward()
    assert all(each.grad is not None for each in found.parameters())
    assert student[0][0].weight.grad is not None
    assert teacher[0][0].weight.grad is None


def test_modules_without_such_layers_can_not_be_compared():
    assert Features.of(nn.BatchNorm1d(4), net(4, 2), X) is None


def test_nothing_is_left_on_the_modules():
    student, teacher = net(4, 2), net(4, 8)
    apart(student, teacher)
    assert not any(part._forward_hooks for module in (student, teacher) for part in module.modules())
