import copy
import math
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from steelyard.core.errors import InputError, WorkerError
from steelyard.core.task import Rows
from steelyard.tasks.builtin import digits
from steelyard.training.lesson import Lesson
from steelyard.training.recovery import Recovery, recover


def error(outputs, targets):
    return float(np.mean(outputs.argmax(-1) != targets))


class Net(nn.Module):
    """A convolution with batch norm and a linear layer, on digits as they are stored."""

    def __init__(self, width=6):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.head = nn.Linear(width * 16, 10)

    def forward(self, x):
        found = nn.functional.max_pool2d(self.norm(self.conv(x.unsqueeze(1) / 16)).relu(), 2)
        return self.head(found.flatten(1))


def damaged(net):
    """A copy whose filters are shuffled, as after a cut that went wrong."""
    broken = copy.deepcopy(net)
    with torch.no_grad():
        broken.conv.weight.copy_(net.conv.weight.flip(0))
    return broken


@pytest.fixture(scope="module")
def task():
    return digits()


@pytest.fixture(scope="module")
def teacher(task):
    torch.manual_seed(0)
    net = Net()
    given = Lesson(task.train, task.valid, net, cross_entropy, error)
    recover(net, given, Recovery(weight=0, epochs=4, rate=0.01))
    return net


def lesson(task, teacher, *, labels=True, **settings):
    return Lesson(
        task.train, task.valid, teacher, cross_entropy if labels else None, error if labels else None, **settings
    )


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0, 0.7, 1])
@pytest.mark.parametrize("labels", [True, False])
def test_what_a_module_lost_is_learned_again(task, teacher, labels, weight):
    student = damaged(teacher)
    done = recover(student, lesson(task, teacher, labels=labels), Recovery(weight=weight, epochs=6))
    x = torch.from_numpy(task.test.x.astype(np.float32))
    with torch.no_grad():
        before, after, full = (error(each(x).numpy(), task.test.y) for each in (damaged(teacher), student, teacher))
    assert full < 0.12
    assert before > 0.3
    assert after < full + 0.04
    assert done.after.is_better_than(done.before)
    assert done.curve["epoch"] == [1, 2, 3, 4, 5, 6]
    assert done.stopped == "epochs"
    assert not student.training


def test_weights_that_learning_makes_worse_are_taken_back(task, teacher):
    student = copy.deepcopy(teacher)
    done = recover(student, lesson(task, teacher, labels=False), Recovery(epochs=1, rate=1.0))
    assert done.before.loss == done.after.loss == pytest.approx(0, abs=1e-6)
    for name, value in teacher.state_dict().items():
        assert torch.equal(student.state_dict()[name], value), name


def test_the_same_seed_gives_the_same_weights(task, teacher):
    students = [damaged(teacher) for _ in range(2)]
    for student in students:
        torch.rand(int(torch.randint(5, ())))
        recover(student, lesson(task, teacher), Recovery(epochs=1, rate=1e-3))
    assert torch.equal(students[0].head.weight, students[1].head.weight)


def test_nothing_but_the_module_is_changed(task, teacher):
    torch.manual_seed(1)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    recover(damaged(teacher), lesson(task, teacher), Recovery(epochs=1, rate=1e-3))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    for name, value in teacher.state_dict().items():
        assert torch.equal(before[name], value), name


@pytest.mark.slow
def test_a_limit_of_time_is_kept_and_ends_well(task, teacher):
    student = damaged(teacher)
    begin = time.perf_counter()
    done = recover(student, lesson(task, teacher, limit_s=1.5), Recovery(patience=None))
    # No time is asserted but that of a limit, with room for a machine that does other things.
    assert time.perf_counter() - begin < 3.5
    assert done.stopped == "time limit"
    assert done.after.loss < done.before.loss


def test_a_limit_that_is_up_at_once_still_returns_the_module(task, teacher):
    student = damaged(teacher)
    done = recover(student, lesson(task, teacher, limit_s=0.0))
    assert done.stopped == "time limit"
    assert math.isfinite(done.after.loss)


@pytest.mark.slow
def test_learning_ends_where_nothing_is_gained(task, teacher):
    done = recover(copy.deepcopy(teacher), lesson(task, teacher, labels=False), Recovery(rate=1e-3, patience=2))
    assert done.stopped == "no longer improving"
    assert done.curve["epoch"][-1] == 3


def test_a_rate_that_diverges_is_cured_and_told():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    split = Rows(x, x.sum(1).astype(np.float32))
    torch.manual_seed(0)
    student = nn.Linear(4, 1)
    given = Lesson(split, split, nn.Linear(4, 1), lambda found, wanted: mse_loss(found[:, 0], wanted))
    done = recover(student, given, Recovery(weight=0, epochs=20, rate=20.0, optimizer="sgd", batch=64))
    assert done.notes
    assert done.notes[0] == "diverged at learning rate 20; now 5"
    assert done.rate == 20 / 4 ** len(done.notes)


def test_a_loss_that_is_never_finite_is_refused():
    split = Rows(np.ones((8, 2), np.float32), np.zeros(8, np.int64))
    given = Lesson(split, split, nn.Linear(2, 2), lambda found, _: found.sum() * math.nan)
    with pytest.raises(WorkerError, match=r"^recovery diverged 4 times, last at learning rate 0\.001\.$"):
        recover(nn.Linear(2, 2), given, Recovery(weight=0, rate=0.064))


def test_zeros_stay_zero(task, teacher):
    student = damaged(teacher)
    with torch.no_grad():
        student.head.weight[:, ::2] = 0
    recover(student, lesson(task, teacher), Recovery(epochs=1, rate=1e-3))
    assert not student.head.weight[:, ::2].any()
    assert student.head.weight[:, 1::2].all()


def test_a_module_without_parameters_has_nothing_to_train(task, teacher):
    done = recover(nn.Flatten(), lesson(task, nn.Flatten(), labels=False))
    assert done.stopped == "nothing to train"
    assert done.curve["epoch"] == []


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        (1, 4, "'train' must have 2 or more rows to learn from, got 1."),
        (4, 0, "'valid' must have 1 or more rows to learn from, got 0."),
    ],
)
def test_too_few_rows_are_refused_in_one_sentence(train, valid, message):
    splits = [Rows(np.ones((rows, 2), np.float32), np.zeros(rows, np.int64)) for rows in (train, valid)]
    with pytest.raises(InputError) as caught:
        recover(nn.Linear(2, 2), Lesson(*splits, nn.Linear(2, 2)))
    assert str(caught.value) == message


def test_a_module_that_gives_something_else_than_its_teacher_is_refused():
    split = Rows(np.ones((8, 2), np.float32), np.zeros(8, np.int64))
    with pytest.raises(InputError) as caught:
        recover(nn.Linear(2, 3), Lesson(split, split, nn.Linear(2, 4)))
    assert str(caught.value) == "a module must give what its teacher gives, (4,) a row, got (3,)."


def test_a_language_model_learns_from_its_teacher():
    tokens = np.random.default_rng(0).integers(0, 11, size=(40, 6))
    split = Rows(tokens, tokens)
    torch.manual_seed(0)
    teacher, student = (nn.Sequential(nn.Embedding(11, 8), nn.Linear(8, 11)) for _ in range(2))
    done = recover(student, Lesson(split, split, teacher), Recovery(epochs=30, rate=0.03))
    assert done.after.distance < 0.2 * done.before.distance


@pytest.mark.parametrize("extra", [{"augment": "shift"}, {"features": 0.3}, {"bits": 8}])
def test_extras_learn_from_the_teacher_too(task, teacher, extra):
    student = damaged(teacher)
    given = Lesson(Rows(task.train.x[:300], task.train.y[:300]), task.valid, teacher)
    done = recover(student, given, Recovery(epochs=3, rate=5e-3, **extra))
    assert done.after.distance < 0.5 * done.before.distance
    assert done.notes == []
    assert list(student.state_dict()) == list(teacher.state_dict())
    assert not student.conv._forward_hooks


def test_features_that_can_not_be_compared_are_told():
    split = Rows(np.ones((8, 2), np.float32), np.zeros(8, np.int64))
    done = recover(
        nn.BatchNorm1d(2), Lesson(split, split, nn.BatchNorm1d(2)), Recovery(features=0.5, epochs=1, rate=1e-3)
    )
    assert done.notes == ["no layer inside can be compared with the teacher's"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": 1.5}, "'weight' must be from 0 to 1, got 1.5."),
        ({"temperature": 0}, "'temperature' must be a positive finite number, got 0."),
        ({"rate": math.inf}, "'rate' must be a positive finite number, got inf."),
        ({"augment": "turn"}, "'augment' must be one of none, shift, shift-flip, got 'turn'."),
        ({"features": 1}, "'features' must be from 0 to below 1, got 1."),
        ({"bits": 9}, "'bits' must be from 2 to 8, got 9."),
        ({"epochs": 0}, "'epochs' must be at least 1, got 0."),
        ({"optimizer": "adam"}, "'optimizer' must be adamw or sgd, got 'adam'."),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(settings, message):
    with pytest.raises(InputError) as caught:
        Recovery(**settings)
    assert str(caught.value) == message
