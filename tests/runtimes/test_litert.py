"""The interpreter is in the dev extra; the converter needs an environment of its own (docs/decisions/0011)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import MissingExtraError, RuntimeFailureError
from steelyard.runtimes.litert.export import EXPORTER
from steelyard.runtimes.litert.run import RUNTIME
from steelyard.testing import check_runtime

SAMPLES = Path(__file__).parent / "samples"
MODEL = SAMPLES / "cnn.tflite"
"""A small CNN that litert-torch 0.10.0 wrote; `cnn.npz` holds rows and what torch gave for them."""
HAS_CONVERTER = importlib.util.find_spec("litert_torch") is not None
needs_converter = pytest.mark.skipif(
    not HAS_CONVERTER, reason="litert-torch is not installed: it can't live with the pins of constraints.txt"
)


@pytest.fixture(scope="module")
def stored():
    with np.load(SAMPLES / "cnn.npz") as found:
        return found["x"], found["y"]


def test_the_contract_holds_and_the_stored_file_gives_what_torch_gave(stored, parity):
    x, y = stored
    check_runtime(RUNTIME, MODEL, x)
    parity(y, RUNTIME.load(MODEL).run(x))


@pytest.mark.slow
@needs_converter
def test_a_module_is_written_as_a_file_that_gives_the_same(trained, parity, tmp_path, capfd):
    EXPORTER.export(trained.module, trained.x[:2], tmp_path / "model.tflite")
    assert capfd.readouterr().out == ""
    check_runtime(RUNTIME, tmp_path / "model.tflite", trained.x[:9])
    parity(trained.y, RUNTIME.load(tmp_path / "model.tflite").run(trained.x))


@pytest.mark.skipif(HAS_CONVERTER, reason="litert-torch is installed here")
def test_a_missing_converter_is_named_with_its_install_line(tmp_path):
    message = "the runtime 'litert' needs litert-torch; install it with: pip install 'steelyard[litert]'"
    for action in (EXPORTER.check, lambda: EXPORTER.export(None, np.ones((2, 3), np.float32), tmp_path / "m.tflite")):
        with pytest.raises(MissingExtraError) as caught:
            action()
        assert str(caught.value) == message


def test_a_missing_interpreter_is_named_with_its_install_line(monkeypatch):
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingExtraError) as caught:
        RUNTIME.load(MODEL)
    assert str(caught.value) == (
        "the runtime 'litert' needs ai-edge-litert; install it with: pip install 'steelyard[litert]'"
    )


@pytest.mark.parametrize("content", [b"this is none\n" * 9, b"\x1c\0\0\0TFL3" + b"\0" * 90, b""], ids=range(3))
def test_garbage_is_refused_in_one_sentence(content, tmp_path):
    (tmp_path / "broken.tflite").write_bytes(content)
    with pytest.raises(RuntimeFailureError, match=r"^LiteRT can't load broken.tflite: [^\n]+\.$"):
        RUNTIME.load(tmp_path / "broken.tflite")


@pytest.mark.parametrize("x", [np.ones((2, 3), np.float32), np.ones((2, 8, 8), np.int64)], ids=["shape", "type"])
def test_rows_that_do_not_fit_are_refused_in_one_sentence(x):
    with pytest.raises(RuntimeFailureError, match=r"^LiteRT failed to run the model: [^\n]+$"):
        RUNTIME.load(MODEL).run(x)


@pytest.mark.slow
def test_running_needs_no_torch(run_without):
    assert run_without("torch", "litert", MODEL) == "(2, 3)"
