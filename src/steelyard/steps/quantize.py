"""int8 static quantization with ONNX Runtime's tools."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import SteelyardError
from steelyard.core.protocols import Feed
from steelyard.core.task import Array
from steelyard.core.wire import Plain

WEIGHTED = ("Conv", "Gemm", "MatMul")
"""Operators whose weights are stored in int8; all others pass in float."""
HAS_VNNI = ("avx512_vnni", "avx_vnni", "avxvnni")


@dataclass(frozen=True, slots=True)
class Quantize:
    """Static quantization to 8 bits: unsigned activations, signed weights, one scale a channel, min-max calibration.

    Each weighted operator is wrapped in quantize-dequantize pairs, which ONNX Runtime fuses into integer kernels.
    On processors without VNNI, weights use 7 bits: their integer product of unsigned and signed bytes adds pairs in
    16 bits and would saturate.

    References:
        B. Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
        inference, CVPR 2018.
    """

    rows: int = 512
    name: str = "quantize"

    def apply(self, source: Path, target: Path, rows: Iterator[Feed]) -> Plain:
        """Write the quantized model; `rows` are batches of training inputs for calibration.

        Raises:
            SteelyardError: if the model has no operator with weights that could be quantized.
        """
        import onnx  # noqa: PLC0415  heavy, and needed by this step alone
        from onnxruntime.quantization import (  # noqa: PLC0415
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

        nodes = weighted_nodes(onnx.load(source))
        if not nodes:
            raise SteelyardError("quantize found no convolution or matrix product with weights to quantize.")
        reduced = not has_vnni()
        reader = _Reader(rows, self.rows)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prepared = Path(folder) / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(target),
                reader,
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=reduced,
                calibrate_method=CalibrationMethod.MinMax,
                nodes_to_quantize=weighted_nodes(onnx.load(prepared)),
            )
        return {
            "operators": len(nodes),
            "weight_bits": 7 if reduced else 8,
            "calibration_rows": self.rows - reader.left,
        }


class _Reader:
    """Feeds ONNX Runtime's calibrator: one batch at a time, `most` rows in all."""

    def __init__(self, rows: Iterator[Feed], most: int) -> None:
        self.rows = rows
        self.left = most

    def get_next(self) -> dict[str, Array] | None:
        if self.left <= 0:
            return None
        batch = next(self.rows, None)
        if batch is None:
            return None
        feed = batch if isinstance(batch, Mapping) else {"x": np.ascontiguousarray(batch, dtype=np.float32)}
        feed = {name: array[: self.left] for name, array in feed.items()}
        self.left -= len(next(iter(feed.values())))
        return feed


def weighted_nodes(model: Any) -> list[str]:
    """Names of the operators that multiply their input with stored weights."""
    stored = {each.name for each in model.graph.initializer}
    for node in model.graph.node:
        # Weights may pass an operator that only moves them; operators stand in the order they run.
        is_moved = node.op_type in ("Identity", "Transpose") and node.input[0] in stored
        if node.op_type == "Constant" or is_moved:
            stored.add(node.output[0])
    return [
        node.name for node in model.graph.node if node.op_type in WEIGHTED and any(i in stored for i in node.input[1:2])
    ]


def has_vnni() -> bool:
    """Whether this processor multiplies unsigned with signed bytes without saturating."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    # Arm's dot product accumulates in 32 bits from the start.
    return any(flag in line.split() for flag in (*HAS_VNNI, "asimddp"))


QUANTIZE = Quantize()
"""The entry of the registry."""
