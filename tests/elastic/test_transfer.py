"""Trained weights as the start of other modules: what fits, what is cut, what stays fresh."""

import pytest
import torch
from torch import nn

from steelyard.builtin import registry
from steelyard.core.candidate import Scale
from steelyard.elastic.transfer import head_of, matched, source_of, take
from steelyard.testing.fakes import FakeTask

TASK = FakeTask.image()
LARGE = {
    "cnn": Scale.of(depth=2, width=4, kernel=3, resolution=8),
    "resnet": Scale.of(depth=2, width=4, resolution=8),
    "vit": Scale.of(depth=2, heads=2, width=16, resolution=8),
    "mlp": Scale.of(depth=2, width=8),
}
SMALL = {
    "cnn": Scale.of(depth=2, width=2, kernel=3, resolution=8),
    "resnet": Scale.of(depth=1, width=2, resolution=8),
    "vit": Scale.of(depth=1, heads=1, width=8, resolution=8),
    "mlp": Scale.of(depth=2, width=4),
}


def built(name, scale, seed=0):
    return registry.get("family", name).build(scale, TASK, seed)


def example(model):
    return (torch.randn(2, *model.front.shape, generator=torch.Generator().manual_seed(0)),)


def state(body):
    return {name: value.clone() for name, value in body.state_dict().items()}


def source(name):
    """The source that a model of the largest scale makes, and the model."""
    model = built(name, LARGE[name], seed=1)
    return source_of(state(model.body), model.body, example(model)), model


@pytest.mark.parametrize("name", LARGE)
def test_a_model_of_the_same_scale_becomes_the_same_function(name):
    found, large = source(name)
    model = built(name, LARGE[name])
    taken = take(found, model.body, example(model), head=True)
    assert (taken.share, taken.fresh, taken.is_cut) == (1.0, (), False)
    x = torch.randn(4, *model.front.shape)
    with torch.no_grad():
        torch.testing.assert_close(model.body.eval()(x), large.body.eval()(x))


@pytest.mark.parametrize("name", LARGE)
def test_without_the_head_all_but_the_last_layer_is_taken_over(name):
    found, _ = source(name)
    model = built(name, LARGE[name])
    before = state(model.body)
    taken = take(found, model.body, example(model), head=False)
    last = head_of(model.body)
    assert set(taken.fresh) == last
    assert 0 < taken.share < 1
    after = model.body.state_dict()
    assert all(torch.equal(before[each], after[each]) for each in last)


@pytest.mark.parametrize("name", SMALL)
def test_every_number_of_a_smaller_model_that_is_taken_over_is_one_of_the_larger(name):
    found, _ = source(name)
    model = built(name, SMALL[name])
    taken = take(found, model.body, example(model), head=True)
    assert taken.is_cut
    assert taken.share > 0.4
    for each, value in model.body.named_parameters():
        if each in taken.names:
            assert torch.isin(value.detach(), found.values[each]).all(), each


def test_slices_are_the_first_channels():
    found, large = source("cnn")
    model = built("cnn", SMALL["cnn"])
    take(found, model.body, example(model), head=True)
    assert torch.equal(model.body[0].weight, large.body[0].weight[:2])
    assert torch.equal(model.body[1].running_mean, large.body[1].running_mean[:2])


def test_a_larger_model_keeps_what_the_source_is_too_small_for():
    small = built("mlp", SMALL["mlp"], seed=1)
    found = source_of(state(small.body), small.body, example(small))
    model = built("mlp", LARGE["mlp"])
    before = state(model.body)
    taken = take(found, model.body, example(model), head=True)
    assert taken.names <= {"5.bias"}
    assert all(torch.equal(before[each], model.body.state_dict()[each]) for each in taken.fresh)


@pytest.mark.parametrize("wrapper", ["", "model.", "net.encoder."])
def test_names_may_begin_with_a_wrapper_on_either_side(wrapper):
    body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    file = {f"{wrapper}{name}": value for name, value in state(body).items()}
    assert matched(file, body).keys() == body.state_dict().keys()
    wrapped = nn.ModuleDict({"backbone": body})
    assert matched(file, wrapped).keys() == wrapped.state_dict().keys()


def test_another_shape_does_not_match():
    body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    file = {**state(body), "2.weight": torch.zeros(5, 4), "2.bias": torch.zeros(5), "more": torch.zeros(1)}
    assert matched(file, body).keys() == {"0.weight", "0.bias"}
    assert matched({"other": torch.zeros(7)}, body) == {}


class _Untraceable(nn.Module):
    """Its way depends on its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, width), nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x)) if x.sum() > 0 else self.two(-self.one(x))


def test_what_can_not_be_traced_takes_whole_tensors_alone():
    x = (torch.randn(2, 3),)
    large = _Untraceable(4)
    found = source_of(state(large), large, x)
    assert not found.is_traced
    assert take(found, _Untraceable(4), x, head=True).share == 1.0
    assert take(found, _Untraceable(2), x, head=True).names == {"two.bias"}


def test_the_head_is_the_last_part_with_parameters_of_its_own():
    body = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 2), nn.ReLU()))
    assert head_of(body) == {"1.0.weight", "1.0.bias"}
    assert head_of(nn.Linear(2, 1)) == {"weight", "bias"}
    assert head_of(nn.ReLU()) == frozenset()
