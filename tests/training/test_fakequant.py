import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.training.fakequant import RoundedActivation, RoundedWeight, find_places, rounding


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)
        self.idle = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).relu().mean((2, 3)))


def example(seed=0, rows=8):
    return (torch.randn(rows, 2, 6, 6, generator=torch.Generator().manual_seed(seed)),)


@given(bits=st.integers(2, 8), seed=st.integers(0, 50), unit=st.sampled_from([1e-4, 1.0, 1e4]))
def test_rounded_weights_are_codes_of_their_channel_within_half_a_step(bits, seed, unit):
    weight = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(seed)) * unit
    highest = 2 ** (bits - 1) - 1
    step = weight.abs().amax((1, 2), keepdim=True) / highest
    rounded = RoundedWeight(bits)(weight)
    codes = rounded / step
    assert torch.allclose(codes, codes.round(), atol=1e-3)
    assert float(codes.abs().max()) == pytest.approx(highest)
    assert bool(((rounded - weight).abs() <= 0.501 * step).all())


@given(low=st.floats(-50, 20), width=st.floats(0.01, 100), seed=st.integers(0, 20))
def test_rounded_activations_are_within_half_a_step_and_zero_is_exact(low, width, seed):
    x = low + width * torch.rand(64, generator=torch.Generator().manual_seed(seed))
    x[0] = 0
    rounded = RoundedActivation()(x, learns=True)
    step = (x.max().clamp(min=0) - x.min().clamp(max=0)) / 255
    assert bool(((rounded - x).abs() <= 1.01 * step).all())
    assert rounded[0] == 0
    assert len(rounded.unique()) <= 256


def test_the_gradient_passes_as_if_nothing_were_rounded():
    weight = torch.randn(3, 4, requires_grad=True)
    factor = torch.randn(3, 4)
    (RoundedWeight(4)(weight) * factor).sum().backward()
    assert torch.allclose(weight.grad, factor)


def test_a_range_grows_at_once_shrinks_slowly_and_rests_in_evaluation():
    rounded = RoundedActivation()
    for high, learns, expected in ((1.0, True, 1.0), (5.0, True, 5.0), (1.0, True, 4.8), (9.0, False, 4.8)):
        rounded(torch.tensor([0.0, high]), learns=learns)
        assert float(rounded.high) == pytest.approx(expected)
        assert float(rounded.low) == 0


def test_a_batch_norm_is_rounded_in_place_of_the_convolution_before_it():
    net = Net()
    places = find_places(net, example())
    assert places.layers == (net.conv, net.head)
    assert places.outputs == (net.norm, net.head)


def test_afterwards_the_module_is_plain_with_what_it_learned():
    net = Net()
    names, plain = list(net.state_dict()), net(*example()).detach()
    before = net.conv.weight
    with rounding(net, example(), bits=4) as under_way:
        assert len(under_way.activations) == 4
        assert not torch.allclose(net(*example()), plain, atol=1e-4)
        net(*example()).sum().backward()
        with torch.no_grad():
            net.head.bias += 1
    assert list(net.state_dict()) == names
    assert net.conv.weight is before
    assert before.grad is not None
    assert torch.allclose(net(*example()), plain + 1, atol=1e-6)
    assert type(net.conv) is nn.Conv2d


def test_it_is_plain_again_after_a_failure():
    net = Net()
    with pytest.raises(ValueError, match="stop"), rounding(net, example()):
        raise ValueError("stop")
    assert type(net.conv) is nn.Conv2d


def test_ranges_can_be_forgotten():
    net = Net()
    with rounding(net, example()) as under_way:
        net(*example())
        under_way.forget()
        assert all(each.low is None for each in under_way.activations)


def test_more_bits_are_nearer_to_the_module_itself():
    torch.manual_seed(0)
    net = Net().eval()
    plain = net(*example()).detach()
    apart = []
    for bits in (2, 4, 8):
        with rounding(net, example(), bits=bits), torch.no_grad():
            apart.append(float((net(*example()) - plain).abs().mean()))
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.02 * float(plain.abs().mean())
    assert np.isfinite(apart).all()
