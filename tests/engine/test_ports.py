"""What files of every runtime take, asked of the runtime itself in a process of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.core.port import Port
from steelyard.engine.ports import signature_of_file

SAMPLES = Path(__file__).resolve().parents[1] / "runtimes" / "samples"


def file_for(runtime: str, folder: Path) -> Path:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    path = folder / f"net{registry.get('runtime', runtime).suffix}"
    registry.get("exporter", runtime).export(module, np.zeros((2, 6), np.float32), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runtime", "port"),
    [
        ("openvino", Port("x", "float32", (None, 6))),
        ("executorch", Port("x", "float32", (8, 6))),
        ("torch", Port("input", "float32", (None, 6))),
    ],
)
def test_a_file_says_what_it_takes(runtime, port, tmp_path) -> None:
    found = signature_of_file(registry.get("runtime", runtime), file_for(runtime, tmp_path), trust=True)
    assert found.inputs == (port,)
    assert found.outputs[0].shape[-1] == 3


@pytest.mark.slow
def test_a_stored_litert_file_says_what_it_takes() -> None:
    path = next(SAMPLES.glob("*.tflite"))
    found = signature_of_file(registry.get("runtime", "litert"), path, trust=False)
    assert found.inputs[0].type == "float32"
    assert found.inputs[0].shape[0] == 1


def test_onnx_files_are_read_without_their_runtime(tmp_path) -> None:
    assert signature_of_file(registry.get("runtime", "onnxruntime"), tmp_path / "none.onnx", trust=False) is None


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "suffix"), [("openvino", ".xml"), ("litert", ".tflite"), ("executorch", ".pte")])
def test_garbage_is_one_sentence(runtime, suffix, tmp_path) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"this is no model\n" * 50)
    with pytest.raises(InputError, match=rf"^net\{suffix} can't be opened: .*\.$"):
        signature_of_file(registry.get("runtime", runtime), path, trust=False)


@pytest.mark.slow
def test_an_untrusted_archive_is_not_opened(tmp_path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"net\.pt2 can run code when it is opened"):
        signature_of_file(registry.get("runtime", "torch"), path, trust=False)
