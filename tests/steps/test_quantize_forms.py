"""Every form of quantization on models of every kind, as run by ONNX Runtime."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from steelyard.core.errors import DataError, InputError, SteelyardError
from steelyard.graph.audit import NotQuantizedError
from steelyard.graph.fusion import audit_graph
from steelyard.graph.reading import read_model
from steelyard.graph.stored import stored
from steelyard.runtimes.onnxruntime.trace import optimised_model
from steelyard.steps.quantize import Quantize
from steelyard.testing import check_step

RANDOM = np.random.default_rng(0)
SERIES = RANDOM.standard_normal((64, 20, 12)).astype(np.float32)
PICTURES = RANDOM.standard_normal((64, 3, 12, 12)).astype(np.float32)
TOKENS = RANDOM.integers(0, 200, (64, 16))


def operators(path):
    return {node.op_type for node in optimised_model(str(path)).graph.node}


@pytest.mark.parametrize("name", ["odd/name:0", "x", "pixels"])
def test_the_input_may_have_any_name(name, write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]), names=(name,))
    report = Quantize().apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    assert report["operators"] == 4
    wanted = zoo.run(source, {name: PICTURES})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {name: PICTURES})) < 0.03


@pytest.mark.parametrize("mode", ["static", "dynamic", "weights"])
def test_several_inputs_of_several_types_are_taken(mode, write, zoo, tmp_path):
    feed = {"tokens": TOKENS % 50, "values": SERIES[:, 0, :8].copy()}
    source = write(zoo.TwoInputs(), *(torch.from_numpy(each[:2]) for each in feed.values()), names=tuple(feed))
    report = Quantize(mode=mode).apply(source, tmp_path / "q.onnx", iter([feed]))
    assert report["left_float"] == []
    assert stored(read_model(tmp_path / "q.onnx")).float_share == 0
    assert zoo.off_by(zoo.run(source, feed), zoo.run(tmp_path / "q.onnx", feed)) < 0.03


def test_a_fixed_batch_is_kept(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:3]), fixed=True)
    Quantize().apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    wanted = zoo.run(source, {"x": PICTURES[:3]})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {"x": PICTURES[:3]})) < 0.03


@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both"])
@pytest.mark.parametrize("mode", ["static", "dynamic"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_an_lstm_runs_in_the_runtimes_integer_kernel(both, mode, per_channel, write, zoo, tmp_path):  # noqa: PLR0917
    source = write(zoo.Recurrent(both=both), torch.from_numpy(SERIES[:2]))
    report = Quantize(mode=mode, per_channel=per_channel).apply(source, tmp_path / "q.onnx", iter([SERIES]))
    assert report["left_float"] == []
    assert "DynamicQuantizeLSTM" in operators(tmp_path / "q.onnx")
    assert "LSTM" not in operators(tmp_path / "q.onnx")
    assert zoo.off_by(zoo.run(source, {"x": SERIES}), zoo.run(tmp_path / "q.onnx", {"x": SERIES})) < 0.05


@pytest.mark.slow
def test_an_lstm_of_torchs_newer_exporter_is_folded_and_quantized(zoo, tmp_path):
    source = tmp_path / "dynamo.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(zoo.Recurrent().eval(), (torch.from_numpy(SERIES[:2]),), dynamo=True, verbose=False)
    program.save(str(source))
    name = onnx.load(source).graph.input[0].name
    Quantize(mode="dynamic").apply(source, tmp_path / "q.onnx", iter([SERIES]))
    assert "DynamicQuantizeLSTM" in operators(tmp_path / "q.onnx")
    wanted = zoo.run(source, {name: SERIES[:2]})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {name: SERIES[:2]})) < 0.05


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_gru_has_no_integer_kernel_and_is_refused_by_name(mode, write, zoo, tmp_path):
    source = write(zoo.Recurrent(nn.GRU), torch.from_numpy(SERIES[:2]))
    with pytest.raises(NotQuantizedError) as caught:
        Quantize(mode=mode).apply(source, tmp_path / "q.onnx", iter([SERIES]))
    assert caught.value.message == (
        f"quantize with mode '{mode}' would leave 94% of the weights in float (GRU '/body/GRU': ONNX Runtime has no "
        "integer kernel for it); use another mode, such as 'weights'."
    )
    assert not (tmp_path / "q.onnx").exists()


FORMS = [
    (bits, packed, kind)
    for bits in (8, 4)
    for packed in (True, False)
    for kind in ("pictures", "lstm", "gru", "tokens")
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_small_weights_fit_every_model(form, write, zoo, tmp_path):
    bits, packed, kind = form
    model, x = {
        "pictures": (zoo.Residual(), PICTURES),
        "lstm": (zoo.Recurrent(both=True), SERIES),
        "gru": (zoo.Recurrent(nn.GRU), SERIES),
        "tokens": (zoo.Attending(), TOKENS),
    }[kind]
    source = write(model, torch.from_numpy(x[:2]))
    report = Quantize(mode="weights", bits=bits, packed=packed).apply(source, tmp_path / "q.onnx", iter([]))
    assert report["left_float"] == []
    found = stored(read_model(tmp_path / "q.onnx"))
    assert found.float_share == 0
    # The last block of a row is filled up.
    assert found.mean_bits <= 1.2 * bits
    wanted = zoo.run(source, {"x": x})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {"x": x})) < (0.01 if bits == 8 else 0.15)


def test_unpacked_weights_cost_no_operator_at_run_time(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    Quantize(mode="weights", bits=4, packed=False).apply(source, tmp_path / "q.onnx", iter([]))
    before, after = (len(optimised_model(str(path)).graph.node) for path in (source, tmp_path / "q.onnx"))
    assert after == before


def test_packed_products_are_the_runtimes(write, zoo, tmp_path):
    source = write(zoo.Attending(), torch.from_numpy(TOKENS[:2]))
    Quantize(mode="weights", bits=4).apply(source, tmp_path / "q.onnx", iter([]))
    found = stored(read_model(tmp_path / "q.onnx"))
    assert found.operators["com.microsoft.MatMulNBits"] == 3
    assert {each.bits for each in found.weights} == {4.0}


def test_chains_leave_no_conversion_inside_a_residual_net(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    conversions = []
    for chains in (False, True):
        Quantize(chains=chains).apply(source, tmp_path / "q.onnx", iter([PICTURES]))
        audit = audit_graph(read_model(tmp_path / "q.onnx"), optimised_model(str(tmp_path / "q.onnx")))
        assert audit.integers == 4
        conversions.append(len(audit.conversions))
    assert conversions[1] < conversions[0]
    wanted = zoo.run(source, {"x": PICTURES})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {"x": PICTURES})) < 0.03


@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile", "mse"])
def test_every_calibration_gives_a_usable_model(calibration, write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    Quantize(calibration=calibration, chains=True).apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    wanted = zoo.run(source, {"x": PICTURES})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {"x": PICTURES})) < 0.1


def test_excluded_operators_stay_in_float_and_are_named(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    report = Quantize(exclude="/stem/Conv, /last/Gemm").apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    assert [(each["name"], each["why"]) for each in report["left_float"]] == [
        ("/stem/Conv", "it is excluded"),
        ("/last/Gemm", "it is excluded"),
    ]
    assert report["operators"] == 2
    floats = {each.node for each in stored(read_model(tmp_path / "q.onnx")).weights if each.is_float}
    assert floats == {"/stem/Conv", "/last/Gemm"}


def test_an_excluded_name_must_be_an_operator(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    with pytest.raises(InputError, match=r"operator '/stem/Con' is not known; did you mean '/stem/Conv'\?"):
        Quantize(exclude="/stem/Con").apply(source, tmp_path / "q.onnx", iter([PICTURES]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        Quantize(chains=True, keep_float=1),
        Quantize(mode="dynamic"),
        Quantize(mode="weights", bits=4),
        Quantize(bias_correction=True, equalize=True, calibration="mse"),
    ],
    ids=["keep_float", "dynamic", "weights", "repaired"],
)
def test_the_contract_holds_for_every_form(step, write, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    rows = SERIES[:, :2].reshape(64, 24)
    check_step(step, write(model, torch.from_numpy(rows[:2])), rows)


def test_a_quantized_model_is_refused(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    Quantize().apply(source, tmp_path / "q.onnx", iter([PICTURES]))
    with pytest.raises(InputError, match=r"the model is quantized already: it has \w+ '.*'; give the float model"):
        Quantize().apply(tmp_path / "q.onnx", tmp_path / "qq.onnx", iter([PICTURES]))
    for bits, packed in ((8, False), (4, False), (4, True)):
        Quantize(mode="weights", bits=bits, packed=packed).apply(source, tmp_path / "w.onnx", iter([]))
        with pytest.raises(InputError, match="the model is quantized already"):
            Quantize().apply(tmp_path / "w.onnx", tmp_path / "qq.onnx", iter([PICTURES]))


def test_too_few_or_constant_rows_are_refused(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    with pytest.raises(DataError) as few:
        Quantize().apply(source, tmp_path / "q.onnx", iter([PICTURES[:7]]))
    assert few.value.message == "calibration needs at least 8 rows, got 7; give it more rows."
    with pytest.raises(DataError) as same:
        Quantize().apply(source, tmp_path / "q.onnx", iter([np.repeat(PICTURES[:1], 9, 0)] * 2))
    assert same.value.message == ("calibration needs rows that differ, got 18 equal rows; give it real inputs.")


def test_rows_without_an_input_of_the_model_are_refused(write, zoo, tmp_path):
    feed = {"tokens": TOKENS % 50, "values": SERIES[:, 0, :8].copy()}
    source = write(zoo.TwoInputs(), *(torch.from_numpy(each[:2]) for each in feed.values()), names=tuple(feed))
    with pytest.raises(InputError, match="rows lack the model's input 'values', got 'tokens'"):
        Quantize().apply(source, tmp_path / "q.onnx", iter([{"tokens": feed["tokens"]}]))
    with pytest.raises(InputError, match=r"must be arrays by name \('tokens', 'values'\), got one array"):
        Quantize().apply(source, tmp_path / "q.onnx", iter([feed["values"]]))


def test_weights_of_another_width_than_float32_are_refused(write, zoo, tmp_path):
    model = onnx.load(write(zoo.Residual(), torch.from_numpy(PICTURES[:2])))
    weight = next(each for each in model.graph.initializer if each.name == "last.weight")
    half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight).astype(np.float16), "half")
    model.graph.initializer.append(half)
    last = next(node for node in model.graph.node if node.op_type == "Gemm")
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["half"], ["wide"], to=onnx.TensorProto.FLOAT))
    last.input[1] = "wide"
    onnx.save(model, tmp_path / "half.onnx")
    Quantize().apply(tmp_path / "half.onnx", tmp_path / "q.onnx", iter([PICTURES]))
    last.input[1] = "half"
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(InputError) as caught:
        Quantize().apply(tmp_path / "half.onnx", tmp_path / "q.onnx", iter([PICTURES]))
    assert caught.value.message == (
        "quantize takes weights in float32, got float16 in 'half' of Gemm '/last/Gemm'; export the model in float32."
    )


def test_batches_of_sequences_may_differ_in_length(write, zoo, tmp_path):
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.wide, self.last = nn.Linear(12, 16), nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.relu(self.wide(x)).mean(1))

    source = write(Pooled(), torch.from_numpy(SERIES[:2]))
    model = onnx.load(source)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "steps"
    onnx.save(model, source)
    report = Quantize(max_error=0.1).apply(source, tmp_path / "q.onnx", iter([SERIES[:20], SERIES[:20, :9]]))
    assert report["calibration_rows"] == 40
    assert report["output_error"] < 0.05


def test_custom_operators_are_refused_by_their_domain(tmp_path):
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Twist", ["x"], ["y"], domain="acme.ops")
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph([node], "g", [make("x", floats, ["n", 4])], [make("y", floats, ["n", 4])])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("acme.ops", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(SteelyardError) as caught:
        Quantize().apply(tmp_path / "m.onnx", tmp_path / "q.onnx", iter([SERIES]))
    assert caught.value.message == (
        "the model's operator 'Twist' is of the custom domain 'acme.ops', which this step does not know; replace it by "
        "ONNX's own operators."
    )


def test_weights_inside_a_branch_are_refused_by_the_name_of_their_operator(tmp_path):
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    stored_ = [onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32) * k, f"w{k}") for k in (1, 2)]
    branches = [
        helper.make_graph(
            [helper.make_node("MatMul", ["x", f"w{k}"], [f"y{k}"], name=f"product{k}")],
            f"branch{k}",
            [],
            [helper.make_tensor_value_info(f"y{k}", floats, ["n", 4])],
            [stored_[k - 1]],
        )
        for k in (1, 2)
    ]
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", floats, ["n", 4])],
        [helper.make_tensor_value_info("y", floats, ["n", 4])],
        [onnx.numpy_helper.from_array(np.float32(0), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError) as caught:
        Quantize().apply(tmp_path / "m.onnx", tmp_path / "q.onnx", iter([SERIES[:, 0, :4]]))
    assert caught.value.message == (
        "quantize can't reach the weights of MatMul 'product2' inside a branch or loop of the model; export it without "
        "control flow."
    )


def test_weights_outside_the_file_come_inside(write, zoo, tmp_path):
    source = write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))
    (tmp_path / "apart").mkdir()
    apart = tmp_path / "apart" / "m.onnx"
    onnx.save(onnx.load(source), apart, save_as_external_data=True, location="m.data", size_threshold=0)
    Quantize().apply(apart, tmp_path / "q.onnx", iter([PICTURES]))
    wanted = zoo.run(source, {"x": PICTURES})
    assert zoo.off_by(wanted, zoo.run(tmp_path / "q.onnx", {"x": PICTURES})) < 0.03


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "half"}, "'mode' must be one of 'static', 'dynamic', 'weights', got 'half'."),
        ({"bits": 4}, "'bits' must be 8 with mode 'static', got 4; use mode 'weights'."),
        ({"rows": 0}, "'rows' must be at least 1, got 0."),
        ({"keep_float": -1}, "'keep_float' must be at least 0, got -1."),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(InputError) as caught:
        Quantize(**settings)
    assert caught.value.message == message
