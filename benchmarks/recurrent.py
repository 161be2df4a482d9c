"""Recurrent nets pruned to half their units: parity with the masked net, and the speed-up in ONNX Runtime.

The nets have seeded weights that were never trained: what is measured is the shape, not the quality.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import command_line, write_result
from torch import nn
from torch.nn.functional import cross_entropy

from steelyard.core.task import Rows
from steelyard.elastic.extraction import extracted, masked
from steelyard.elastic.importance import best_of, scores_of
from steelyard.elastic.trying import anatomy_of
from steelyard.engine.lane import default_workers, lanes, make_protocol, nominal_time
from steelyard.measure.latency import measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.steps.prune import Prune
from steelyard.training.lesson import Lesson

STEPS, CHANNELS, CLASSES = 96, 8, 7
NETS = {
    "lstm-1x128": ("LSTM", 128, 1, False),
    "lstm-2x128-both": ("LSTM", 128, 2, True),
    "gru-1x128": ("GRU", 128, 1, False),
    "gru-2x128-both": ("GRU", 128, 2, True),
}
"""Kind, units, layers, both directions."""


class Net(nn.Module):
    """A recurrent net over series, and a linear layer on its last output."""

    def __init__(self, kind: str, units: int, layers: int, both: bool) -> None:
        super().__init__()
        self.net = getattr(nn, kind)(CHANNELS, units, layers, batch_first=True, bidirectional=both)
        self.last = nn.Linear(units * (1 + both), CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (rows, classes) of series (rows, steps, channels)."""
        return self.last(self.net(x)[0][:, -1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pair-s", type=float, default=40.0, help="seconds of measuring a net and its half")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    x = random.normal(size=(256, STEPS, CHANNELS)).astype(np.float32)
    rows = Rows(x, random.integers(0, CLASSES, 256))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in NETS.items():
            torch.manual_seed(0)
            module = Net(*shape).eval()
            lesson = Lesson(rows, rows, module, cross_entropy)
            small, report = Prune(ratio=0.5).apply(module, lesson)
            figures[name] = {
                "groups": report["groups"],
                "macs": [report["macs_before"], report["macs_after"]],
                "parameters": [report["parameters_before"], report["parameters_after"]],
                "parity_with_masked": parity(module, lesson),
                **speed(Path(folder), module, small, x, asked.pair_s),
            }
    write_result(asked.json, command_line(), figures)


def parity(module: nn.Module, lesson: Lesson) -> float:
    """The largest difference between the outputs of the smaller net and of the masked one, on all rows."""
    anatomy = anatomy_of(module, lesson.example())
    scores = scores_of(module, anatomy, lesson, "taylor")
    kept = {each.name: best_of(scores[each.name], each.size // 2, each) for each in anatomy.groups}
    inputs = lesson.example(len(lesson.train.x))
    with torch.no_grad():
        small, full = extracted(module, anatomy, kept)(*inputs), masked(module, anatomy, kept)(*inputs)
    return float((small - full).abs().max())


def speed(folder: Path, whole: nn.Module, small: nn.Module, x: Any, limit_s: float) -> dict[str, Any]:
    """Latency of both in one round, how much faster the small one is, and its distance from torch."""
    paths = {"whole": folder / "whole.onnx", "small": folder / "small.onnx"}
    for name, module in (("whole", whole), ("small", small)):
        export(module, x[:2], paths[name])
    with torch.no_grad():
        expected = small.eval()(torch.from_numpy(x[:64])).numpy()
    gap = float(np.abs(RUNTIME.load(paths["small"]).run(x[:64]) - expected).max())
    cpu, _ = lanes(default_workers())
    found = measure_latency(
        [Subject(name, path) for name, path in paths.items()],
        x[:64],
        make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu),
        nominal_s=nominal_time(cpu),
        seed=0,
        limit_s=limit_s,
    )
    return {
        "times_faster": found.ratio("whole", "small").quantity.to_json(),
        "raw_p50_s": {name: found.notes[name]["raw_p50_s"] for name in paths},
        "size_bytes": {name: path.stat().st_size for name, path in paths.items()},
        "onnx_from_torch": gap,
        "noise": found.noise,
    }


if __name__ == "__main__":
    main()
