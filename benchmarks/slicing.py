"""Files of random sub-networks of a CNN of a million parameters: cut from the file exported once, or exported by torch.

Each sub-network keeps a random share of the channels of every group. Times are of one process on one
thread, in milliseconds; loading ends with the first answer. The processor time
is what slicing takes where nothing else runs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import command_line, write_result
from torch import nn

from steelyard.elastic.extraction import extracted
from steelyard.elastic.files import WholeFile
from steelyard.elastic.groups import Anatomy, slices_of
from steelyard.elastic.trying import anatomy_of
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import open_session
from steelyard.runtimes.onnxruntime.unfolded import export_unfolded

SHAPE = (3, 32, 32)
SUBNETWORKS = 30
Answer = Callable[[np.ndarray], np.ndarray]


class Block(nn.Module):
    """Two convolutions with batch norm around which the input passes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum, cut at zero."""
        return torch.relu(x + self.body(x))


def network() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(), Block(48),
        nn.Conv2d(48, 96, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(96), nn.ReLU(), Block(96), Block(96),
        nn.Conv2d(96, 176, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(176), nn.ReLU(),
        nn.Conv2d(176, 270, 3, padding=1, bias=False), nn.BatchNorm2d(270), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(270, 10),
    )  # fmt: skip
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.normal_(each.running_mean, std=0.1)
            nn.init.uniform_(each.running_var, 0.5, 2)
    return module.eval()


def choice(anatomy: Anatomy, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        each.name: np.sort(rng.permutation(each.size)[: rng.integers(each.size // 4, each.size)])
        for each in anatomy.groups
    }


def spread(times_ms: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(float(np.median(times_ms)), 2),
        "p95_ms": round(float(np.percentile(times_ms, 95)), 2),
        "n": len(times_ms),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    module, rng = network(), np.random.default_rng(0)
    example = torch.from_numpy(rng.random((2, *SHAPE), dtype=np.float32))
    row = example[:1].numpy()
    anatomy = anatomy_of(module, (example,))
    times: dict[str, list[float]] = {
        "slice_and_write": [],
        "slice_and_write_processor": [],
        "load_and_first_answer": [],
        "export_by_torch": [],
    }
    largest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("whole.onnx", "exported.onnx")]
        start = time.perf_counter()
        unread = export_unfolded(module, example.numpy(), paths[0])
        once_ms = 1e3 * (time.perf_counter() - start)
        start = time.perf_counter()
        whole = WholeFile(paths[0], unread)
        whole.names  # noqa: B018  makes the template ready, which happens once
        ready_ms = 1e3 * (time.perf_counter() - start)
        for number in range(SUBNETWORKS):
            kept = choice(anatomy, rng)
            slices = slices_of(anatomy, kept)
            path = Path(folder) / f"small-{number}.onnx"
            start, busy = time.perf_counter(), time.process_time()
            whole.write(path, slices)
            times["slice_and_write_processor"].append(1e3 * (time.process_time() - busy))
            written = time.perf_counter()
            answer = open_session(str(path), 1)
            answer(row)
            loaded = time.perf_counter()
            small = extracted(module, anatomy, kept)
            before = time.perf_counter()
            export(small, example.numpy(), paths[1])
            times["export_by_torch"].append(1e3 * (time.perf_counter() - before))
            times["slice_and_write"].append(1e3 * (written - start))
            times["load_and_first_answer"].append(1e3 * (loaded - written))
            largest = max(largest, difference(answer, open_session(str(paths[1]), 1), rng))
    figures: dict[str, Any] = {
        "parameters": sum(each.numel() for each in module.parameters()),
        "subnetworks": SUBNETWORKS,
        "export_unfolded_once_ms": round(once_ms, 1),
        "ready_once_ms": round(ready_ms, 1),
        **{name: spread(found) for name, found in times.items()},
        "largest_relative_difference": largest,
    }
    write_result(asked.json, command_line(), figures)


def difference(one: Answer, other: Answer, rng: np.random.Generator) -> float:
    """The largest difference of outputs on 8 rows, relative to the largest output."""
    rows = rng.random((8, *SHAPE), dtype=np.float32)
    found, wanted = one(rows), other(rows)
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


if __name__ == "__main__":
    main()
