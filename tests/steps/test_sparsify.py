"""Single weights pruned."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import InputError, SteelyardError
from steelyard.steps.sparsify import Sparsify, chosen, cubic
from steelyard.training.course import Course, Watch, learn
from steelyard.training.sparsity import hold, masks_of, sparsity

SHORT = Course(epochs=4, rate=5e-3, batch=32)
LONG = Course(epochs=20, rate=5e-3, batch=32)


@pytest.mark.parametrize("schedule", ["once", "gradual", "dynamic"])
@pytest.mark.parametrize("importance", ["magnitude", "taylor", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_exactly_the_share_asked_for_is_removed(pupil, lesson, schedule, importance, scope) -> None:
    step = Sparsify(ratio=0.75, schedule=schedule, importance=importance, scope=scope, course=SHORT, every=5)
    before = copy.deepcopy(pupil.state_dict())
    module, report = step.apply(pupil, lesson)
    weights = [each for each in module.parameters() if each.ndim > 1]
    assert sum(int((each == 0).sum()) for each in weights) == round(0.75 * 736)
    assert report["sparsity"] == pytest.approx(0.75)
    if scope == "layer":
        assert [int((each == 0).sum()) for each in weights] == [480, 72]
    assert all(torch.equal(each, before[name]) for name, each in pupil.state_dict().items())


@pytest.mark.parametrize("schedule", ["once", "gradual", "dynamic"])
def test_pruning_by_importance_keeps_what_the_task_needs(pupil, lesson, accuracy, schedule) -> None:
    module, _ = Sparsify(ratio=0.9, schedule=schedule, course=LONG, every=5).apply(pupil, lesson)
    assert accuracy(module) > 0.8
    # Two of the twenty inputs tell the classes apart.
    felt = module[0].weight.detach().abs().sum(0)
    assert float(felt[:2].sum() / felt.sum()) > 0.7


def test_removed_weights_are_plain_zeros(pupil, lesson) -> None:
    module, _ = Sparsify(ratio=0.5, course=SHORT).apply(pupil, lesson)
    zeros = module[0].weight[module[0].weight == 0]
    assert not torch.signbit(zeros).any()


def test_masks_survive_a_later_training(pupil, lesson) -> None:
    module, _ = Sparsify(ratio=0.8, course=SHORT).apply(pupil, lesson)
    masks = masks_of(module)
    learn(module, lesson, SHORT, Watch(after=lambda: hold(module, masks)))
    assert sparsity(module) == pytest.approx(0.8, abs=0.005)


def test_rewinding_goes_back_to_early_weights_and_keeps_the_mask(pupil, lesson, accuracy) -> None:
    module, report = Sparsify(ratio=0.8, rewind=0.1, course=LONG).apply(pupil, lesson)
    assert report["sparsity"] == pytest.approx(0.8, abs=0.005)
    assert report["steps"] == 2 * 250
    assert accuracy(module) > 0.85
    again, _ = Sparsify(ratio=0.8, rewind=0.1, course=LONG).apply(pupil, lesson)
    assert torch.equal(again[0].weight, module[0].weight)


def test_without_learning_the_weights_left_are_those_that_were_there(pupil, lesson) -> None:
    module, report = Sparsify(ratio=0.5, schedule="once", course=Course(epochs=0)).apply(pupil, lesson)
    kept = module[0].weight != 0
    assert torch.equal(module[0].weight[kept], pupil[0].weight[kept])
    assert report["steps"] == 0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.99))
def test_the_cubic_curve_never_falls(first: float, second: float, last: float) -> None:
    early, late = sorted((first, second))
    assert cubic(early, 0.0, last) <= cubic(late, 0.0, last) <= last
    assert cubic(0.0, 0.0, last) == pytest.approx(0.0, abs=1e-9)
    assert cubic(1.0, 0.0, last) == last


def test_the_highest_scores_stay() -> None:
    scores = {"a": torch.tensor([[3.0, 1.0]]), "b": torch.tensor([[2.0, 4.0]])}
    masks = chosen(scores, 0.5, "global")
    assert masks["a"].tolist() == [[True, False]]
    assert masks["b"].tolist() == [[False, True]]


def test_a_module_without_weights_is_refused(lesson) -> None:
    with pytest.raises(SteelyardError) as refused:
        Sparsify().apply(nn.ReLU(), lesson)
    assert refused.value.message == "sparsify found no weights of two axes or more to remove; take the step away."


def test_a_layer_that_cannot_be_reset_is_named(lesson) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(20, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.w

    with pytest.raises(SteelyardError, match="layer '0' has parameters but no reset_parameters"):
        Sparsify(rewind=0.1).apply(nn.Sequential(Own()), lesson)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": 1.0}, "'ratio' must be from 0 to below 1, got 1.0."),
        ({"ramp": 0.0}, "'ramp' must be above 0 and at most 1, got 0.0."),
        ({"rewind": 1.0}, "'rewind' must be from 0 to below 1, got 1.0."),
        ({"every": 0}, "'every' must be at least 1, got 0."),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message) -> None:
    with pytest.raises(InputError) as refused:
        Sparsify(**settings)
    assert refused.value.message == message
