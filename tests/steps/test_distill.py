import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.core.task import Rows
from steelyard.steps.distill import DISTILL, Distill
from steelyard.training.lesson import Lesson


def given(*, labels):
    x = 3 * np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        y = teacher(torch.from_numpy(x)).argmax(1).numpy()
    split = Rows(x, y)
    return Lesson(split, split, teacher, cross_entropy if labels else None)


@pytest.mark.parametrize("labels", [True, False])
def test_the_student_comes_nearer_to_its_teacher_and_the_module_given_stays(labels):
    lesson = given(labels=labels)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    before = copy.deepcopy(module.state_dict())
    student, report = Distill(epochs=20, rate=0.01).apply(module, lesson)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert report["distance_after"] < 0.5 * report["distance_before"]
    assert report["teacher"] == ("0.7 of the loss" if labels else "alone")
    assert report["stopped"] == "epochs"
    assert (report["rate"], report["epochs"]) == (0.01, 20)
    assert json.loads(json.dumps(report)) == report
    assert type(student) is type(module)


def test_it_stands_in_the_registry():
    assert registry.get("module_step", "distill") is DISTILL
    assert DISTILL.name == "distill"


def test_a_bad_setting_is_refused_when_the_step_is_made():
    with pytest.raises(InputError, match=r"^'weight' must be from 0 to 1, got -1\.$"):
        Distill(weight=-1)
