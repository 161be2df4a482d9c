"""Kernels of hand-made graphs, and shapes against ONNX's own inference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from steelyard.core.errors import InputError
from steelyard.graph.kernels import input_shapes, program_of
from steelyard.graph.micro.mixture import draw_micro
from steelyard.graph.shapes import inferred_shapes, walk


def model_of(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[Any], weights: dict[str, np.ndarray], output: str
) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))]
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "test", inputs, [onnx.ValueInfoProto(name=output)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def floats(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


def test_a_convolution_is_described_by_its_sizes() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="c", strides=[2, 2], pads=[1, 1, 1, 1])
    program = program_of(model_of([node], (1, 3, 32, 32), {"w": floats(16, 3, 3, 3)}, "y"), {"x": (1, 3, 32, 32)})
    kernel = program.kernels[0]
    assert kernel.kind == "convolution/Conv:dense"
    assert kernel.numbers == (16, 16, 3, 16, 1, 9, 3, 2, 1, 0, 0)
    assert kernel.text == "Conv 3x3, 3 to 16 channels, 16x16"
    assert program.weight_bytes == 16 * 3 * 9 * 4
    assert program.activation_bytes == (3 * 32 * 32 + 16 * 16 * 16) * 4


@pytest.mark.parametrize(
    ("weights", "groups", "variant"),
    [((8, 1, 3, 3), 8, "depthwise"), ((8, 4, 3, 3), 2, "grouped"), ((16, 8, 1, 1), 1, "pointwise")],
)
def test_variants_of_convolutions_are_kinds_of_their_own(weights: tuple[int, ...], groups: int, variant: str) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=groups)
    program = program_of(model_of([node], (1, 8, 8, 8), {"w": floats(*weights)}, "y"), {"x": (1, 8, 8, 8)})
    assert program.kernels[0].kind == f"convolution/Conv:{variant}"


def test_products_with_stored_and_with_computed_factors_are_told_apart() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["a", "t"], ["y"]),
    ]
    program = program_of(model_of(nodes, (2, 5, 7), {"w": floats(7, 7)}, "y"), {"x": (2, 5, 7)})
    stored, _, computed = program.kernels
    assert (stored.kind, stored.numbers[:4]) == ("product/Product:stored", (1, 10, 7, 7))
    assert (computed.kind, computed.numbers[:4]) == ("product/Product", (2, 5, 7, 5))
    assert computed.text == "MatMul 2 times 5x7 by 7x5"


def test_a_recurrent_layer_counts_steps_and_directions() -> None:
    weights = {"w": floats(2, 32, 5), "r": floats(2, 32, 8)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=8, direction="bidirectional")
    program = program_of(model_of([node], (12, 3, 5), weights, "y"), {"x": (12, 3, 5)})
    assert program.kernels[0].numbers == (12, 3, 5, 8, 2)
    assert program.kernels[0].text == "LSTM steps 12, batch 3, input 5, hidden 8"


def test_shapes_that_the_graph_computes_are_followed() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["u"]),
        helper.make_node("Concat", ["u", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    weights = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    model = model_of(nodes, ("n", 4, 6), weights, "y")
    _, tensors = walk(model.graph, {"x": (3, 4, 6)}, {})
    assert tensors.shapes["y"] == (3, 24)


def test_an_unknown_operator_takes_its_shape_from_the_source_file() -> None:
    node = helper.make_node("Mystery", ["x"], ["y"], domain="somewhere")
    model = model_of([node], (2, 3), {}, "y")
    assert program_of(model, {"x": (2, 3)}).uncounted == ("somewhere.Mystery",)
    known = program_of(model, {"x": (2, 3)}, {"y": (2, 3)})
    assert not known.uncounted
    assert known.kernels[0].numbers[0] == 6


def test_shapes_that_only_the_source_file_tells_are_inferred() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Hardmax", ["a"], ["y"])]
    assert inferred_shapes(model_of(nodes, ("n", 3), {}, "y"), {"x": (5, 3)}) == {"a": (5, 3), "y": (5, 3)}
    contradiction = [helper.make_node("Gemm", ["x", "w"], ["y"])]
    assert inferred_shapes(model_of(contradiction, ("n", 3), {"w": floats(4, 2)}, "y"), {"x": (5, 3)}) == {}


def test_a_loop_is_counted_by_nobody() -> None:
    body = helper.make_graph([helper.make_node("Identity", ["c"], ["d"])], "body", [], [])
    node = helper.make_node("Loop", ["", "", "x"], ["y"], body=body)
    program = program_of(model_of([node], (2, 3), {}, "y"), {"x": (2, 3)})
    assert program.uncounted == ("Loop",)
    assert program.kernels[0].numbers == ()


@pytest.mark.parametrize("number", range(60))
def test_shapes_agree_with_those_that_onnx_infers(number: int) -> None:
    micro = draw_micro(number)
    shapes = {feed.name: feed.shape for feed in micro.feeds}
    model = onnx.ModelProto()
    model.CopyFrom(micro.model)
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = shapes[value.name][0]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    _, tensors = walk(micro.model.graph, shapes, {})
    checked = 0
    for value in inferred.value_info:
        sizes = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(size.HasField("dim_value") for size in sizes):
            assert tensors.shapes[value.name] == tuple(size.dim_value for size in sizes), value.name
            checked += 1
    assert checked > 0


def test_a_free_first_axis_is_the_batch_and_others_must_be_given() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    assert input_shapes(model_of([node], ("n", 4), {}, "y"), {}, 8) == {"x": (8, 4)}
    model = model_of([node], ("n", 4, "t"), {}, "y")
    assert input_shapes(model, {"x": (2, 4, 9)}, 1) == {"x": (2, 4, 9)}
    with pytest.raises(InputError, match=r"^input 'x' has free axes \?x4x\?; give its shape with --shape x:…$"):
        input_shapes(model, {}, 1)
    with pytest.raises(InputError, match=r"^input 'x' must have the shape \?x4x\?, got \(2, 5, 9\)\.$"):
        input_shapes(model, {"x": (2, 5, 9)}, 1)
