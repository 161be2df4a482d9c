"""How a changed module learns again."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.task import Rows
from steelyard.training.course import Course, Watch, learn
from steelyard.training.lesson import Lesson


def rows(count: int = 65) -> Rows:
    x = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


@pytest.mark.parametrize("distill", [0.0, 0.5, 1.0])
def test_the_pupil_comes_nearer_to_what_it_is_told(distill: float) -> None:
    teacher, pupil = net(1), net(2)
    learn(teacher, Lesson(rows(), rows(), teacher, cross_entropy), Course(epochs=30, rate=1e-2, batch=16, distill=0))
    before = _agreement(pupil, teacher)
    learn(
        pupil, Lesson(rows(), rows(), teacher, cross_entropy), Course(epochs=30, rate=1e-2, batch=16, distill=distill)
    )
    assert _agreement(pupil, teacher) > max(0.9, before)


def test_without_labels_the_teacher_alone_teaches() -> None:
    teacher, pupil = net(1), net(2)
    learn(pupil, Lesson(rows(), rows(), teacher), Course(epochs=60, rate=1e-2, batch=16, distill=0.0))
    assert _agreement(pupil, teacher) > 0.9


def test_the_same_seed_teaches_the_same() -> None:
    found = []
    for _ in range(2):
        pupil = net()
        learn(pupil, Lesson(rows(), rows(), net(1), cross_entropy, seed=3), Course(epochs=2, batch=16))
        found.append(pupil[0].weight)
    assert torch.equal(*found)


def test_a_part_of_an_epoch_is_so_many_steps() -> None:
    lesson = Lesson(rows(160), rows(), net(1), cross_entropy)
    assert learn(net(), lesson, Course(epochs=0.5, batch=16)) == 5
    assert learn(net(), lesson, Course(epochs=0, batch=16)) == 0


def test_a_limit_of_time_ends_the_course() -> None:
    lesson = Lesson(rows(), rows(), net(1), cross_entropy, limit_s=0.2)
    assert 0 < learn(net(), lesson, Course(epochs=1e6, batch=16)) < 1e6


def test_a_loss_that_is_no_number_is_told() -> None:
    lesson = Lesson(rows(), rows(), net(1), loss=lambda out, _: out.sum() * torch.nan)
    with pytest.raises(SteelyardError, match=r"the loss became nan at step 0; lower 'rate'"):
        learn(net(), lesson, Course(distill=0.0))


def test_a_watch_sees_the_share_that_is_done() -> None:
    seen: list[float] = []
    learn(net(), Lesson(rows(64), rows(), net(1), cross_entropy), Course(epochs=1, batch=16), Watch(before=seen.append))
    assert seen == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": -1}, "'epochs' must be at least 0, got -1."),
        ({"batch": 0}, "'batch' must be at least 1, got 0."),
        ({"distill": 1.5}, "'distill' must be from 0 to 1, got 1.5."),
        ({"temperature": 0.0}, "'temperature' must be above 0, got 0.0."),
    ],
)
def test_settings_that_no_course_can_have_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError) as refused:
        Course(**settings)
    assert refused.value.message == message


def _agreement(one: nn.Module, other: nn.Module) -> float:
    x = torch.from_numpy(rows(500).x)
    with torch.no_grad():
        return float((one(x).argmax(1) == other(x).argmax(1)).float().mean())
