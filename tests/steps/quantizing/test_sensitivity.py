"""Sensitivity, mixed precision, bias correction and equalisation, judged by outputs on ONNX Runtime."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from steelyard.core.errors import SteelyardError
from steelyard.graph.audit import NotQuantizedError
from steelyard.graph.equalising import equalise
from steelyard.graph.weighted import initializers, values_of
from steelyard.steps.quantize import Quantize
from steelyard.steps.quantizing.preparing import prepared
from steelyard.steps.quantizing.sensitivity import measure_file, relative_error
from steelyard.steps.quantizing.weights import rounded_rows, rounded_values

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.standard_normal((512, 24)).astype(np.float32)
PICTURES = RANDOM.standard_normal((64, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def perceptron(write, zoo):
    """A perceptron whose second layer has weights that 8 bits a tensor can't hold: a few are 200 times the others."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 6))
    with torch.no_grad():
        module[2].weight[:, 0] *= 200
        module[0].weight[0] /= 200
        module[0].bias[0] /= 200
    return write(module, torch.from_numpy(TABLE[:2]))


def error(zoo, source, target, feed):
    return zoo.off_by(zoo.run(source, feed), zoo.run(target, feed))


def test_the_operator_that_rounds_worst_is_the_most_sensitive(perceptron):
    found = measure_file(perceptron, iter([TABLE[:128]]), per_channel=False)
    assert found[0].name == "/2/Gemm"
    assert found[0].output_error > 5 * found[1].output_error
    assert [each.macs for each in sorted(found, key=lambda each: each.name)] == [24 * 48, 48 * 48, 48 * 6]


def test_the_weight_error_is_that_of_the_rounded_weights(perceptron):
    found = {each.name: each.weight_error for each in measure_file(perceptron, iter([TABLE[:64]]))}
    weight = {each.name: values_of(each) for each in onnx.load(perceptron).graph.initializer}["0.weight"]
    scale = np.abs(weight).max(1, keepdims=True) / 127
    wrong = np.round(weight / scale) * scale - weight
    assert found["/0/Gemm"] == pytest.approx(np.sqrt((wrong**2).sum() / (weight**2).sum()), rel=1e-3)


def test_sensitivity_alone_is_the_error_of_a_file_that_quantizes_that_operator_alone(perceptron, zoo, tmp_path):
    found = {each.name: each.output_error for each in measure_file(perceptron, iter([TABLE[:64]]))}
    model = prepared(perceptron)
    for tensor in model.graph.initializer:
        if tensor.name == "4.weight":
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(
                    rounded_values(values_of(tensor), 0, bits=8, per_channel=True), tensor.name
                )
            )
    weights_only = zoo.off_by(zoo.run(perceptron, {"x": TABLE[:64]}), zoo.run(model, {"x": TABLE[:64]}))
    # Its input is rounded as well, which adds about as much.
    assert weights_only < found["/4/Gemm"] < 4 * weights_only


def test_the_most_sensitive_operators_stay_in_float(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    report = Quantize(keep_float=1).apply(source, tmp_path / "kept.onnx", iter([PICTURES[:32]]))
    assert [each["why"] for each in report["left_float"]] == ["quantizing it costs the most"]
    assert report["left_float"][0]["name"] == report["sensitivity"][0]["name"]
    Quantize().apply(source, tmp_path / "all.onnx", iter([PICTURES[:32]]))
    feed = {"x": PICTURES[32:]}
    kept, every = (error(zoo, source, tmp_path / name, feed) for name in ("kept.onnx", "all.onnx"))
    assert kept < every


def test_an_operator_that_holds_most_weights_is_not_left_in_float_under_the_name_of_quantized(perceptron, tmp_path):
    with pytest.raises(
        NotQuantizedError, match=r"would leave 62% of the weights in float \(Gemm '/2/Gemm': it is excl"
    ):
        Quantize(exclude="/2/Gemm").apply(perceptron, tmp_path / "q.onnx", iter([TABLE[:128]]))


def test_a_bound_on_the_error_is_kept_with_as_few_operators_in_float_as_it_takes(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    Quantize(chains=True).apply(source, tmp_path / "all.onnx", iter([PICTURES]))
    whole = error(zoo, source, tmp_path / "all.onnx", {"x": PICTURES})
    loose = Quantize(chains=True, max_error=2 * whole).apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    assert loose["left_float"] == []
    tight = Quantize(chains=True, max_error=0.7 * whole).apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    assert 0 < len(tight["left_float"]) < 4
    assert tight["output_error"] <= 0.7 * whole
    assert error(zoo, source, tmp_path / "q.onnx", {"x": PICTURES}) == pytest.approx(tight["output_error"], rel=1e-3)


def test_a_bound_that_no_quantization_keeps_is_refused(perceptron, tmp_path):
    with pytest.raises(SteelyardError, match=r"'max_error' must be at least .* for this model .*, got 1e-09; raise it"):
        Quantize(max_error=1e-9).apply(perceptron, tmp_path / "q.onnx", iter([TABLE[:128]]))


def test_equalising_changes_no_output_and_helps_one_scale_a_tensor(perceptron, zoo, tmp_path):
    model = prepared(perceptron)
    balanced, pairs = equalise(model)
    assert pairs == 2
    assert error(zoo, perceptron, balanced, {"x": TABLE}) < 1e-5
    errors = []
    for equalize in (False, True):
        step = Quantize(per_channel=False, equalize=equalize)
        step.apply(perceptron, tmp_path / "q.onnx", iter([TABLE[:256]]))
        errors.append(error(zoo, perceptron, tmp_path / "q.onnx", {"x": TABLE[256:]}))
    assert errors[1] < 0.7 * errors[0]


def test_equalising_goes_through_convolutions_with_shared_biases(write, zoo):
    model = prepared(write(zoo.Residual(), torch.from_numpy(PICTURES[:2])))
    balanced, pairs = equalise(model)
    assert pairs == 1
    assert error(zoo, model, balanced, {"x": PICTURES}) < 1e-5
    weights = initializers(balanced.graph)
    first, second = (values_of(weights[name]) for name in ("first.weight", "second.weight"))
    given, taken = np.abs(first).max((1, 2, 3)), np.abs(second).max((0, 2, 3))
    np.testing.assert_allclose(given, taken, rtol=1e-4)


@pytest.mark.parametrize("settings", [{"mode": "weights", "bits": 4, "packed": False}, {"chains": True}], ids=str)
def test_bias_correction_lowers_the_error_on_other_rows(settings, write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    errors = []
    for corrects in (False, True):
        step = Quantize(**settings, bias_correction=corrects)
        report = step.apply(source, tmp_path / "q.onnx", iter([PICTURES[:32]]))
        errors.append(error(zoo, source, tmp_path / "q.onnx", {"x": PICTURES[32:]}))
    assert report["bias_correction"]["operators"] == 4
    assert report["bias_correction"]["error_after"] < report["bias_correction"]["error_before"]
    assert errors[1] < errors[0]


def test_relative_error_is_by_hand():
    one = [[np.array([3.0, 4.0], np.float32)], [np.array([0.0], np.float32)]]
    other = [[np.array([3.0, 3.0], np.float32)], [np.array([2.0], np.float32)]]
    assert relative_error(one, other) == pytest.approx(np.sqrt((1 + 4) / 25))


@pytest.mark.parametrize("bits", [8, 4])
def test_rounding_rows_keeps_zeros_and_is_within_half_a_step(bits):
    rows = RANDOM.standard_normal((6, 32)).astype(np.float32)
    rows[:, ::3] = 0
    codes, scale = rounded_rows(rows, bits)
    assert (codes[:, ::3] == 0).all()
    assert np.abs(codes).max() <= 2 ** (bits - 1) - 1
    clipped = np.abs(rows) > (2 ** (bits - 1) - 1) * scale
    assert (np.abs(codes * scale - rows)[~clipped] <= scale.max() / 2 + 1e-6).all()
