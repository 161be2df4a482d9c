"""A quick look at a model file: its quality on some rows, its latency in a living process, its bytes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelyard.core.candidate import Setting, loading_of
from steelyard.core.protocols import Exporter, Feed, Metric, Runtime, Session
from steelyard.core.registry import Registry
from steelyard.core.task import Rows, feed_of
from steelyard.engine.conversion import artifact_bytes
from steelyard.engine.evaluating import outputs_of

CALLS = 24
"""Timed calls of an explored candidate. Looks order candidates; single ones differ from the full protocol by up to a
quarter of it (`benchmarks/search_replay.py` tells how far they agree)."""


@dataclass(frozen=True, slots=True)
class Look:
    """How looks are taken: by the runtime that ships, with as many rows and threads as are asked for.

    `times` is whether latencies are looked at too; without, a look tells quality and bytes.
    """

    runtime: Runtime
    exporter: Exporter
    metric: Metric
    rows: Rows
    batch: int = 1
    threads: int = 1
    times: bool = True

    @classmethod
    def by(cls, registry: Registry, runtime: str, metric: Metric, rows: Rows, *, batch: int, threads: int) -> "Look":
        """The looks of a runtime; one that reads no ONNX file is looked at by ONNX Runtime, without its times."""
        exporter: Exporter = registry.get("exporter", runtime)
        reads = "onnx" in exporter.sources
        name = runtime if reads else "onnxruntime"
        return cls(
            registry.get("runtime", name),
            registry.get("exporter", name),
            metric,
            rows,
            batch=batch,
            threads=threads,
            times=reads,
        )

    def file(self, source: Path) -> Path:
        """The runtime's own file of an ONNX file, beside it."""
        path = source.with_suffix(self.runtime.suffix)
        if path != source:
            self.exporter.convert(source, path)
        return path

    def size_bytes(self, path: Path) -> int:
        """The bytes of a runtime's file."""
        return artifact_bytes(path, self.runtime.companions)

    def quality(self, path: Path) -> float:
        """The metric of a runtime's file on the rows; options and threads change no output."""
        session = self.runtime.load(path, threads=1, trust=True)
        return float(self.metric(outputs_of(session.run, self.rows), self.rows.y))

    def latency_s(self, path: Path, options: tuple[tuple[str, Setting], ...] = ()) -> float | None:
        """The median seconds of some calls with these options; None where times are not looked at."""
        if not self.times:
            return None
        own, rest = loading_of(options)
        threads = own or self.threads
        with processors_for(threads):
            session = self.runtime.load(path, threads=threads, trust=True, **rest)
            return quick_latency(session, self._feed())

    def _feed(self) -> Feed:
        some = np.resize(np.arange(len(self.rows)), self.batch)
        return feed_of(self.rows.x[some])


def quick_latency(session: Session, feed: Feed) -> float:
    """The median time of some calls, in this process."""
    took = []
    for _ in range(CALLS + CALLS // 3):
        start = time.perf_counter()
        session.run(feed)
        took.append(time.perf_counter() - start)
    return float(np.median(took[CALLS // 3 :]))


@contextmanager
def processors_for(threads: int) -> Iterator[None]:
    """Let this process use as many processors as its parent may while several threads are looked at.

    A worker is confined to the training lane; where a candidate has several threads, the lanes take turns, so the
    other processors are idle.
    """
    if threads == 1 or not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, own | os.sched_getaffinity(os.getppid()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
