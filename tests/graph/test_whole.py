"""Models as one file with a free batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from steelyard.graph.reading import read_model
from steelyard.graph.whole import fixed_batch, write_whole
from steelyard.runtimes.onnxruntime.run import RUNTIME

WEIGHT = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def product(path: Path, batch: int | str, *, outside: bool = False) -> Path:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])
        for name, size in (("x", 4), ("y", 3), ("h", 3))
    ]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    graph = helper.make_graph(
        nodes, "product", values[:1], values[1:2], [numpy_helper.from_array(WEIGHT, "w")], value_info=values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, path, save_as_external_data=outside, location="weights.bin", size_threshold=0)
    return path


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_freed(tmp_path: Path, batch: int) -> None:
    assert write_whole(product(tmp_path / "fixed.onnx", batch), tmp_path / "free.onnx") == batch
    rows = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    found = RUNTIME.load(tmp_path / "free.onnx").run(rows)
    assert np.allclose(found, np.maximum(rows @ WEIGHT, 0), atol=1e-5)


def test_data_outside_come_into_the_file(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert write_whole(product(tmp_path / "one" / "m.onnx", "n", outside=True), tmp_path / "m.onnx") is None
    rows = np.ones((2, 4), np.float32)
    assert np.allclose(RUNTIME.load(tmp_path / "m.onnx").run(rows), np.maximum(rows @ WEIGHT, 0), atol=1e-5)


def test_what_is_whole_and_free_stays_byte_for_byte(tmp_path: Path) -> None:
    source = product(tmp_path / "m.onnx", "n")
    assert write_whole(source, tmp_path / "copy.onnx") is None
    assert (tmp_path / "copy.onnx").read_bytes() == source.read_bytes()


def test_a_batch_is_fixed_where_all_inputs_agree(tmp_path: Path) -> None:
    model = read_model(product(tmp_path / "m.onnx", 2))
    assert fixed_batch(model) == 2
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, []))
    assert fixed_batch(model) is None
