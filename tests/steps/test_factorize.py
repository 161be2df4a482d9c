import copy
import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from steelyard.builtin import registry
from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.task import Rows
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.steps.factorize import FACTORIZE, Factorize
from steelyard.training.lesson import Lesson


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.body = nn.Conv2d(16, 32, 3, padding=1, stride=2)
        self.depth = nn.Conv2d(32, 32, 3, groups=32)
        self.head = nn.Sequential(nn.Linear(32 * 4, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, x):
        x = self.body(self.stem(x).relu()).relu()
        return self.head(self.depth(x).relu().flatten(1))


def lesson(module, shape=(3, 8, 8), rows=64):
    x = np.random.default_rng(0).normal(size=(rows, *shape)).astype(np.float32)
    split = Rows(x, np.zeros(rows, np.int64))
    return Lesson(split, split, module)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


def test_the_smaller_module_runs_on_the_runtime_with_the_multiplications_told(net, tmp_path):
    given = lesson(net)
    small, report = Factorize(rank=0.25).apply(net, given)
    for name, module in (("whole", net), ("small", small)):
        export(module, given.train.x[:2], tmp_path / f"{name}.onnx")
    counted = [count(read_model(tmp_path / f"{name}.onnx")).macs for name in ("whole", "small")]
    assert counted[0] - counted[1] == report["macs_before"] - report["macs_after"] > 0
    with torch.no_grad():
        expected = small(torch.from_numpy(given.train.x)).numpy()
    assert np.allclose(RUNTIME.load(tmp_path / "small.onnx").run(given.train.x), expected, atol=1e-4)
    assert onnx.load(tmp_path / "small.onnx").graph.output[0].type.tensor_type.shape.dim[1].dim_value == 4


def test_each_layer_is_told_with_its_ranks_or_why_it_was_left(net):
    small, report = Factorize(rank=0.25).apply(net, lesson(net))
    assert set(report["layers"]) | set(report["left"]) == {"stem", "body", "depth", "head.0", "head.2"}
    assert report["left"]["depth"] == "its channels are in groups"
    assert report["layers"]["head.0"]["scheme"] == "svd"
    assert report["layers"]["head.0"]["ranks"] == [16]
    assert report["layers"]["head.0"]["macs_before"] == 128 * 64
    assert report["layers"]["head.0"]["macs_after"] == 16 * (128 + 64)
    assert 0 < report["layers"]["head.0"]["error"] < 1
    assert report["layers"]["body"]["scheme"] in ("channel", "tucker")
    assert json.loads(json.dumps(report)) == report
    assert [name for name, _ in small.named_children()] == [name for name, _ in net.named_children()]


def test_the_module_given_stays_as_it_was(net):
    before = copy.deepcopy(net.state_dict())
    Factorize(rank=0.25).apply(net, lesson(net))
    assert list(before) == list(net.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not net.head[0]._forward_hooks


def test_nothing_is_lost_where_the_layers_have_few_directions(net):
    with torch.no_grad():
        net.head[0].weight.copy_(torch.randn(64, 4) @ torch.randn(4, 128) / 16)
    given = lesson(net)
    small, report = Factorize(energy=1 - 1e-9, rows=0, only=("head.0",)).apply(net, given)
    x = torch.from_numpy(given.train.x)
    assert report["layers"]["head.0"]["ranks"] == [4]
    assert report["left"]["stem"] == "not asked for"
    assert torch.allclose(small(x), net(x), atol=1e-4)


def test_shared_weights_are_left():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.middle, self.head = nn.Embedding(16, 32), nn.Linear(32, 32), nn.Linear(32, 16, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x):
            return self.head(self.middle(self.embed(x)))

    x = np.random.default_rng(0).integers(0, 16, size=(20, 5))
    split = Rows(x, x)
    small, report = Factorize(rank=0.25).apply(Tied(), Lesson(split, split, Tied()))
    assert report["left"] == {"head": "shares its weights"}
    assert small.head.weight is small.embed.weight
    assert report["layers"]["middle"]["macs_before"] == 5 * 32 * 32


@pytest.mark.slow
def test_an_encoder_layer_still_runs_and_exports(tmp_path):
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True).eval()
    given = lesson(encoder, (6, 16))
    small, report = Factorize(rank=0.25).apply(encoder, given)
    assert set(report["layers"]) == {"linear1", "linear2"}
    x = torch.from_numpy(given.train.x)
    with torch.no_grad():
        plain = small(x)
    assert torch.allclose(plain, small(x), atol=1e-4)
    export(small, given.train.x[:2], tmp_path / "small.onnx")
    macs = count(read_model(tmp_path / "small.onnx")).macs
    export(encoder, given.train.x[:2], tmp_path / "whole.onnx")
    assert count(read_model(tmp_path / "whole.onnx")).macs - macs == report["macs_before"] - report["macs_after"]


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (
            nn.Sequential(nn.Flatten()),
            (3, 4),
            "factorize found no layer that would need fewer multiplications: "
            "it has no linear layer and no convolution of its own.",
        ),
        (
            nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)),
            (4, 5, 5),
            "factorize found no layer that would need fewer multiplications (0 its channels are in groups).",
        ),
        (
            nn.Sequential(nn.Linear(4, 4)),
            (4,),
            "factorize found no layer that would need fewer multiplications "
            "(0 would need 2.00 of its multiplications).",
        ),
    ],
)
def test_a_module_that_would_not_gain_is_refused_in_one_sentence(module, shape, message):
    with pytest.raises(SteelyardError) as caught:
        Factorize(energy=1.0).apply(module, lesson(module, shape))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"energy": 0}, "'energy' must be above 0 and at most 1, got 0."),
        ({"rank": 1.5}, "'rank' must be above 0 and at most 1, got 1.5."),
        ({"rows": -1}, "'rows' must be at least 0, got -1."),
        ({"multiple": 0}, "'multiple' must be at least 1, got 0."),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(settings, message):
    with pytest.raises(InputError) as caught:
        Factorize(**settings)
    assert str(caught.value) == message


def test_it_stands_in_the_registry():
    assert registry.get("module_step", "factorize") is FACTORIZE
