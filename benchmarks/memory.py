"""Peak memory against an independent reading of the kernel: /proc/PID/smaps_rollup, sampled from outside.

The product reads VmHWM inside each measuring process. Here another thread samples the resident pages of the same
processes as often as it can; the figure of a model is the difference to a process without one, both ways.
"""

import argparse
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import command_line, write_result
from torch import nn

from steelyard.engine.lane import default_workers, lanes, make_protocol
from steelyard.measure.memory import BASELINES, REPEATS, measure_memory
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (module, shape) in models().items():
            rows = np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)
            path = Path(folder) / f"{name}.onnx"
            export(module, rows[:2], path)
            figures[name] = compare(Subject(name, path), rows)
    write_result(asked.json, command_line(), figures)


def models() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Nets whose peaks are weights, activations, and next to nothing."""
    torch.manual_seed(0)
    return {
        "weights_64_MB": (nn.Sequential(nn.Linear(1024, 8192), nn.ReLU(), nn.Linear(8192, 1024)), (1024,)),
        "activations": (
            nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()),
            (3, 256, 256),
        ),
        "small": (nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)), (64,)),
    }


def compare(subject: Subject, rows: Any) -> dict[str, Any]:
    """The product's figure, the sampled one, and how far apart they are."""
    cpu, _ = lanes(default_workers())
    with Sampler() as sampler:
        found = measure_memory([subject], rows, make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu))
    peaks = list(sampler.peaks.values())
    if len(peaks) != BASELINES + REPEATS:
        raise RuntimeError(f"{len(peaks)} processes were seen, not {BASELINES + REPEATS}")
    sampled = float(np.mean(peaks[BASELINES:]) - np.mean(peaks[:BASELINES]))
    own = found.peaks[subject.key]["peak"]
    apart = abs(own.value - sampled)
    return {
        "own": own.to_json(),
        "sampled_bytes": sampled,
        "apart_bytes": apart,
        "apart_share": apart / sampled if sampled > 0 else None,
        "within": apart <= max(1e6, 0.05 * sampled),
        "samples": list(sampler.samples.values()),
    }


class Sampler:
    """Samples the resident bytes of this process's measuring children."""

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}
        self.samples: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        while not self._stop.is_set():
            for text in children.read_text().split():
                pid = int(text)
                # Until it runs the measuring program, a child still shows the pages of this process.
                if pid in self.peaks or is_measuring(pid):
                    self.peaks[pid] = max(self.peaks.get(pid, 0), resident_bytes(pid))
                    self.samples[pid] = self.samples.get(pid, 0) + 1


def resident_bytes(pid: int) -> int:
    """Resident bytes of a process; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss:")), 0)


def is_measuring(pid: int) -> bool:
    """Whether a process runs the measuring program already."""
    try:
        return b"steelyard.measure.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    main()
