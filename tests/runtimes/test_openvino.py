import numpy as np
import pytest

from steelyard.core.errors import InputError, MissingExtraError, RuntimeFailureError
from steelyard.runtimes.onnxruntime.export import export as export_onnx
from steelyard.runtimes.openvino.export import EXPORTER
from steelyard.runtimes.openvino.run import RUNTIME, open_session
from steelyard.testing import check_runtime


@pytest.fixture
def model(trained, tmp_path):
    EXPORTER.export(trained.module, trained.x[:2], tmp_path / "model.xml")
    return tmp_path / "model.xml"


def test_the_contract_holds_and_the_file_gives_what_the_module_gives(model, trained, parity):
    check_runtime(RUNTIME, model, trained.x[:9])
    parity(trained.y, RUNTIME.load(model).run(trained.x))


def test_a_file_is_a_pair_and_nothing_else_is_left(model):
    assert sorted(each.name for each in model.parent.iterdir()) == ["model.bin", "model.xml"]


def test_an_onnx_file_is_opened_as_it_is(trained_cnn, parity, tmp_path):
    export_onnx(trained_cnn.module, trained_cnn.x[:2], tmp_path / "model.onnx")
    parity(trained_cnn.y, RUNTIME.load(tmp_path / "model.onnx").run(trained_cnn.x))
    EXPORTER.convert(tmp_path / "model.onnx", tmp_path / "model.xml")
    np.testing.assert_array_equal(
        RUNTIME.load(tmp_path / "model.xml").run(trained_cnn.x),
        RUNTIME.load(tmp_path / "model.onnx").run(trained_cnn.x),
    )


def test_weights_keep_their_type(model, trained):
    parameters = sum(int(each.numel()) for each in trained.module.parameters())
    # Batch norms are folded, and two bytes a weight would be half.
    assert model.with_suffix(".bin").stat().st_size > 3 * parameters


def test_fixed_shapes_give_the_same_and_refuse_another_batch(model, trained, parity):
    run = open_session(str(model), 1, shape="fixed")
    parity(trained.y[:5], run(trained.x[:5]))
    with pytest.raises(RuntimeFailureError, match=r"^OpenVINO failed to run the model: [^\n]+$"):
        run(trained.x[:6])


def test_outputs_of_one_call_survive_the_next(model, trained):
    session = RUNTIME.load(model)
    first = session.run(trained.x[:3])
    kept = first.copy()
    session.run(trained.x[3:6])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("content", [b"this is none\n" * 9, b"<net", b"<?xml?><net></net>"], ids=range(3))
@pytest.mark.parametrize("suffix", [".xml", ".onnx"])
def test_garbage_is_refused_in_one_sentence(content, suffix, tmp_path, capfd):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(RuntimeFailureError, match=rf"^OpenVINO can't load broken{suffix}: [^\n]+\.$"):
        RUNTIME.load(path)
    assert len(capfd.readouterr().err) < 2_000


def test_weights_that_are_missing_or_cut_short_are_named(model):
    weights = model.with_suffix(".bin")
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(RuntimeFailureError, match=r"^OpenVINO can't load model.xml: "):
        RUNTIME.load(model)
    weights.unlink()
    message = "OpenVINO can't load model.xml: model.bin, its weights, must be beside it."
    with pytest.raises(RuntimeFailureError) as caught:
        RUNTIME.load(model)
    assert str(caught.value) == message


@pytest.mark.parametrize("x", [np.ones((2, 3), np.float32), np.ones((2, 8, 8), np.int64)], ids=["shape", "type"])
def test_rows_that_do_not_fit_are_refused_in_one_sentence(model, x):
    with pytest.raises(RuntimeFailureError, match=r"^OpenVINO failed to run the model: [^\n]+$"):
        RUNTIME.load(model).run(x)


def test_what_an_option_takes_is_said(model):
    with pytest.raises(InputError) as caught:
        RUNTIME.load(model, precision="f64")
    assert str(caught.value) == "'precision' of openvino must be one of f32, bf16, got 'f64'."


def test_a_missing_library_is_named_with_its_install_line(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    message = "the runtime 'openvino' needs openvino; install it with: pip install 'steelyard[openvino]'"
    for action in (lambda: RUNTIME.load(model), EXPORTER.check):
        with pytest.raises(MissingExtraError) as caught:
            action()
        assert str(caught.value) == message


@pytest.mark.slow
def test_running_needs_no_torch(model, run_without):
    assert run_without("torch", "openvino", model) == "(2, 10)"
