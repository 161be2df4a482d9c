"""What a file takes, as its runtime tells it, and what becomes of files and runtimes that can't."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from steelyard.builtin import registry
from steelyard.core.errors import InputError, MissingExtraError
from steelyard.core.port import Port
from steelyard.core.registry import Registry
from steelyard.engine.ports import signature_of_file

SAMPLE = Path(__file__).parents[1] / "runtimes" / "samples" / "cnn.tflite"


def asked(runtime, path, **options):
    return signature_of_file(registry, runtime, path, trust=options.get("trust", False), key=path.name)


def exported(runtime, path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    registry.get("exporter", runtime).export(module, np.zeros((2, 6), np.float32), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("runtime", "suffix"), [("openvino", ".xml"), ("executorch", ".pte"), ("torch", ".pt2")])
def test_a_file_with_a_free_batch_says_so(tmp_path, runtime, suffix) -> None:
    found = asked(runtime, exported(runtime, tmp_path / f"net{suffix}"), trust=runtime == "torch")
    (first,), (last,) = found.inputs, found.outputs
    assert (first.type, first.shape) == ("float32", (None, 6))
    assert (last.type, last.shape) == ("float32", (None, 3))


def test_a_file_for_one_row_says_so() -> None:
    (first,) = asked("litert", SAMPLE).inputs
    assert (first.type, first.shape[0]) == ("float32", 1)


def test_a_runtime_that_can_not_tell_gives_nothing(tmp_path) -> None:
    assert asked("onnxruntime", tmp_path / "net.onnx") is None


@pytest.mark.parametrize(("runtime", "suffix"), [("openvino", ".xml"), ("litert", ".tflite")])
def test_a_file_that_is_none_is_one_sentence(tmp_path, runtime, suffix) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"this is no model " * 9)
    with pytest.raises(InputError, match=f"can't load {path.name}: it is no "):
        asked(runtime, path)


@pytest.mark.slow
def test_a_program_is_not_opened_to_tell_unless_it_is_trusted(tmp_path) -> None:
    with pytest.raises(InputError, match="can run code when it is opened"):
        asked("torch", exported("torch", tmp_path / "net.pt2"))


def described_by(tmp_path, monkeypatch, body) -> Registry:
    (tmp_path / "odd_ports.py").write_text(f"import os\ndef ports(path, **options):\n    {body}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(filter(None, sys.path))}")
    monkeypatch.syspath_prepend(str(tmp_path))
    odd = replace(registry.get("runtime", "litert"), name="odd", suffix=".odd", describer="odd_ports:ports")
    return registry.with_entry("runtime", "odd", odd)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("os.abort()", "model 'net' could not be measured: its process was killed by signal 6."),
        ("return 3", "the describer of the runtime 'odd' must return inputs and outputs, each of name, type and shape"),
        (
            "return {'inputs': [{'name': 'x', 'type': 'int8', 'shape': [1]}] * 2, 'outputs': []}",
            r"net has two inputs of one name \(x, x\); name them apart.",
        ),
    ],
)
def test_a_describer_that_fails_is_one_sentence(tmp_path, monkeypatch, body, sentence) -> None:
    odd = described_by(tmp_path, monkeypatch, body)
    with pytest.raises(InputError, match=f"^{sentence}"):
        signature_of_file(odd, "odd", tmp_path, trust=False, key="net")


def test_a_library_that_is_missing_is_said_with_what_installs_it(tmp_path, monkeypatch) -> None:
    body = "from steelyard.runtimes.loading import library; library('no_such', runtime='odd', package='no-such')"
    odd = described_by(tmp_path, monkeypatch, body)
    with pytest.raises(MissingExtraError, match="needs no-such; install it with: pip install"):
        signature_of_file(odd, "odd", tmp_path, trust=False, key="net")


def test_ports_are_said_as_people_read_them() -> None:
    assert str(Port("x", "float32", (None, 6))) == "x float32 (?, 6)"
