import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.core.candidate import Scale
from steelyard.core.errors import WorkerError
from steelyard.core.task import ClassOutput, ValueOutput
from steelyard.families.baseline import BASELINE
from steelyard.families.cnn import CNN
from steelyard.families.linear import LINEAR
from steelyard.families.mlp import MLP
from steelyard.tasks.builtin import linear as textbook
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask
from steelyard.training.fit import HopelessError, Problem, default_loss, diverges, fit, make_optimizer, thinned
from steelyard.training.modules import module_outputs, stable_rate_of
from steelyard.training.recipe import OPTIMIZERS, Recipe

IMAGE, TABLE, VALUES = FakeTask.image(), FakeTask.table(), FakeTask.values()
SMALL = Scale.of(depth=1, width=8)


def problem_of(task, seed=0, **recipe):
    settings = {"learning_rate": 0.01, "max_epochs": 30, **recipe}
    return Problem(task.train, task.valid, task.output, METRICS[task.metric], Recipe(**settings), seed)


def quality(model, task):
    rows = np.ascontiguousarray(task.valid.x, dtype=np.float32)
    return METRICS[task.metric](module_outputs(model, rows), task.valid.y)


@pytest.mark.parametrize(
    ("task", "better"), [(IMAGE, max), (TABLE, max), (VALUES, min)], ids=["image", "table", "values"]
)
def test_early_stopping_keeps_the_best_weights(task, better):
    model = MLP.build(SMALL, task, 0)
    result = fit(model, problem_of(task))
    assert quality(model, task) == pytest.approx(better(result.curve["valid_quality"]), rel=1e-5)
    assert result.stopped in ("no longer improving", "epochs")
    assert result.learning_rate == 0.01
    assert not model.body.training


@pytest.mark.parametrize(
    ("family", "task"),
    [(MLP, IMAGE), (LINEAR, IMAGE), (CNN, IMAGE), (MLP, TABLE), (LINEAR, TABLE)],
    ids=lambda each: each.name,
)
def test_every_family_learns_and_finds_a_rate_of_its_own(family, task):
    model = family.build(SMALL, task, 0)
    before = quality(model, task)
    result = fit(model, problem_of(task, learning_rate=None))
    assert quality(model, task) > max(0.85, before)
    assert 1e-5 <= result.learning_rate <= 0.3


def test_a_regression_is_learned_in_the_targets_own_unit():
    model = LINEAR.build(Scale.of(bias=1), VALUES, 0)
    fit(model, problem_of(VALUES, learning_rate=0.05, max_epochs=200))
    assert quality(model, VALUES) < 0.02 * float(np.std(VALUES.valid.y))


def weights(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("family", [MLP, CNN], ids=lambda each: each.name)
def test_the_same_seed_gives_the_same_result(family):
    results = []
    for seed in (0, 0, 1):
        model = family.build(SMALL, IMAGE, 0)
        result = fit(model, problem_of(IMAGE, seed, learning_rate=None, max_epochs=4))
        results.append((result.curve, result.learning_rate, weights(model)))
    first, second, other = results
    assert first[:2] == second[:2]
    assert all(np.array_equal(first[2][name], second[2][name]) for name in first[2])
    assert other[0] != first[0]


def test_epochs_that_are_asked_for_are_made_and_the_last_weights_kept():
    model = MLP.build(SMALL, TABLE, 0)
    result = fit(model, problem_of(TABLE, epochs=25, learning_rate=0.05))
    assert result.curve["epoch"] == list(range(1, 26))
    assert result.stopped == "epochs"
    assert quality(model, TABLE) == pytest.approx(result.curve["valid_quality"][-1])


def test_the_time_limit_ends_a_training_after_its_epoch():
    model = MLP.build(SMALL, TABLE, 0)
    result = fit(model, replace(problem_of(TABLE), limit_s=0.0))
    assert result.stopped == "time limit"
    assert result.curve["epoch"] == [1]


def test_what_has_no_weights_is_not_trained():
    result = fit(BASELINE.build(Scale(), TABLE, 0), problem_of(TABLE, learning_rate=None))
    assert (result.curve, result.stopped, result.learning_rate) == ({}, "nothing to train", 0.0)


def test_a_last_batch_of_one_row_does_not_break_batch_norm():
    task = FakeTask.image(rows=33)
    assert Recipe().batch_size(33) == 16
    fit(CNN.build(Scale.of(depth=1, width=4, kernel=3), task, 0), problem_of(task, epochs=2))


@pytest.fixture
def diverging():
    """The textbook's task: y = x on 1 ... 5, plain full-batch descent at 0.1."""
    task = textbook()
    model = LINEAR.build(Scale.of(bias=1), task, 0)
    stable = stable_rate_of(model, task.train.x)
    assert round(stable, 4) == 0.0845
    return task, model, replace(problem_of(task, optimizer="sgd", learning_rate=0.1, batch="full"), stable_rate=stable)


def test_the_textbooks_divergence_is_noticed_at_once_and_cured(diverging):
    task, model, problem = diverging
    result = fit(model, problem)
    (note,) = result.notes
    assert note.startswith("diverged at learning rate 0.1 in epoch ")
    assert note.endswith("; the largest stable rate is 0.08452; now 0.0803")
    assert int(note.split("epoch ")[1].split(";")[0]) <= 5
    assert result.learning_rate == pytest.approx(0.95 * problem.stable_rate)
    layer = model.body[-1]
    assert layer.weight.item() == pytest.approx(1.0, abs=0.01)
    assert layer.bias.item() == pytest.approx(0.0, abs=0.03)
    assert quality(model, task) < 0.03


def test_just_below_the_stable_rate_nothing_is_cured(diverging):
    _, model, problem = diverging
    recipe = replace(problem.recipe, learning_rate=0.99 * problem.stable_rate)
    assert fit(model, replace(problem, recipe=recipe)).notes == []


def test_a_divergence_of_unknown_cause_is_cured_by_quarters(diverging):
    _, model, problem = diverging
    result = fit(model, replace(problem, stable_rate=None))
    assert result.learning_rate == 0.025
    assert result.notes[0].endswith("; now 0.025")


def test_a_training_that_can_not_be_cured_fails_in_one_sentence():
    model = MLP.build(SMALL, VALUES, 0)
    with pytest.raises(WorkerError) as caught:
        fit(model, problem_of(VALUES, optimizer="sgd", learning_rate=1e12))
    assert str(caught.value) == "training diverged 4 times, last at learning rate 3.906e+09."
    assert caught.value.stage == "train"


def test_a_loss_of_nan_counts_as_divergence():
    problem = replace(problem_of(TABLE), loss=lambda outputs, targets: F.cross_entropy(outputs, targets) * math.nan)
    with pytest.raises(WorkerError, match=r"^training diverged 4 times"):
        fit(MLP.build(SMALL, TABLE, 0), problem)


def test_the_users_loss_is_what_is_descended():
    seen = []

    def loss(outputs, targets):
        seen.append((outputs.shape[1], targets.dtype))
        return F.cross_entropy(outputs, targets)

    fit(MLP.build(SMALL, TABLE, 0), replace(problem_of(TABLE, epochs=1), loss=loss))
    assert set(seen) == {(2, torch.int64)}


def test_a_front_has_nothing_to_learn_and_stays():
    model = MLP.build(SMALL, TABLE, 0)
    before = {name: value.clone() for name, value in model.front.state_dict().items()}
    fit(model, problem_of(TABLE, epochs=2))
    assert all(torch.equal(value, before[name]) for name, value in model.front.state_dict().items())


@given(st.floats(1e-6, 1e6), st.floats(0, 3.99), st.integers(0, 5))
def test_a_mini_batch_loss_below_four_times_its_first_has_not_diverged(first, times, rises):
    assert not diverges(first * times, first, rises, is_full=False)


@pytest.mark.parametrize(
    ("loss", "rises", "is_full", "verdict"),
    [
        (math.nan, 0, False, True),
        (math.inf, 0, False, True),
        (4.1, 0, False, True),
        (1.1, 2, True, True),
        (1.1, 1, True, False),
        (0.9, 5, True, False),
        (1.1, 9, False, False),
    ],
)
def test_divergence_is_told_from_noise(loss, rises, is_full, verdict):
    assert diverges(loss, 1.0, rises, is_full=is_full) is verdict


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_are_those_asked_for(name):
    optimizer = make_optimizer(Recipe(optimizer=name), nn.Linear(2, 1), 0.3)
    assert type(optimizer).__name__.lower() == name
    assert optimizer.param_groups[0]["lr"] == 0.3
    assert optimizer.param_groups[0].get("momentum", 0) == 0


def test_the_loss_follows_the_output():
    assert default_loss(ClassOutput((0, 1))) is F.cross_entropy
    assert default_loss(ValueOutput(0.0, 1.0)) is F.mse_loss


@given(st.integers(1, 1000), st.integers(2, 120))
def test_a_long_curve_is_thinned_evenly_and_keeps_its_ends(length, most):
    curve = {"epoch": [float(i) for i in range(length)], "train_loss": [float(-i) for i in range(length)]}
    thin = thinned(curve, most)
    epochs = thin["epoch"]
    assert len(epochs) == min(length, most)
    assert (epochs[0], epochs[-1]) == (0, length - 1)
    assert thin["train_loss"] == [-each for each in epochs]
    gaps = np.diff(epochs)
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(("task", "kept", "missed"), [(IMAGE, 0.0, 1.1), (VALUES, 1e9, 0.0)], ids=["image", "values"])
def test_a_training_that_falls_short_ends_after_that_epoch(task, kept, missed):
    asked = problem_of(task, epochs=6)
    with pytest.raises(HopelessError) as caught:
        fit(MLP.build(SMALL, task, 0), replace(asked, needed={2: kept, 4: missed, 5: missed}))
    short = caught.value
    best = max if METRICS[task.metric].higher_is_better else min
    assert (short.epoch, short.stage, short.curve["epoch"]) == (4, "train", [1, 2, 3, 4])
    assert short.quality == best(short.curve["valid_quality"])
    assert short.message == "training fell short of what it needs in epoch 4."
    whole = fit(MLP.build(SMALL, task, 0), asked).curve
    assert whole["valid_quality"][:4] == short.curve["valid_quality"]


def test_what_is_needed_changes_nothing_of_a_training_that_reaches_it():
    asked = problem_of(IMAGE, epochs=4)
    free = fit(MLP.build(SMALL, IMAGE, 0), asked)
    held = fit(MLP.build(SMALL, IMAGE, 0), replace(asked, needed={2: 0.0, 4: 0.0}))
    assert held.curve == free.curve
