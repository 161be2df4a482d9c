"""What a model takes: names, types, shapes, and how large indices may be."""

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from steelyard.core.port import Port
from steelyard.graph.reading import read_model
from steelyard.graph.signature import index_limits, inputs_of, outputs_of, signature_of


def test_an_exported_net_says_what_it_takes_and_gives(export) -> None:
    model = read_model(export(torch.nn.Linear(3, 2), torch.zeros(2, 3)))
    found = signature_of(model)
    assert found.inputs == (Port("x", "float32", ("n", 3)),)
    assert [port.name for port in found.outputs] == ["y"]
    assert found.index_limits == {}


def test_indices_lie_below_the_table_that_they_index(export) -> None:
    class Embedded(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(37, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.table(x.reshape(-1, 6)).sum(1)

    found = signature_of(read_model(export(Embedded(), torch.zeros(2, 6, dtype=torch.int64))))
    assert found.inputs[0].type == "int64"
    assert found.index_limits == {"x": 37}


def gathering(axis: int) -> "helper.ModelProto":
    tables = [
        numpy_helper.from_array(np.zeros((9, 5), np.float32), "large"),
        numpy_helper.from_array(np.zeros((4, 7), np.float32), "small"),
        numpy_helper.from_array(np.zeros(1, np.float32), "default"),
    ]
    nodes = [
        helper.make_node("Cast", ["ids"], ["cast"], to=TensorProto.INT32),
        helper.make_node("Gather", ["large", "cast"], ["a"], axis=axis),
        helper.make_node("Gather", ["small", "ids"], ["b"], axis=axis),
    ]
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", None]),
        helper.make_tensor_value_info("default", TensorProto.FLOAT, [1]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, tables))


def test_of_several_tables_the_smallest_counts_along_the_axis_that_is_gathered() -> None:
    assert index_limits(gathering(0)) == {"ids": 4}
    assert index_limits(gathering(-1)) == {"ids": 5}


def test_an_input_with_a_stored_default_need_not_be_given() -> None:
    assert [port.name for port in inputs_of(gathering(0))] == ["ids"]


def test_what_is_not_known_is_said_so() -> None:
    model = gathering(0)
    assert inputs_of(model)[0].shape == ("n", None)
    assert outputs_of(model)[0].shape is None
    assert str(inputs_of(model)[0]) == "ids int64 (n, ?)"
    assert outputs_of(model)[0].to_json() == {"name": "a", "type": "float32", "shape": None}
