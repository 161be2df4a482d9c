"""Weights that share few values."""

import copy

import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError, SteelyardError
from steelyard.steps.rates import Prices
from steelyard.steps.share import Share, entries
from steelyard.steps.sparsify import Sparsify
from steelyard.training.course import Course

SHORT = Course(epochs=4, rate=5e-3, batch=32)
LONG = Course(epochs=20, rate=5e-3, batch=32)


@pytest.mark.parametrize("spacing", ["free", "grid"])
@pytest.mark.parametrize("start", ["linear", "density", "kmeans++"])
def test_every_tensor_takes_few_values_and_the_net_still_works(pupil, lesson, accuracy, spacing, start) -> None:
    before = copy.deepcopy(pupil.state_dict())
    module, report = Share(levels=6, start=start, spacing=spacing, course=LONG).apply(pupil, lesson)
    for name, each in module.named_parameters():
        assert torch.unique(each).numel() == report["levels"][name] <= 7
    assert accuracy(module) > 0.85
    assert all(torch.equal(each, before[name]) for name, each in pupil.state_dict().items())


@pytest.mark.parametrize("price", [0.0, 1e-4])
def test_pruned_weights_stay_exactly_zero(pupil, lesson, price) -> None:
    sparse, _ = Sparsify(ratio=0.8, course=SHORT).apply(pupil, lesson)
    module, report = Share(levels=4, price=price, course=SHORT).apply(sparse, lesson)
    for one, other in zip(sparse.parameters(), module.parameters(), strict=True):
        assert not other[one == 0].any()
    assert report["sparsity"] >= 0.8 - 0.005


def test_entries_take_sixteen_bits(pupil, lesson) -> None:
    module, _ = Share(levels=5, course=SHORT).apply(pupil, lesson)
    for each in module.parameters():
        assert torch.equal(each.half().float(), each)
    grid, _ = Share(levels=5, spacing="grid", course=SHORT).apply(pupil, lesson)
    for each in grid.parameters():
        step = each.abs()[each != 0].min()
        assert torch.equal(torch.round(each / step) * step, each)


def test_a_higher_price_takes_fewer_bytes(pupil, lesson) -> None:
    found = [
        Share(levels=8, price=price, course=SHORT, every=5).apply(pupil, lesson)[1]["entropy_bytes"]
        for price in (0.0, 1e-5, 1e-3)
    ]
    assert found[0] > found[1] > found[2]


def test_the_price_is_found_that_brings_the_bytes_down_to_what_is_wanted(pupil, lesson, accuracy) -> None:
    course = Course(epochs=40, rate=5e-3, batch=32)
    module, report = Share(levels=8, bytes=100, course=course, every=4).apply(pupil, lesson)
    assert report["bytes"] < 110
    assert report["price"] > 0
    assert accuracy(module) > 0.9


def test_biases_are_left_alone_where_told(pupil, lesson) -> None:
    module, report = Share(levels=4, biases=False, course=Course(epochs=0)).apply(pupil, lesson)
    assert set(report["levels"]) == {"0.weight", "2.weight"}
    assert torch.equal(module[0].bias, pupil[0].bias)


def test_codebooks_learn_by_the_sum_of_gradients(pupil, lesson) -> None:
    from steelyard.steps.share import _Shared

    shared = _Shared(pupil[0].weight, Share(levels=4), torch.Generator().manual_seed(0))
    pull = torch.randn(shared.weight.shape, generator=torch.Generator().manual_seed(1))
    pupil.zero_grad()
    (shared.values() * pull).sum().backward()
    wanted = [float(pull[shared.taken == index].sum()) * shared.size for index in range(1, 5)]
    assert shared.learned.grad.tolist() == pytest.approx(wanted, abs=1e-4)
    assert torch.allclose(pupil[0].weight.grad, pull)


def test_as_many_entries_as_values_are_the_values() -> None:
    kept = torch.tensor([3.0, -1.0, 2.0])
    assert entries(kept, 3, "density", torch.Generator()).tolist() == pytest.approx([-1.0, 2.0, 3.0])


def test_prices_are_those_of_the_shares_of_entries() -> None:
    taken = torch.tensor([[0, 1], [0, 1], [0, 2], [0, 1]]).repeat(50, 1)
    prices = Prices.of(taken, 0, 3)
    # The second column is always filled, the first never: what is left is a quarter against three quarters.
    assert prices.total() == pytest.approx(200 * 0.811, rel=0.1)
    assert float(prices.bits()[0, 0, 0]) < 0.05
    assert float(prices.bits()[0, 0, 1]) > 5


def test_a_module_without_weights_is_refused(lesson) -> None:
    with pytest.raises(SteelyardError) as refused:
        Share().apply(nn.ReLU(), lesson)
    assert refused.value.message == "share found no weights of two axes or more to share; take the step away."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 0}, "'levels' must be at least 1, got 0."),
        ({"bytes": 0}, "'bytes' must be at least 1, got 0."),
        ({"price": -1.0}, "'price' must be 0 or above, got -1.0."),
        ({"settle": 0.0}, "'settle' must be above 0 and at most 1, got 0.0."),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message) -> None:
    with pytest.raises(InputError) as refused:
        Share(**settings)
    assert refused.value.message == message
