"""Structures of a module over one set of weights."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import InputError
from steelyard.elastic.slimmable import Slimmable, crossed, fine_units, ladder, varied
from steelyard.elastic.trying import anatomy_of


def built():
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 12, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 3),
    )  # fmt: skip
    return body.eval()


@pytest.fixture(scope="module")
def rows():
    return (torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(1)),)


@pytest.fixture(scope="module")
def net(rows):
    module = built()
    anatomy = anatomy_of(module, rows)
    random = np.random.default_rng(0)
    scores = {each.name: random.random(each.size) for each in anatomy.groups}
    return Slimmable(module, anatomy, scores, fine_units(anatomy, 16))


def drawn(net):
    return st.tuples(*(st.sampled_from(unit.sizes) for unit in net.units))


def test_sizes_fall_from_the_whole_by_blocks_and_then_by_fours(net):
    assert [unit.sizes for unit in net.units] == [(32, 16, 12, 8, 4), (12, 8, 4)]
    assert net.full == (32, 12)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_views_give_what_a_module_of_its_own_gives(net, rows, data):
    sizes = data.draw(drawn(net))
    own = net.extracted(sizes).train()
    assert torch.allclose(net.outputs(sizes, rows), own(*rows), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_of_two_structures_the_smaller_lies_within_the_larger_group_by_group(net, data):
    one, other = data.draw(drawn(net)), data.draw(drawn(net))
    small, large = net.kept(tuple(map(min, one, other))), net.kept(tuple(map(max, one, other)))
    assert all(set(small[name]) <= set(large[name]) for name in small)


def test_gradients_reach_the_channels_of_a_structure_alone(net, rows):
    net.outputs((16, 4), rows).square().sum().backward()
    weight = net.shared()["0.weight"]
    touched = torch.nonzero(weight.grad.flatten(1).abs().sum(1)).flatten().tolist()
    assert set(touched) <= set(net.kept((16, 4))["0"].tolist())
    assert touched
    for each in net.shared().values():
        each.grad = None


def test_a_ladder_keeps_each_share_of_the_cost_by_every_way_of_shrinking(net):
    whole = net.cost(net.full)
    found = ladder(net, [0.5, 0.2])
    assert len(found) == len(set(found)) >= 3
    assert min(net.cost(sizes) for sizes in found) <= 0.2 * whole
    # Not one ratio for all groups.
    assert any(first / 32 > 1.5 * second / 12 or second / 12 > 1.5 * first / 32 for first, second in found)
    assert all(net.cost(sizes, "macs") <= 0.55 * net.cost(net.full, "macs") for sizes in found)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_what_is_bred_of_structures_is_a_structure(net, data, seed):
    random = np.random.default_rng(seed)
    one, other = data.draw(drawn(net)), data.draw(drawn(net))
    child = crossed(one, other, random)
    assert all(size in pair for size, pair in zip(child, zip(one, other, strict=True), strict=True))
    assert all(size in unit.sizes for size, unit in zip(varied(net, child, random), net.units, strict=True))


def test_a_structure_has_a_size_for_each_unit(net):
    with pytest.raises(InputError, match=r"^'sizes' must name 2 sizes, one a set of groups, got 3\.$"):
        net.kept((16, 8, 4))
