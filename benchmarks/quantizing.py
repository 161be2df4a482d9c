"""What each form of quantization does to a model of each kind: speed on ONNX Runtime, output error, bytes, weights.

The models have seeded weights, which round about as well as trained ones;
the figures say which kernels pay, not what accuracy a task keeps. `steelyard.steps.finishes` follows them.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
import torch
from environment import command_line, write_result
from numpy.typing import NDArray
from torch import nn

from steelyard.core.errors import SteelyardError
from steelyard.engine.lane import make_protocol, nominal_time
from steelyard.graph.fusion import audit_graph
from steelyard.graph.reading import read_model
from steelyard.graph.stored import stored
from steelyard.measure.latency import measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.runtimes.onnxruntime.trace import optimised_model
from steelyard.steps.quantize import Quantize

ROWS = 128
FORMS = {
    "static u8s8": Quantize(),
    "static u8s8 chains": Quantize(chains=True),
    "static u8s8 chains, one in float": Quantize(chains=True, keep_float=1),
    "static s8s8 chains": Quantize(chains=True, activations="int8"),
    "dynamic": Quantize(mode="dynamic"),
    "weights 8 packed": Quantize(mode="weights"),
    "weights 8": Quantize(mode="weights", packed=False),
    "weights 4 packed": Quantize(mode="weights", bits=4),
    "weights 4": Quantize(mode="weights", bits=4, packed=False),
}


def mlp() -> nn.Module:
    """A perceptron for tables of 64 columns."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


class _Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, 256, batch_first=True, bidirectional=True)
        self.last = nn.Linear(512, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.lstm(x)[0][:, -1])


def wide_lstm() -> nn.Module:
    """A bidirectional LSTM of 256 units for series of 32 steps of 64 channels."""
    torch.manual_seed(0)
    return _Wide()


class _Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8000, 64)
        self.body = models.encoder()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.table(x))


def tokens() -> nn.Module:
    """An encoder behind a table of 8,000 tokens."""
    torch.manual_seed(0)
    return _Tokens()


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "cnn": (models.cnn, (3, 32, 32)),
    "residual": (models.residual, (3, 32, 32)),
    "mlp": (mlp, (64,)),
    "lstm": (models.lstm, (29, 12)),
    "wide lstm": (wide_lstm, (32, 64)),
    "encoder": (models.encoder, (32, 64)),
    "tokens": (tokens, (32,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--cpu", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    nominal_s = nominal_time(asked.cpu)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in asked.kinds.split(","):
            figures[kind] = measured(kind, Path(folder), asked.cpu, asked.processes, nominal_s)
            print(f"{kind} is done", file=sys.stderr)
    write_result(asked.json, command_line(), figures)
    print(table(figures))


def measured(kind: str, folder: Path, cpu: int, processes: int, nominal_s: float) -> dict[str, Any]:
    """Every form of one model, measured together."""
    make, shape = KINDS[kind]
    random = np.random.default_rng(0)
    x = random.integers(0, 8000, (ROWS, *shape)) if kind == "tokens" else random.standard_normal((ROWS, *shape))
    x = x.astype(np.int64 if kind == "tokens" else np.float32)
    source = folder / "fp32.onnx"
    export(make().eval(), x[:2], source)
    wanted = RUNTIME.load(source).run(x)
    found: dict[str, Any] = {"fp32": {"size_bytes": source.stat().st_size}}
    subjects = [Subject("fp32", source)]
    for number, (name, step) in enumerate(FORMS.items()):
        target = folder / f"form{number}.onnx"
        try:
            # One half calibrates, the other judges.
            step.apply(source, target, iter([x[: ROWS // 2]]))
        except SteelyardError as error:
            found[name] = {"refused": error.message}
            continue
        found[name] = facts(target, x[ROWS // 2 :], wanted[ROWS // 2 :])
        subjects.append(Subject(name, target))
    for batch in (1, 32):
        protocol = make_protocol(RUNTIME, batch=batch, threads=1, cpu=cpu)
        protocol = type(protocol)(
            loader=protocol.loader, imports=protocol.imports, batch=batch, cpu=cpu, processes=processes, cap_s=1.0
        )
        latencies = measure_latency(subjects, {"x": x}, protocol, nominal_s=nominal_s)
        for key, error in latencies.failures.items():
            found[key][f"batch {batch}"] = {"failed": error.message}
        for subject in subjects:
            if "fp32" not in latencies.times or subject.key not in latencies.times:
                continue
            ratio = latencies.ratio("fp32", subject.key).quantity if subject.key != "fp32" else None
            found[subject.key][f"batch {batch}"] = {
                "p50_s": latencies.metrics[subject.key]["latency_p50_s"].to_json(),
                "speed": ratio and ratio.to_json(),
            }
    return found


def facts(target: Path, x: NDArray[Any], wanted: NDArray[Any]) -> dict[str, Any]:
    """What a file holds, what the runtime makes of it, and how far its outputs are off."""
    model = read_model(target)
    there = stored(model)
    audit = audit_graph(model, optimised_model(str(target)))
    got = RUNTIME.load(target).run(x)
    return {
        "size_bytes": target.stat().st_size,
        "output_error": float(np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2))),
        "float_share": there.float_share,
        "mean_bits": there.mean_bits,
        "integers": audit and audit.integers,
        "floats": audit and len(audit.floats) + len(audit.unfused),
        "conversions": audit and len(audit.conversions),
    }


def table(figures: dict[str, Any]) -> str:
    """The table for people: times as fast at batch 1 and 32, output error, share of the bytes."""
    lines = ["| form | " + " | ".join(figures) + " |", "| --- " * (len(figures) + 1) + "|"]
    for name in FORMS:
        lines.append(f"| {name} | " + " | ".join(cell(found, name) for found in figures.values()) + " |")
    return "\n".join(lines)


def cell(found: dict[str, Any], name: str) -> str:
    it = found[name]
    if "refused" in it:
        return "refused"
    if any("speed" not in it[f"batch {batch}"] for batch in (1, 32)):
        return "not measured"
    one, many = (it[f"batch {batch}"]["speed"]["value"] for batch in (1, 32))
    size = it["size_bytes"] / found["fp32"]["size_bytes"]
    return f"{one:.2f} / {many:.2f}, off by {it['output_error']:.2%}, {size:.0%} of the bytes"


if __name__ == "__main__":
    main()
