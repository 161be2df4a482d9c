"""How many channels stay."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.elastic.allocation import Arithmetic, by_macs, by_ratio, by_sizes, falling_sizes, units_of
from steelyard.elastic.groups import Group
from steelyard.elastic.trying import anatomy_of

SHARES = (1.0, 0.75, 0.5, 0.25)


def scored(anatomy, seed=0):
    generator = np.random.default_rng(seed)
    return {each.name: generator.random(each.size) for each in anatomy.groups}


@pytest.mark.parametrize("is_global", [True, False])
@pytest.mark.parametrize("name", ["cnn", "residual", "dense", "lstm-2-both", "encoder", "attention-width"])
def test_at_most_the_share_asked_is_left_and_not_far_less(name, is_global, make):
    case = make(name)
    anatomy = anatomy_of(case.module, case.example)
    for keep in SHARES:
        kept = by_macs(anatomy, scored(anatomy), keep, is_global=is_global, round_to=1)
        share = anatomy.macs(kept) / anatomy.macs({})
        assert share <= keep + 1e-9
        # Two heads of four are the coarsest step here.
        assert share >= keep - 0.35


@pytest.mark.parametrize("name", ["cnn", "depthwise", "dense", "gru-3", "encoder", "attention-one"])
def test_the_quick_arithmetic_is_the_exact_count(name, make, half):
    case = make(name)
    anatomy = anatomy_of(case.module, case.example)
    kept = half(anatomy)
    counts = {each.name: len(kept[each.name]) for each in anatomy.groups}
    assert Arithmetic(anatomy).cost(counts, "macs") == pytest.approx(anatomy.macs(kept))


def test_the_best_channels_stay_and_cheap_ones_of_no_use_go_first():
    module = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    anatomy = anatomy_of(module, (torch.randn(2, 10),))
    scores = {"0": np.arange(32.0) + 100, "2": np.arange(32.0) / 1000}
    kept = by_macs(anatomy, scores, 0.6, is_global=True, round_to=4)
    np.testing.assert_array_equal(kept["0"], np.arange(32))
    np.testing.assert_array_equal(kept["2"], np.arange(32 - len(kept["2"]), 32))
    assert len(kept["2"]) < 20


def test_what_shrinks_together_keeps_the_same_number(make):
    case = make("lstm-3-both")
    anatomy = anatomy_of(case.module, case.example)
    for kept in (
        by_macs(anatomy, scored(anatomy), 0.4, is_global=True, round_to=4),
        by_ratio(anatomy, scored(anatomy), 0.5, round_to=4),
    ):
        assert len({len(index) for index in kept.values()}) == 1


def test_heads_and_the_width_tied_to_them_shrink_in_proportion(make):
    case = make("attention-width")
    anatomy = anatomy_of(case.module, case.example)
    kept = by_ratio(anatomy, scored(anatomy), 0.5, round_to=8)
    assert {name: len(index) for name, index in kept.items()} == {
        "table": 16, "mixers.0.qkv": 2, "mixers.1.qkv": 2, "up": 32
    }  # fmt: skip


@pytest.mark.parametrize(
    ("size", "round_to", "expected"),
    [
        (32, 8, (32, 24, 16, 8)),
        (20, 8, (20, 16, 8)),
        (12, 8, (12, 8, 4)),
        (6, 8, (6, 5, 4, 3, 2, 1)),
        (100, 1, tuple(range(100, 7, -1))),
        (200, 8, (200, *range(192, 15, -8))),
    ],
)
def test_sizes_are_round_where_there_is_room_and_never_next_to_none(size, round_to, expected):
    (unit,) = units_of((Group("a", size),), round_to)
    assert unit.sizes == expected


def test_a_share_out_of_reach_gives_the_least_sizes(make):
    case = make("cnn")
    anatomy = anatomy_of(case.module, case.example)
    for is_global in (True, False):
        kept = by_macs(anatomy, scored(anatomy), 1e-6, is_global=is_global, round_to=8)
        assert {name: len(index) for name, index in kept.items()} == {"0": 8, "4": 8, "8": 8}


def test_a_ratio_of_nothing_keeps_everything(make):
    case = make("cnn")
    anatomy = anatomy_of(case.module, case.example)
    kept = by_ratio(anatomy, scored(anatomy), 0.0, round_to=8)
    assert anatomy.macs(kept) == anatomy.macs({})


def test_where_time_is_what_counts_a_layer_of_many_weights_shrinks_before_one_of_many_products():
    """One row an inference: a dense layer reads each weight for a single product, a convolution for hundreds."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(32, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip
    anatomy = anatomy_of(net, (torch.randn(2, 1, 16, 16),))
    # A dense unit saves 42 products and as many weights, a channel of a convolution about 76,000 products.
    scores = {each.name: np.full(each.size, 2e-3 if each.size == 512 else 1.0) for each in anatomy.groups}
    dense = next(each.name for each in anatomy.groups if each.size == 512)
    by_time = by_macs(anatomy, scores, 0.95, is_global=True, round_to=8, of="time")
    by_products = by_macs(anatomy, scores, 0.95, is_global=True, round_to=8)
    assert len(by_time[dense]) < len(by_products[dense]) == 512


def test_sizes_that_are_named_are_kept_the_best_channels_of_each():
    module = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    anatomy = anatomy_of(module, (torch.randn(2, 10),))
    scores = {"0": np.arange(32.0), "2": -np.arange(32.0)}
    kept = by_sizes(anatomy, scores, (5, 3))
    np.testing.assert_array_equal(kept["0"], np.arange(27, 32))
    np.testing.assert_array_equal(kept["2"], np.arange(3))
    for wrong, got in (((5,), "5"), ((5, 33), "5-33")):
        with pytest.raises(InputError) as caught:
            by_sizes(anatomy, scores, wrong)
        assert caught.value.message == f"'sizes' must name 2 sizes of at most 32-32, got {got}."


def test_sizes_fall_one_unit_at_a_time_and_so_does_the_cost():
    units = units_of((Group("a", 32), Group("b", 32)), 8)
    scores = {"a": np.arange(32.0), "b": np.ones(32)}
    path = list(falling_sizes(units, scores, lambda sizes: float(sum(sizes))))
    assert path[0] == ([32, 32], 64.0)
    assert path[-1][0] == [unit.sizes[-1] for unit in units]
    assert all(sum(x != y for x, y in zip(a, b, strict=True)) == 1 for (a, _), (b, _) in itertools.pairwise(path))
    assert [cost for _, cost in path] == sorted((cost for _, cost in path), reverse=True)
