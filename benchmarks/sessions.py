"""Does the same model get the same latency tomorrow? One file in ten separate sessions, the other core idle and busy.

A session is a fresh interpreter that measures by the full protocol and ends. The coefficient of variation of its
latency_p50_s over the sessions is what a figure is worth. Raw latencies, not scaled by the yardstick, stand beside.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import command_line, write_result
from torch import nn

from steelyard.engine.lane import default_workers, lanes, make_protocol, nominal_time
from steelyard.measure.latency import measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME

BUSY = """
import os, numpy as np
os.sched_setaffinity(0, {cpu})
a = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
b = np.empty((8_000_000,), np.float32)
while True:
    a @ a
    b += 1
"""
"""Work for the other core: products, and streams through memory, as training does both."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--session", type=Path, help="measure this folder's models once and print them")
    asked = parser.parse_args()
    if asked.session is not None:
        print(json.dumps(measure(asked.session)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder)
        figures = {state: sessions(folder, asked.sessions, busy=state == "busy") for state in ("idle", "busy")}
    write_result(asked.json, command_line(), figures)


def write_models(folder: Path) -> None:
    """A convolutional and a fully connected net with their inputs."""
    torch.manual_seed(0)
    convolutional = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4096, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    connected = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    for name, module, shape in (("cnn", convolutional, (3, 32, 32)), ("mlp", connected, (64,))):
        rows = np.random.default_rng(0).normal(size=(64, *shape)).astype(np.float32)
        np.save(folder / f"{name}.npy", rows)
        export(module, rows[:2], folder / f"{name}.onnx")


def sessions(folder: Path, count: int, *, busy: bool) -> dict[str, Any]:
    """Latencies of every session, and their coefficients of variation."""
    found = []
    cpu, training = lanes(default_workers())
    other = None
    if busy and training and training[0] != cpu:
        other = subprocess.Popen([sys.executable, "-c", BUSY.replace("{cpu}", f"{{{training[0]}}}")], env=one_thread())
    try:
        for _ in range(count):
            done = subprocess.run(
                [sys.executable, __file__, "--session", str(folder)], capture_output=True, check=True, text=True
            )
            found.append(json.loads(done.stdout))
    finally:
        if other is not None:
            other.kill()
            other.wait()
    return {
        name: {
            "latency_p50_s": [each[name]["p50"] for each in found],
            "variation": variation([each[name]["p50"] for each in found]),
            "raw_variation": variation([each[name]["raw"] for each in found]),
            "half_widths": [each[name]["half_width"] for each in found],
            "noise": [each[name]["noise"] for each in found if each[name]["noise"]],
        }
        for name in found[0]
    }


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def measure(folder: Path) -> dict[str, Any]:
    """One session."""
    cpu, _ = lanes(default_workers())
    found = {}
    for name in ("cnn", "mlp"):
        rounds = measure_latency(
            [Subject(name, folder / f"{name}.onnx")],
            folder / f"{name}.npy",
            make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu),
            nominal_s=nominal_time(cpu),
        )
        found[name] = {
            "p50": rounds.metrics[name]["latency_p50_s"].value,
            "raw": rounds.notes[name]["raw_p50_s"],
            "half_width": rounds.notes[name]["half_width"],
            "noise": rounds.noise,
        }
    return found


def variation(values: list[float]) -> float:
    """Coefficient of variation."""
    return float(np.std(values, ddof=1) / np.mean(values))


if __name__ == "__main__":
    main()
