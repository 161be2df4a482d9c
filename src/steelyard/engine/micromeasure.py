"""The process that measures micro-models: `python -m steelyard.engine.micromeasure`.

Reads one JSON request from standard input and writes one JSON line a micro-model to standard output, so that whatever
was measured before it is stopped is kept.
"""

import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from steelyard.core.task import Array
from steelyard.graph.kernels import Program, program_of
from steelyard.graph.micro.builder import Feed
from steelyard.graph.micro.mixture import draw_micro
from steelyard.graph.reading import read_graph
from steelyard.measure.timing import NS, Run, time_block, warm_up
from steelyard.measure.yardstick import make_yardstick
from steelyard.runtimes.onnxruntime.profiled import open_profiled
from steelyard.runtimes.onnxruntime.run import open_session

_PROFILED_S = 0.03
"""Seconds of profiled runs a model."""
_PROFILED = (6, 48)
"""Fewest and most profiled runs: the record of each run is a text that must be read."""
_WARM_S = 0.02
"""Seconds that a model runs before it is timed."""
_BLOCKS = 7
_BLOCK_S = 0.003
_YARDSTICK_CALLS = 9


def make_arrays(feeds: tuple[Feed, ...], seed: int) -> dict[str, Array]:
    """Random input arrays by name."""
    rng = np.random.default_rng(seed)
    return {
        feed.name: rng.integers(0, feed.below, feed.shape)
        if feed.type == "int64"
        else rng.standard_normal(feed.shape, dtype=np.float32)
        for feed in feeds
    }


def open_micro(number: str, threads: int) -> Run:
    """The loader of micro-model `number` for a measurement by the full protocol; its inputs are its own."""
    micro = draw_micro(int(number))
    arrays = make_arrays(micro.feeds, int(number))
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(micro.model.SerializeToString())
        file.flush()
        run = open_session(file.name, threads)

    def call(_: object) -> object:
        return run(arrays)

    return call


def measure_micro(number: int, folder: Path, nominal_s: float, yardstick: Run) -> dict[str, Any]:
    """The record of micro-model `number`: its time, and its kernels with theirs."""
    micro = draw_micro(number)
    arrays = make_arrays(micro.feeds, number)
    optimised = folder / "optimised.onnx"
    session = open_profiled(micro.model.SerializeToString(), optimised)
    began = time.perf_counter()
    session.run(arrays)
    session.run(arrays)
    call_s = (time.perf_counter() - began) / 2
    for _ in range(min(_PROFILED[1], max(_PROFILED[0], round(_PROFILED_S / call_s)))):
        session.run(arrays)
    seconds = session.stop()
    times, marks = [], []
    call_s = median(time_block(session.run, [arrays], 0, 3)) * NS
    for _ in range(min(200, round(_WARM_S / call_s))):
        session.run(arrays)
    calls = max(1, min(64, round(_BLOCK_S / call_s)))
    for _ in range(_BLOCKS):
        marks.append(median(time_block(yardstick, [arrays], 0, _YARDSTICK_CALLS)) * NS)
        session.run(arrays)
        times.append(median(time_block(session.run, [arrays], 0, calls)) * NS)
    scale = nominal_s / median(marks)
    program = program_of(read_graph(optimised), {feed.name: feed.shape for feed in micro.feeds})
    return {
        "number": number,
        "style": micro.style,
        "mode": micro.mode,
        "seconds": median(times) * scale,
        "yardstick_s": median(marks),
        "weight_bytes": program.weight_bytes,
        "activation_bytes": program.activation_bytes,
        "kernels": plain_kernels(program, seconds, scale),
    }


def plain_kernels(program: Program, seconds: Mapping[str, float], scale: float) -> list[list[Any]]:
    """Each kernel as [kind, numbers, seconds or None]."""
    return [
        [each.kind, list(each.numbers), seconds[each.name] * scale if each.name in seconds else None]
        for each in program.kernels
    ]


def main() -> int:
    """Measure micro-models from number `first` on until `until_s` seconds have gone; 0 at the end."""
    request = json.loads(sys.stdin.readline())
    signal.alarm(int(request["until_s"]) + 30)
    parent = os.getppid()
    if request["cpu"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {request["cpu"]})
    began, number = time.monotonic(), request["first"]
    # Made before any model is loaded, as in a measurement: where its matrices lie changes its time by some percent.
    yardstick = make_yardstick()
    warm_up(yardstick, [np.zeros(1)], 0.1)
    gc.disable()
    with tempfile.TemporaryDirectory(prefix="steelyard-micro-") as folder:
        while time.monotonic() - began < request["until_s"] and os.getppid() == parent:
            try:
                record = measure_micro(number, Path(folder), request["nominal_s"], yardstick)
            except Exception as error:  # noqa: BLE001 - a runtime may refuse a model for any reason; the next goes on
                record = {"number": number, "error": f"{type(error).__name__}: {error}"[:300]}
            sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\n")
            sys.stdout.flush()
            number += 1
            gc.collect()
    return 0


if __name__ == "__main__":
    sys.exit(main())
