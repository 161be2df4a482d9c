"""Models for the tests of `steelyard.graph`: exported from torch, quantized by ONNX Runtime, or built by hand."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

Export = Callable[[torch.nn.Module, torch.Tensor], Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Writes a module as the product does: the TorchScript exporter, opset 17, a free batch axis."""

    def write(module: torch.nn.Module, example: torch.Tensor, name: str = "model.onnx") -> Path:
        path = tmp_path / name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                dynamo=False,
                opset_version=17,
                input_names=["x"],
                output_names=["y"],
                dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
            )
        return path

    return write


@pytest.fixture
def quantize(tmp_path: Path) -> Callable[[Path, np.ndarray], Path]:
    """Writes the int8 form of a model: quantize-dequantize pairs, weights per channel."""

    def write(source: Path, rows: np.ndarray) -> Path:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self.left = iter([{"x": rows}])

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.left, None)

        target = tmp_path / "int8.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantize_static(
                str(source),
                str(target),
                Reader(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        return target

    return write


@pytest.fixture
def by_hand() -> Callable[..., onnx.ModelProto]:
    """A model from nodes and initializers, its input "x" and output "y" of given shapes."""

    def make(
        nodes: list[onnx.NodeProto],
        weights: dict[str, np.ndarray] | None = None,
        x: tuple[int | str, ...] = ("n", 4),
        y: tuple[int | str, ...] | None = None,
        domains: tuple[str, ...] = ("",),
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            nodes,
            "by hand",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
            [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
        )
        opsets = [helper.make_opsetid(domain, 17 if domain == "" else 1) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    return make
