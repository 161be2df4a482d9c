"""MODEL in every form: what it is taken for, and what is refused before it is opened."""

import zipfile
from pathlib import Path

import pytest
import torch

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.engine.sources import open_source
from steelyard.runtimes.onnxruntime.export import export

MODULE = """
import torch
def net():
    return torch.nn.Linear(4, 2)
def number():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    export(torch.nn.Linear(4, 2), torch.zeros(2, 4).numpy(), tmp_path / "net.onnx")
    return tmp_path


def test_an_onnx_file_says_what_it_takes(folder) -> None:
    found = open_source("net.onnx", registry)
    assert (found.runtime, found.path, found.module) == ("onnxruntime", Path("net.onnx"), None)
    assert str(found.signature.inputs[0]) == "x float32 (n, 4)"


def test_a_function_is_called_for_its_module(folder) -> None:
    found = open_source("mine.py:net", registry)
    assert isinstance(found.module, torch.nn.Linear)
    assert (found.path, found.runtime) == (None, None)


@pytest.mark.parametrize(("suffix", "runtime"), [(".xml", "openvino"), (".tflite", "litert"), (".pte", "executorch")])
def test_other_files_belong_to_their_runtime(folder, suffix, runtime) -> None:
    (folder / f"net{suffix}").write_bytes(b"content that the runtime will look at")
    assert open_source(f"net{suffix}", registry).runtime == runtime


@pytest.mark.parametrize(
    ("name", "what"),
    [("net.pt2", "a torch.export archive"), ("net.keras", "a Keras model"), ("net.h5", "a Keras model")],
)
def test_a_file_that_can_run_code_is_not_opened_without_trust(folder, name, what) -> None:
    hostile = f"import pathlib; pathlib.Path({str(folder / 'ran')!r}).touch()"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("data.pkl", b"cposix\nsystem\n(S'touch ran'\ntR.")
        archive.writestr("code/__torch__.py", hostile)
    with pytest.raises(InputError) as error:
        open_source(name, registry)
    assert error.value.message == (
        f"{name} is {what}, which can run code when it is opened; give --trust if you know who made it."
    )
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.onnx", "'model' must be a file or a bundle, got 'none.onnx', which does not exist."),
        ("", "'model' must be a file or a bundle, got '', which does not exist."),
        ("mine.py", "'model' must be file.py:function, got 'mine.py'; add the function's name."),
        ("mine.py:nt", "'mine.py' has no function 'nt'; check the name after the colon."),
        ("mine.py:number", "'model' mine.py:number must return a torch module, got int; check its return."),
        ("sub", "'model' 'sub' is a directory without steelyard.json; is it a bundle?"),
        ("empty.onnx", "'model' 'empty.onnx' is empty or no file; was it written to the end?"),
        (
            "net.txt",
            "'model' must be a file of .h5, .keras, .onnx, .pt2, .pte, .syd, .tflite, .xml, a bundle or "
            "file.py:function, got 'net.txt'.",
        ),
        ("text.onnx", "model 'text.onnx' is no ONNX file, or is cut short"),
    ],
)
def test_what_is_no_model_is_refused_in_one_sentence(folder, text, message) -> None:
    (folder / "sub").mkdir()
    (folder / "empty.onnx").touch()
    (folder / "net.txt").write_text("x", encoding="utf-8")
    (folder / "text.onnx").write_text("this is no model", encoding="utf-8")
    with pytest.raises(InputError) as error:
        open_source(text, registry)
    assert error.value.message.startswith(message)


def test_weights_belong_to_a_module(folder) -> None:
    with pytest.raises(InputError, match=r"^'weights' belong to a file\.py:function, but the model is 'net\.onnx'\.$"):
        open_source("net.onnx", registry, weights=Path("w.pt"))
