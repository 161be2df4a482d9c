"""Structured pruning of modules."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.task import Rows
from steelyard.core.wire import canonical
from steelyard.elastic.extraction import extracted
from steelyard.elastic.importance import KINDS
from steelyard.elastic.statistics import reestimate_norms
from steelyard.elastic.trying import anatomy_of
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.steps.prune import Prune
from steelyard.training.lesson import Lesson


class Recurrent(nn.Module):
    def __init__(self, kind="LSTM", layers=2, both=True):
        super().__init__()
        self.net = getattr(nn, kind)(12, 16, layers, batch_first=True, bidirectional=both)
        self.last = nn.Linear(16 * (1 + both), 3)

    def forward(self, x):
        return self.last(self.net(x)[0][:, -1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(32, 3)

    def forward(self, tokens):
        return self.last(self.layers(self.table(tokens)).mean(1))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), Block(16), Block(16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip


def rows(shape, whole=False, count=96):
    generator = np.random.default_rng(0)
    x = generator.integers(0, 20, (count, *shape)) if whole else generator.normal(size=(count, *shape))
    return Rows(x.astype(np.int64 if whole else np.float32), generator.integers(0, 3, count))


MODELS = {
    "cnn": (cnn, rows((1, 8, 8))),
    "lstm": (Recurrent, rows((7, 12))),
    "gru": (lambda: Recurrent("GRU", 1, False), rows((7, 12))),
    "encoder": (Encoder, rows((9,), whole=True)),
}


@pytest.fixture(params=list(MODELS))
def given(request):
    return built(request.param)


def built(name, labels=True):
    torch.manual_seed(0)
    make, split = MODELS[name]
    module = make().eval()
    return module, Lesson(split, split, module, cross_entropy if labels else None)


@pytest.mark.parametrize("importance", KINDS)
def test_half_the_work_is_left_and_the_report_says_so(importance, given):
    module, lesson = given
    before = copy.deepcopy(module.state_dict())
    small, report = Prune(keep=0.5, importance=importance).apply(module, lesson)
    assert report["macs_after"] <= 0.5 * report["macs_before"]
    assert report["parameters_before"] == sum(each.numel() for each in module.parameters())
    assert report["parameters_after"] == sum(each.numel() for each in small.parameters())
    assert report["parameters_after"] < report["parameters_before"]
    assert all(0 < after <= size for size, after in report["groups"].values())
    assert not report["refused"]
    canonical(report)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    # The work reported is the work of the module returned.
    assert anatomy_of(small, lesson.example()).macs({}) == pytest.approx(report["macs_after"])


def test_a_ratio_is_the_share_of_channels_that_goes(given):
    module, lesson = given
    _, report = Prune(ratio=0.5, importance="taylor").apply(module, lesson)
    assert {after / size for size, after in report["groups"].values()} == {0.5}


@pytest.mark.parametrize("name", list(MODELS))
def test_unlabelled_rows_will_do(name):
    module, lesson = built(name, labels=False)
    _, report = Prune(keep=0.6).apply(module, lesson)
    assert report["macs_after"] <= 0.6 * report["macs_before"]


def test_the_same_settings_prune_the_same(given):
    module, lesson = given
    one, other = (Prune(keep=0.5).apply(module, lesson)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", ["cnn", "lstm", "gru", pytest.param("encoder", marks=pytest.mark.slow)])
def test_what_is_left_runs_the_same_in_onnx_runtime(name, tmp_path):
    module, lesson = built(name)
    small, _ = Prune(ratio=0.5).apply(module, lesson)
    path = tmp_path / "small.onnx"
    export(small, lesson.train.x[:4], path)
    with torch.no_grad():
        expected = small.eval()(*lesson.example(32)).numpy()
    np.testing.assert_allclose(RUNTIME.load(path).run(lesson.train.x[:32]), expected, atol=1e-5)
    whole = tmp_path / "whole.onnx"
    export(module, lesson.train.x[:4], whole)
    assert path.stat().st_size < 0.7 * whole.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "encoder"])
def test_what_is_left_passes_the_newer_exporter(name, tmp_path):
    module, lesson = built(name)
    small, _ = Prune(ratio=0.5).apply(module, lesson)
    path = tmp_path / "small.onnx"
    from steelyard.runtimes.onnxruntime.export import _by_torch_export

    _by_torch_export(small.eval(), ["x"], (lesson.train.x[:4],), path)
    with torch.no_grad():
        expected = small(*lesson.example(32)).numpy()
    np.testing.assert_allclose(RUNTIME.load(path).run(lesson.train.x[:32]), expected, atol=1e-5)


def test_blocks_that_the_loss_needs_least_go_first():
    module, lesson = built("cnn", labels=False)
    with torch.no_grad():
        module[4].norm.weight.zero_()
        module[4].norm.bias.zero_()
    reestimate_norms(module, lesson)
    small, report = Prune(keep=1.0, blocks=1).apply(module, lesson)
    assert report["blocks_dropped"] == ["4"]
    assert report["macs_after"] < report["macs_before"]
    assert small(*lesson.example()).shape == (2, 3)


def test_statistics_of_norms_are_estimated_anew():
    module, lesson = built("cnn")
    small, report = Prune(ratio=0.5).apply(module, lesson)
    assert report["norms_reestimated"] == 3
    with torch.no_grad():
        made = small[0](torch.from_numpy(lesson.train.x))
    torch.testing.assert_close(small[1].running_mean, made.mean((0, 2, 3)), atol=0.02, rtol=0.05)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_only_the_channels_kept_are_kept(kind):
    """What the step returns is the extraction of the units that score best."""
    torch.manual_seed(0)
    module = Recurrent(kind, 1, False).eval()
    with torch.no_grad():
        module.last.weight[:, ::2] = 0
        module.net.weight_hh_l0[:, ::2] = 0
    split = rows((7, 12))
    lesson = Lesson(split, split, module, cross_entropy)
    small, _ = Prune(ratio=0.5).apply(module, lesson)
    anatomy = anatomy_of(module, lesson.example())
    expected = extracted(module, anatomy, {anatomy.groups[0].name: np.arange(1, 16, 2)})
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), expected.parameters(), strict=True))


ONE_OF_TWO = (
    "'keep' (share of multiply-accumulates left) or 'ratio' (share of channels removed) must be given, not both, got "
)
WRONG = {
    "neither": ({}, ONE_OF_TWO + "keep=None and ratio=None."),
    "both": ({"keep": 0.5, "ratio": 0.5}, ONE_OF_TWO + "keep=0.5 and ratio=0.5."),
    "sizes and keep": (
        {"sizes": "8-4", "keep": 0.5},
        "'sizes' must be whole numbers such as 16-32-48, without 'keep' and 'ratio', got sizes='8-4', keep=0.5 and "
        "ratio=None.",
    ),
    "no sizes": (
        {"sizes": "8,4"},
        "'sizes' must be whole numbers such as 16-32-48, without 'keep' and 'ratio', got sizes='8,4', keep=None and "
        "ratio=None.",
    ),
    "nothing kept": ({"keep": 0}, "'keep' must be above 0 and at most 1, got 0."),
    "all removed": ({"ratio": 1}, "'ratio' must be at least 0 and below 1, got 1."),
    "kind": (
        {"keep": 1, "importance": "tailor"},
        "'importance' must be one of random, magnitude, taylor, activation, got 'tailor'.",
    ),
    "scope": ({"keep": 1, "scope": "local"}, "'scope' must be global or uniform, got 'local'."),
    "rounding": ({"keep": 1, "round_to": 0}, "'round_to' must be a whole number of at least 1, got 0."),
    "blocks": ({"keep": 1, "blocks": -1}, "'blocks' must be a whole number of at least 0, got -1."),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError) as caught:
        Prune(**settings)
    assert caught.value.message == message


def test_a_module_with_nothing_to_prune_says_what_it_holds():
    split = rows((6,))
    module = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3))
    with pytest.raises(SteelyardError) as caught:
        Prune(keep=0.5).apply(module, Lesson(split, split, module, cross_entropy))
    assert caught.value.message == (
        "prune found no channels that can go: the module holds 1 LayerNorm, 1 Linear, and its last layer's outputs "
        "stay."
    )
