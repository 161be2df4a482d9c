import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.candidate import Scale
from steelyard.core.errors import RuntimeFailureError
from steelyard.families.cnn import CNN
from steelyard.families.mlp import MLP
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME, open_session
from steelyard.testing import check_runtime
from steelyard.testing.fakes import FakeTask
from steelyard.training.modules import module_outputs

IMAGE = FakeTask.image()
X = np.ascontiguousarray(IMAGE.valid.x[:9], dtype=np.float32)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    export(MLP.build(Scale.of(depth=2, width=16), IMAGE, 0), X[:2], path)
    return path


def sentence(action):
    with pytest.raises(RuntimeFailureError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_contract_holds(model):
    check_runtime(RUNTIME, model, X)


@pytest.mark.parametrize(
    ("family", "scale"), [(MLP, Scale.of(depth=3)), (CNN, Scale.of(resolution=4))], ids=["mlp", "cnn"]
)
def test_the_file_gives_what_the_module_gives(family, scale, tmp_path):
    module = family.build(scale, IMAGE, 0)
    assert export(module, X[:2], tmp_path / "m.onnx") == "torchscript"
    wanted = module_outputs(module, X)
    for load in (RUNTIME.load, RUNTIME.load_plain):
        np.testing.assert_allclose(load(tmp_path / "m.onnx").run(X), wanted, rtol=1e-4, atol=1e-4)


def test_exporting_leaves_training_mode_and_writes_one_file(tmp_path):
    module = CNN.build(Scale(), IMAGE, 0).train()
    export(module, X[:2], tmp_path / "m.onnx")
    assert not module.training
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def test_the_loader_of_measuring_processes_gives_the_same(model):
    run = open_session(str(model), 1)
    np.testing.assert_array_equal(run(X), RUNTIME.load(model).run(X))


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x08\x12\x00", b"\xff" * 1000], ids=range(4))
def test_garbage_is_refused_in_one_sentence(content, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    assert sentence(lambda: RUNTIME.load(path)).startswith("ONNX Runtime can't load broken.onnx: ")
    assert sentence(lambda: RUNTIME.load_plain(path)).startswith("ONNX Runtime can't load broken.onnx: ")


def test_a_missing_file_is_refused_in_one_sentence(tmp_path):
    assert sentence(lambda: RUNTIME.load(tmp_path / "gone.onnx")).startswith("ONNX Runtime can't load gone.onnx: ")


@pytest.mark.parametrize("x", [np.ones((2, 3), np.float32), np.ones((2, 8, 8), np.int64)], ids=["shape", "type"])
def test_rows_that_do_not_fit_are_refused_in_one_sentence(model, x):
    session = RUNTIME.load(model)
    assert sentence(lambda: session.run(x)).startswith("ONNX Runtime failed to run the model: ")


@pytest.mark.slow
def test_a_module_that_can_not_be_exported_is_refused_in_one_sentence(tmp_path):
    class Stubborn(nn.Module):
        def forward(self, x):
            raise RuntimeError("not today\nnor tomorrow")

    text = sentence(lambda: export(Stubborn(), X[:2], tmp_path / "m.onnx"))
    assert text.startswith("torch can't export the module to ONNX: ")


@pytest.mark.slow
def test_what_can_not_be_traced_goes_the_newer_way(tmp_path):
    """Spectral operators have no symbolic in the TorchScript exporter."""

    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.view_as_real(torch.fft.rfft(x)).flatten(1)

    module, x = Spectrum(), np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    assert export(module, x[:2], tmp_path / "m.onnx") == "torch.export"
    np.testing.assert_allclose(RUNTIME.load(tmp_path / "m.onnx").run(x), module_outputs(module, x), atol=1e-4)
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.slow
def test_running_needs_no_torch(model):
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from steelyard.runtimes.onnxruntime.run import RUNTIME\n"
        f"print(RUNTIME.load(Path({str(model)!r})).run(np.ones((2, 8, 8), np.float32)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 3)\n"
