import copy
import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.core.task import Rows
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.steps.distill import DISTILL, Distill
from steelyard.steps.quantize import QUANTIZE
from steelyard.steps.quantizing.processor import has_vnni
from steelyard.tasks.builtin import digits
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


def error(outputs, targets):
    return float(np.mean(outputs.argmax(-1) != targets))


class Net(nn.Module):
    """Two convolutions on digits, of which the first has a few channels a hundred times larger than the others."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.second, self.head = nn.Conv2d(8, 8, 3, stride=2), nn.Linear(72, 10)

    def forward(self, x):
        return self.head(self.second(self.norm(self.first(x.unsqueeze(1) / 16)).relu()).relu().flatten(1))

    def make_hostile(self, factor):
        """Stretch the range of two channels; the next layer undoes it, so outputs stay as they were."""
        with torch.no_grad():
            self.norm.weight[:2] *= factor
            self.norm.bias[:2] *= factor
            self.second.weight[:, :2] /= factor


def quantized(module, task, folder):
    export(module, task.train.x[:2].astype(np.float32), folder / "plain.onnx")
    QUANTIZE.apply(folder / "plain.onnx", folder / "int8.onnx", task.train.batches(64))
    x = task.test.x.astype(np.float32)
    return [float(np.mean(RUNTIME.load(folder / f"{name}.onnx").run(x).argmax(1) == task.test.y)) for name in KINDS]


KINDS = ("plain", "int8")


@pytest.mark.slow
def test_what_a_quantizer_would_cost_is_learned_away_without_labels(tmp_path):
    task = digits()
    torch.manual_seed(0)
    net = Net()
    labelled = Lesson(task.train, task.valid, net, cross_entropy, error)
    trained, _ = Distill(weight=0, epochs=6, rate=0.005).apply(net, labelled)
    trained.make_hostile(100)
    plain, lost = quantized(trained, task, tmp_path)
    aware, report = Distill(bits=8, epochs=4, rate=0.002).apply(trained, Lesson(task.train, task.valid, trained))
    assert plain > 0.9
    assert lost < plain - 0.05
    assert quantized(aware, task, tmp_path)[1] > plain - 0.03
    assert report["bits"] == (8 if has_vnni() else 7)
    assert list(aware.state_dict()) == list(trained.state_dict())
    assert math.isfinite(report["distance_after"])
