import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.training.ensemble import Ensemble


def members(width, *after):
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, width), *after) for _ in range(3)]


def test_decisions_are_averaged_as_probabilities():
    several, x = members(4), torch.randn(5, 3)
    expected = sum(each(x).softmax(-1) for each in several) / 3
    assert torch.allclose(Ensemble(several)(x).softmax(-1), expected, atol=1e-5)


def test_probabilities_stay_probabilities():
    several, x = members(4, nn.Softmax(-1)), torch.randn(5, 3)
    assert torch.allclose(Ensemble(several)(x), sum(each(x) for each in several) / 3)


def test_values_are_averaged():
    several, x = members(1), torch.randn(5, 3)
    assert torch.allclose(Ensemble(several)(x), sum(each(x) for each in several) / 3)


def test_a_single_member_decides_as_it_does_alone():
    (alone, *_), x = members(4), torch.randn(5, 3)
    assert torch.allclose(Ensemble([alone])(x), alone(x).log_softmax(-1), atol=1e-5)


def test_an_ensemble_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"^'members' must hold at least one module, got none\.$"):
        Ensemble([])
