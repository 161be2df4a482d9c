"""The machine's peaks, and the layers of one residual network in float32 and in 8 bits: times, bounds, utilisation.

Layers add up to the latency by construction; `covered` says how much of it the trace explained before it was scaled.
"""

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import command_line, write_result
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from steelyard.engine.inspecting import audit_file
from steelyard.engine.lane import lanes, make_protocol, nominal_time
from steelyard.engine.limits import limit_from, machine_peaks
from steelyard.graph.identity import float_port, identity_model
from steelyard.measure.floor import floor_of, floor_subject
from steelyard.measure.latency import measure_latency
from steelyard.measure.layers import layers_of
from steelyard.measure.process import Subject
from steelyard.measure.tracing import trace_kernels
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME

TRACER = "steelyard.runtimes.onnxruntime.trace:trace"
SHAPE = (3, 32, 32)


class Block(nn.Module):
    """Two convolutions around which the input passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum, cut at zero."""
        return torch.relu(x + self.second(torch.relu(self.first(x))))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        Block(32),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        Block(64),
        nn.Conv2d(64, 64, 3, padding=1, groups=64),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()


class Reader(CalibrationDataReader):
    """One batch for calibration."""

    def __init__(self, rows: np.ndarray) -> None:
        self.left = iter([{"x": rows}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The batch, then nothing."""
        return next(self.left, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = np.random.default_rng(0).random((16, *SHAPE), dtype=np.float32)
    cpu, _ = lanes(1)
    nominal_s = nominal_time(cpu)
    peaks = machine_peaks(RUNTIME, cpu=cpu, nominal_s=nominal_s)
    protocol = make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu)
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), rows)
        floor = floor_subject(identity_model(Path(folder) / "identity.onnx", (float_port(SHAPE),)))
        subjects = [Subject(name, path) for name, path in files.items()]
        latencies = measure_latency([floor, *subjects], rows, protocol, nominal_s=nominal_s)
        models: dict[str, Any] = {}
        for subject in subjects:
            trace = trace_kernels(subject, rows, protocol, tracer=TRACER)
            latency = latencies.metrics[subject.key]["latency_p50_s"]
            layers = layers_of(trace, latency, floor_of(latencies), peaks)
            audit = audit_file(subject.path, layers=layers)
            limit = limit_from(layers, latency, peaks)
            del limit["peaks"]
            models[subject.key] = {
                "latency_p50_s": latency.to_json(),
                "sum_of_layers_s": sum(layer.time.value for layer in layers),
                "covered": trace.covered,
                "limit": limit,
                "audit": None if audit is None else audit.to_json(),
                "layers": [layer.to_json() for layer in layers],
            }
    write_result(asked.json, command_line(), {"peaks": peaks.to_json(), "models": models})


def write_files(folder: Path, rows: np.ndarray) -> dict[str, Path]:
    """The network in float32, with unsigned and with signed activations of 8 bits."""
    plain, prepared = folder / "float32.onnx", folder / "prepared.onnx"
    export(network(), rows[:2], plain)
    files = {"float32": plain}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        for name, kind in (("u8s8", QuantType.QUInt8), ("s8s8", QuantType.QInt8)):
            files[name] = folder / f"{name}.onnx"
            quantize_static(
                str(prepared),
                str(files[name]),
                Reader(rows),
                quant_format=QuantFormat.QDQ,
                activation_type=kind,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
    return files


if __name__ == "__main__":
    main()
