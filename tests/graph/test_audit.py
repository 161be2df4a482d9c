"""The audit of stored types."""

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from steelyard.graph.audit import NotQuantizedError, Share, check_quantized, float_weights, stored_types
from steelyard.graph.reading import read_model


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))


def test_stored_types_of_a_float_file_are_its_parameters(export) -> None:
    module = net()
    shares = stored_types(read_model(export(module, torch.rand(2, 1, 8, 8))))
    elements = sum(parameter.numel() for parameter in module.parameters())
    assert shares["float32"] == Share(elements, 4 * elements)


def test_a_quantized_file_passes_and_its_weights_are_int8(export, quantize) -> None:
    module = net()
    source = export(module, torch.rand(2, 1, 8, 8))
    model = read_model(quantize(source, np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)))
    check_quantized(model)
    assert stored_types(model)["int8"].elements >= 36 + 4 * 36 * 10


def test_a_float_file_is_refused_by_the_names_of_its_weights(export) -> None:
    model = read_model(export(net(), torch.rand(2, 1, 8, 8)))
    with pytest.raises(NotQuantizedError) as error:
        check_quantized(model)
    assert error.value.message == "the quantized model must store no weight in float32, got '0.weight', '3.weight'."
    check_quantized(model, allowed=("0.weight", "3.weight"), most_float=1.0)
    with pytest.raises(NotQuantizedError) as error:
        check_quantized(model, allowed=("0.weight", "3.weight"))
    assert error.value.message == (
        "the quantized model must store at most 50% of its weights in float, got 100%: '0.weight', '3.weight'."
    )


def test_float_weights_that_are_rounded_at_run_time_are_found(by_hand) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Transpose", ["d"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    weights = {"w": np.ones((3, 4), np.float32), "s": np.array(1, np.float32), "z": np.array(0, np.int8)}
    assert float_weights(by_hand(nodes, weights)) == ("w",)


def test_many_names_are_cut_to_five() -> None:
    nodes = [helper.make_node("MatMul", ["x" if i == 0 else f"h{i}", f"w{i}"], [f"h{i + 1}"]) for i in range(7)]
    from onnx import TensorProto, numpy_helper

    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("h7", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.eye(2, dtype=np.float32), f"w{i}") for i in range(7)],
    )
    with pytest.raises(NotQuantizedError, match=r"got 'w0', 'w1', 'w2', 'w3', 'w4' and 2 more\.$"):
        check_quantized(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
