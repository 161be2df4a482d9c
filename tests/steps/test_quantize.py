from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from steelyard.core.candidate import Scale
from steelyard.core.errors import SteelyardError
from steelyard.families.baseline import BASELINE
from steelyard.families.cnn import CNN
from steelyard.families.linear import LINEAR
from steelyard.families.mlp import MLP
from steelyard.graph.audit import check_quantized, float_weights, stored_types
from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.steps.quantize import QUANTIZE, Quantize
from steelyard.steps.quantizing.static import static_operators
from steelyard.tasks.builtin import digits
from steelyard.tasks.metrics import METRICS
from steelyard.testing import check_step
from steelyard.testing.fakes import FakeTask
from steelyard.training.fit import Problem, fit
from steelyard.training.recipe import Recipe

FAMILIES = {"linear": LINEAR, "mlp": MLP, "cnn": CNN}
SCALES = {
    "linear": Scale.of(resolution=8),
    "mlp": Scale.of(depth=2, width=32),
    "cnn": Scale.of(depth=2, width=8, kernel=3, resolution=8),
}


@dataclass(frozen=True)
class Pair:
    source: Path
    target: Path
    report: dict


@pytest.fixture(scope="module")
def task():
    return digits()


@pytest.fixture(scope="module")
def rows(task):
    return np.ascontiguousarray(task.train.x[:96], dtype=np.float32)


@pytest.fixture(scope="module", params=[pytest.param(each, marks=pytest.mark.slow) for each in FAMILIES])
def pair(request, task, tmp_path_factory):
    """A model trained on digits and its quantized form."""
    folder = tmp_path_factory.mktemp(request.param)
    model = FAMILIES[request.param].build(SCALES[request.param], task, 0)
    recipe = Recipe(learning_rate=0.01, max_epochs=12)
    fit(model, Problem(task.train, task.valid, task.output, METRICS["accuracy"], recipe, seed=0))
    export(model, np.ascontiguousarray(task.train.x[:2], dtype=np.float32), folder / "fp32.onnx")
    report = QUANTIZE.apply(folder / "fp32.onnx", folder / "int8.onnx", task.train.batches(64))
    return Pair(folder / "fp32.onnx", folder / "int8.onnx", report)


def test_every_weight_is_stored_in_eight_bits(pair):
    model = read_model(pair.target)
    check_quantized(model)
    assert float_weights(model) == ()
    before = sum(np.prod(each.dims) for each in onnx.load(pair.source).graph.initializer if len(each.dims) >= 2)
    assert stored_types(model)["int8"].elements >= before


def test_accuracy_stays_near_that_of_the_source(pair, task):
    """Two points: 719 rows, of which int8 may turn a few."""
    x = np.ascontiguousarray(task.test.x, dtype=np.float32)
    plain, quantized = (
        METRICS["accuracy"](RUNTIME.load(path).run(x), task.test.y) for path in (pair.source, pair.target)
    )
    assert plain > 0.88
    assert quantized > plain - 0.02


def test_the_report_says_what_was_done(pair):
    assert pair.report["operators"] >= 1
    assert pair.report["weight_bits"] in (7, 8)
    assert pair.report["calibration_rows"] == 512


def test_the_contract_holds(pair, rows):
    check_step(QUANTIZE, pair.source, rows)


def test_weights_are_spread_over_the_bits_that_are_said(pair):
    """Symmetric weights a channel use the whole range: 127, or 63 where the processor would saturate."""
    stored = [
        onnx.numpy_helper.to_array(each)
        for each in onnx.load(pair.target).graph.initializer
        if each.data_type == onnx.TensorProto.INT8
    ]
    largest = max(int(np.abs(each.astype(np.int64)).max()) for each in stored if each.ndim >= 2)
    assert largest in ((64, 63) if pair.report["weight_bits"] == 7 else (127, 128))


def test_a_model_without_weights_is_refused_in_one_sentence(task, tmp_path, rows):
    export(BASELINE.build(Scale(), task, 0), rows[:2], tmp_path / "model.onnx")
    with pytest.raises(SteelyardError) as caught:
        QUANTIZE.apply(tmp_path / "model.onnx", tmp_path / "int8.onnx", iter([rows]))
    assert str(caught.value) == "quantize found no convolution or matrix product with weights to quantize."
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("make", [FakeTask.table, FakeTask.values], ids=["classes with missing values", "values"])
def test_tables_are_quantized_too(make, tmp_path):
    task = make()
    x = np.ascontiguousarray(task.train.x, dtype=np.float32)
    export(MLP.build(Scale.of(depth=1, width=16), task, 0), x[:2], tmp_path / "model.onnx")
    check_step(QUANTIZE, tmp_path / "model.onnx", x)


@pytest.mark.parametrize("most", [8, 10, 64])
def test_no_more_rows_are_read_than_asked_for(most, task, tmp_path):
    read = []

    def batches():
        for batch in task.train.batches(16):
            read.append(len(batch))
            yield batch

    export(LINEAR.build(SCALES["linear"], task, 0), task.train.x[:2], tmp_path / "model.onnx")
    report = Quantize(rows=most).apply(tmp_path / "model.onnx", tmp_path / "int8.onnx", batches())
    assert most <= sum(read) < most + 16
    assert report["calibration_rows"] == most


def test_the_report_counts_the_rows_there_were(task, tmp_path, rows):
    export(LINEAR.build(SCALES["linear"], task, 0), rows[:2], tmp_path / "model.onnx")
    report = QUANTIZE.apply(tmp_path / "model.onnx", tmp_path / "int8.onnx", iter([rows[:50], rows[50:]]))
    assert report["calibration_rows"] == len(rows) == 96


def test_operators_that_multiply_two_inputs_have_no_weights(tmp_path):
    class Squares(nn.Module):
        def forward(self, x):
            return torch.matmul(x, x.transpose(-1, -2)).flatten(1)

    export(Squares(), np.ones((2, 4, 4), np.float32), tmp_path / "model.onnx")
    assert static_operators(onnx.load(tmp_path / "model.onnx")) == ()
