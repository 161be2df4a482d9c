"""A small problem that steps on modules learn from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.core.task import Rows
from steelyard.training.course import Course, learn
from steelyard.training.lesson import Lesson


@pytest.fixture(scope="session")
def pupil() -> nn.Module:
    """A net of 20 inputs, 32 hidden units and 3 classes, trained on the rows of `lesson`."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    learn(module, _lesson(module), Course(epochs=20, rate=1e-2, distill=0.0, batch=32))
    return module


@pytest.fixture
def lesson(pupil: nn.Module) -> Lesson:
    """400 rows of three classes that two of the twenty inputs tell apart."""
    return _lesson(pupil)


@pytest.fixture
def accuracy(lesson: Lesson) -> Callable[[nn.Module], float]:
    """The share of validation rows that a module gets right."""

    def judge(module: nn.Module) -> float:
        with torch.no_grad():
            found = module(torch.from_numpy(lesson.valid.x)).argmax(1).numpy()
        return float((found == lesson.valid.y).mean())

    return judge


def _lesson(teacher: nn.Module) -> Lesson:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 20)).astype(np.float32)
    x[:, :2] *= 3
    y = (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)
    return Lesson(Rows(x[:400], y[:400]), Rows(x[400:], y[400:]), teacher, loss=cross_entropy)
