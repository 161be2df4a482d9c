"""Profiles, run for real: every form of a model, and models that take the process that measures them down."""

import multiprocessing
import os
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.engine.profiling import Question, profile

SAMPLE = Path(__file__).parents[1] / "runtimes" / "samples" / "cnn.tflite"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Where models are written, and temporary files beside them, so that what is left behind is seen."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return tmp_path


def asked(model, **options):
    return profile(Question(str(model), **{"budget_s": 3.0, "batches": (4,), **options}), registry)


def exported(runtime, path):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    registry.get("exporter", runtime).export(module, np.zeros((2, 6), np.float32), path)
    return path


def check_nothing_is_left(folder: Path) -> None:
    assert not list((folder / "scratch").iterdir())
    assert not multiprocessing.active_children()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    named = [Path(f"/proc/{number}/cmdline").read_bytes() for number in children.read_text(encoding="utf-8").split()]
    assert not [line for line in named if b"steelyard" in line]


@pytest.mark.slow
def test_an_onnx_file_is_converted_for_another_runtime(folder) -> None:
    found = asked(exported("onnxruntime", folder / "net.onnx"), runtimes=("openvino",))
    assert found.runtimes["openvino"].parity["source"] == "ONNX Runtime, unoptimised"
    check_nothing_is_left(folder)


@pytest.mark.slow
def test_a_file_of_another_runtime_needs_no_shape(folder) -> None:
    found = asked(exported("openvino", folder / "net.xml"))
    (port,) = found.inputs["ports"]
    assert (port["type"], port["shape"], found.inputs["batch"]) == ("float32", [None, 6], 1)
    assert [point.batch for point in found.runtimes["openvino"].batches] == [4]
    with pytest.raises(InputError, match=r"^'shape' must fit the input x"):
        asked(folder / "net.xml", shapes={"": (1, 7)})
    np.save(folder / "rows.npy", np.zeros((9, 5), np.float32))
    with pytest.raises(InputError, match=r"rows.npy must fit the input x"):
        asked(folder / "net.xml", data=folder / "rows.npy")
    check_nothing_is_left(folder)


@pytest.mark.slow
def test_a_file_for_one_row_is_tried_with_no_other_batch(folder) -> None:
    found = asked(SAMPLE, batches=None)
    assert found.inputs["batch"] == 1
    assert found.runtimes["litert"].batches == ()
    check_nothing_is_left(folder)


@pytest.mark.slow
def test_a_model_that_exhausts_the_memory_is_one_sentence(folder) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Expand", ["largest", "shape"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([10**5, 10**6]), "shape")
    graph = helper.make_graph(nodes, "g", [x], [y], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "vast.onnx")
    with pytest.raises(InputError, match=r"^vast.onnx can't be measured \(onnxruntime: .*Expand") as error:
        asked("vast.onnx")
    assert "\n" not in str(error.value)
    check_nothing_is_left(folder)
