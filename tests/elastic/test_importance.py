"""How much channels matter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.core.task import Rows
from steelyard.elastic.importance import KINDS, best_of, scores_of
from steelyard.elastic.trying import anatomy_of
from steelyard.training.lesson import Lesson


@pytest.fixture(scope="module")
def taught():
    """A net of which only some hidden channels matter: the others have weights, but nobody listens."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    with torch.no_grad():
        module[0].weight[8:] *= 0.02
        module[2].weight[:, 8:] *= 0.02
    x = np.random.default_rng(0).normal(size=(256, 6)).astype(np.float32)
    rows = Rows(x, module(torch.from_numpy(x)).argmax(1).numpy())
    return module, Lesson(rows, rows, module, cross_entropy)


@pytest.mark.parametrize("kind", ["magnitude", "taylor", "activation"])
def test_channels_that_nobody_needs_score_least(kind, taught):
    module, lesson = taught
    anatomy = anatomy_of(module, lesson.example())
    scores = scores_of(module, anatomy, lesson, kind)["0"]
    assert scores[:8].mean() > 5 * scores[8:].mean()
    assert scores[best_of(scores, 1, anatomy.groups[0])[0]] == scores.max()


def test_taylor_needs_no_labels(taught):
    module, lesson = taught
    anatomy = anatomy_of(module, lesson.example())
    scores = scores_of(module, anatomy, replace(lesson, loss=None), "taylor")["0"]
    assert set(best_of(scores, 8, anatomy.groups[0])) == set(range(8))


def test_taylor_is_the_change_of_the_loss_when_a_channel_fades(taught):
    """The oracle: the loss with one channel's output scaled by a little less than one, differentiated by hand."""
    module, lesson = taught
    lesson = replace(lesson, train=Rows(lesson.train.x[:8], lesson.train.y[:8]))
    anatomy = anatomy_of(module, lesson.example())
    x, y = torch.from_numpy(lesson.train.x), torch.from_numpy(lesson.train.y)
    scores = scores_of(module, anatomy, lesson, "taylor")["0"]
    taken = torch.relu(module[0](x))
    for channel in (0, 3, 9):
        fade = torch.ones(16, requires_grad=True)
        (slope,) = torch.autograd.grad(cross_entropy(module[2](taken * fade), y), fade)
        # What makes the channel sees its slope less the bias's part, what takes it sees the whole.
        grad = torch.autograd.grad(cross_entropy(module(x), y), module[0].bias)[0][channel]
        made = slope[channel] - grad * module[0].bias[channel].detach()
        expected = float((slope[channel].abs() + made.abs()) / 2) ** 2
        assert scores[channel] == pytest.approx(expected, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_group_of_every_module_has_finite_scores(kind, case):
    generator = np.random.default_rng(0)
    if len(case.example) > 1:
        x = np.zeros(64, dtype=[("a", "i8"), ("b", "i8")])
        x["a"], x["b"] = generator.integers(0, 20, (2, 64))
    elif case.example[0].dtype == torch.int64:
        x = generator.integers(0, 20, (64, *case.example[0].shape[1:]))
    else:
        x = generator.normal(size=(64, *case.example[0].shape[1:])).astype(np.float32)
    rows = Rows(x, generator.integers(0, 3, 64))
    lesson = Lesson(rows, rows, case.module, lambda out, _: out.sigmoid().square().mean())
    anatomy = anatomy_of(case.module, case.example)
    scores = scores_of(case.module, anatomy, lesson, kind)
    again = scores_of(case.module, anatomy, lesson, kind)
    for group in anatomy.groups:
        assert scores[group.name].shape == (group.size,)
        assert np.isfinite(scores[group.name]).all()
        # The forward half of the last layer is read at every step but in "ends", where nobody needs it.
        assert (scores[group.name] > 0).any() or (kind == "taylor" and group.name == "net.l1")
        np.testing.assert_array_equal(scores[group.name], again[group.name])
    assert all(each.grad is None for each in case.module.parameters())
