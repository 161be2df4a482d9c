"""Micro-models: files that make a runtime do one thing only, so that the thing itself can be timed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from steelyard.graph.identity import OPSET

_IR_VERSION = 8
"""The file version that belongs to operator set 17: ONNX, docs/Versioning.md."""

_ELEMENT = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}


def chain_model(path: Path, nodes: int) -> Path:
    """Write a model of `nodes` kernels in a row, each of which changes the sign of one number or takes it off."""
    names = ["x", *(f"h{index}" for index in range(1, nodes)), "y"]
    made = [
        helper.make_node(("Neg", "Abs")[index % 2], [names[index]], [names[index + 1]], name=f"link{index}")
        for index in range(nodes)
    ]
    return _write(path, made, {}, ("float32", (1,)))


def product_model(path: Path, rows: int, inner: int, columns: int) -> Path:
    """Write a model that multiplies x (rows, inner) with a stored matrix (inner, columns), all float32."""
    weight = _numbers((inner, columns)).astype(np.float32)
    return _write(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, ("float32", (rows, inner)))


def convolution_model(path: Path, channels: int, side: int) -> Path:
    """Write a model of one 3×3 convolution of x (1, channels, side, side) to as many channels, all float32."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    weight = _numbers((channels, channels, 3, 3)).astype(np.float32)
    return _write(path, [node], {"w": weight}, ("float32", (1, channels, side, side)))


def integer_product_model(path: Path, rows: int, inner: int, columns: int) -> Path:
    """Write a model that multiplies x (rows, inner) of uint8 with a stored int8 matrix, rescaled to uint8."""
    node = helper.make_node("QLinearMatMul", ["x", "s", "z", "w", "s", "zw", "s", "z"], ["y"])
    weights = {"w": (_numbers((inner, columns)) * 100).astype(np.int8), **_scales()}
    return _write(path, [node], weights, ("uint8", (rows, inner)), out=TensorProto.UINT8)


def integer_accumulating_model(path: Path, rows: int, inner: int, columns: int) -> Path:
    """Write a model that multiplies x (rows, inner) of uint8 with a stored int8 matrix, sums left in int32."""
    node = helper.make_node("MatMulInteger", ["x", "w", "z", "zw"], ["y"])
    weights = {"w": (_numbers((inner, columns)) * 100).astype(np.int8), **_scales()}
    del weights["s"]
    return _write(path, [node], weights, ("uint8", (rows, inner)), out=TensorProto.INT32)


def integer_convolution_model(path: Path, channels: int, side: int) -> Path:
    """Write a model of one 3×3 convolution of x (1, channels, side, side), uint8 with int8 weights."""
    node = helper.make_node(
        "QLinearConv", ["x", "s", "z", "w", "s", "zw", "s", "z"], ["y"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]
    )
    weights = {"w": (_numbers((channels, channels, 3, 3)) * 100).astype(np.int8), **_scales()}
    return _write(path, [node], weights, ("uint8", (1, channels, side, side)), out=TensorProto.UINT8)


def _scales() -> dict[str, NDArray[np.generic]]:
    return {
        "s": np.array(0.01, np.float32),
        "z": np.array(128, np.uint8),
        "zw": np.array(0, np.int8),
    }


def _numbers(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers in [-1, 1) that are no pattern to a compressor or a sparse kernel."""
    return np.random.default_rng(0).uniform(-1, 1, shape)


def _write(
    path: Path,
    nodes: Sequence[NodeProto],
    weights: Mapping[str, NDArray[np.generic]],
    x: tuple[str, tuple[int, ...]],
    out: int = TensorProto.FLOAT,
) -> Path:
    graph = helper.make_graph(
        list(nodes),
        "micro",
        [helper.make_tensor_value_info("x", _ELEMENT[x[0]], list(x[1]))],
        [helper.make_tensor_value_info("y", out, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
    path.write_bytes(model.SerializeToString())
    return path
