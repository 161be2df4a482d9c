"""The measuring lane: costs of finished model files, one round at a time, never beside a training on its core."""

import json
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steelyard.core.candidate import Candidate, Setting, loading_of
from steelyard.core.protocols import Runtime
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure
from steelyard.core.wire import content_key, dumps, write_text
from steelyard.graph.marks import DECODING, is_encoded
from steelyard.measure.environment import read_environment
from steelyard.measure.floor import floor_of, floor_subject
from steelyard.measure.latency import LEAST_PROCESSES, LatencyRound, Protocol, calibrate, measure_latency
from steelyard.measure.memory import Baseline, MemoryRound, measure_baseline, measure_memory
from steelyard.measure.process import Subject

log = logging.getLogger(__name__)

YARDSTICK_VERSION = 1
"""Raised when the yardstick's kernel changes: its nominal time is another one then."""
MEMORY_REPEATS = 1
"""Processes a model: peaks repeat within half a megabyte, and the baseline's spread stands in the interval."""
GLANCE_S = 1.5
"""Seconds of calls a model in a short round at most."""
INPUT_ROWS = 64
"""Real validation rows that inferences cycle through."""


PAIRED = "paired"
"""The note that holds the ratios of a model's latency to those of models beside it in its round."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What the lane found of one model."""

    metrics: Mapping[str, Quantity]
    notes: Mapping[str, Any]


@dataclass(slots=True)
class Lane:
    """Measures model files against the yardstick; keeps the baseline of memory for the run.

    With `pairs`, each model's latency is compared with that of what stands beside, process by process: far narrower
    than two intervals. While `floor` is not known, the Identity model at `identity` takes part in the next round, once
    it is there.
    """

    runtime: Runtime
    inputs: Path
    protocol: Protocol
    nominal_s: float
    seed: int
    identity: Path | None = None
    floor: Quantity | None = None
    pairs: bool = False
    rounds: list[tuple[int, float]] = field(default_factory=list)
    _baseline: Baseline | None = field(default=None, repr=False)

    def measure(self, subjects: Sequence[Subject], beside: Sequence[Subject] = ()) -> dict[str, Costs | Failure]:
        """Latency (together with the models `beside`) and memory of each subject, by key."""
        start = time.perf_counter()
        try:
            latency = self.latency([*beside, *subjects])
            memory = self.memory(subjects)
        finally:
            self._spent(len(subjects), start)
        results: dict[str, Costs | Failure] = {}
        for subject in subjects:
            error = latency.failures.get(subject.key) or memory.failures.get(subject.key)
            if error is not None:
                results[subject.key] = Failure("measure", error.message)
                continue
            peaks = memory.peaks[subject.key]
            metrics = {
                **latency.metrics[subject.key],
                "peak_memory_bytes": peaks["peak"],
                "load_memory_bytes": peaks["load"],
                "run_memory_bytes": peaks["run"],
            }
            notes: dict[str, Any] = {"latency": latency.notes[subject.key]}
            if self.pairs:
                notes[PAIRED] = _paired(latency, subject.key, [each.key for each in beside or subjects[:1]])
            results[subject.key] = Costs(metrics, notes)
        return results

    def latency(self, subjects: Sequence[Subject], *, limit_s: float | None = None) -> LatencyRound:
        """One interleaved round of latencies alone."""
        floors = self._floors()
        found = measure_latency(
            [*floors, *subjects], self.inputs, self.protocol, nominal_s=self.nominal_s, seed=self.seed, limit_s=limit_s
        )
        if floors:
            self.floor = floor_of(found)
        if found.noise is not None:
            # Waiting did not help: further rounds go on at once, and their intervals hold the noise.
            self.protocol = replace(self.protocol, waits_s=())
        return found

    def memory(self, subjects: Sequence[Subject]) -> MemoryRound:
        """Peak memory of each subject, against one baseline for the run."""
        if self._baseline is None:
            self._baseline = measure_baseline(self.inputs, self.protocol)
        return measure_memory(subjects, self.inputs, self.protocol, baseline=self._baseline, repeats=MEMORY_REPEATS)

    def glance(self, subjects: Sequence[Subject], limit_s: float) -> tuple[LatencyRound, Quantity | None]:
        """A short round for wide intervals, and the floor by it: the next whole round measures the floor anew."""
        floors = self._floors()
        quick = replace(self.protocol, processes=LEAST_PROCESSES, cap_s=GLANCE_S, waits_s=())
        found = measure_latency(
            [*floors, *subjects], self.inputs, quick, nominal_s=self.nominal_s, seed=self.seed, limit_s=limit_s
        )
        return found, floor_of(found) if floors and not found.failures else self.floor

    def subject(self, candidate: Candidate, path: Path) -> Subject:
        """A candidate's model file, as it is measured: with the candidate's threads and options."""
        threads, options = loading_of(candidate.options)
        pays_for = DECODING if is_encoded(path) else ()
        return Subject(candidate.key, path, options={**self._trust, **options}, threads=threads, pays_for=pays_for)

    @property
    def _trust(self) -> dict[str, Setting]:
        """What the study wrote itself can be trusted."""
        return {"trust": True} if self.runtime.runs_code else {}

    def _floors(self) -> list[Subject]:
        if self.identity is None or self.floor is not None or not self.identity.is_file():
            return []
        return [replace(floor_subject(self.identity), options=self._trust)]

    def _spent(self, subjects: int, start: float) -> None:
        self.rounds.append((subjects, time.perf_counter() - start))

    def expected_s(self, subjects: int) -> float:
        """Seconds that a round of so many models will take, from the rounds so far; 0 before the first."""
        if not self.rounds:
            return 0.0
        count, took = self.rounds[-1]
        # Half of a round starts processes and measures what stands beside; the other half grows with its models.
        return took * (0.5 + 0.5 * subjects / max(1, count))


def _paired(found: LatencyRound, key: str, others: Sequence[str]) -> dict[str, Any]:
    """The latency of a model over that of each other one of its round, with intervals, by the other's key."""
    return {
        other: found.ratio(key, other).quantity.to_json()
        for other in others
        if other != key and other in found.times and found.times[key].keys() & found.times[other].keys()
    }


def make_protocol(runtime: Runtime, *, batch: int, threads: int, cpu: int | None) -> Protocol:
    """The full protocol of confirmed points on a runtime."""
    return Protocol(loader=runtime.loader, imports=runtime.imports, batch=batch, threads=threads, cpu=cpu)


def nominal_time(cpu: int | None) -> float:
    """The yardstick's nominal time on this machine: measured once and cached, so that all studies share a scale.

    A machine has speed states; two studies scaled to different ones could not be compared. Where the cache can't be
    written, the study keeps a nominal time of its own.
    """
    environment = read_environment()
    machine = content_key([YARDSTICK_VERSION, environment.processor, environment.cores, environment.memory_bytes])
    path = cache_folder() / f"yardstick-{machine}.json"
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["nominal_s"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.debug("no nominal time in %s (%s)", path, error)
    nominal_s = calibrate(cpu=cpu)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, dumps({"nominal_s": nominal_s, "processor": environment.processor}))
    except OSError as error:
        log.info("the yardstick's nominal time can't be cached in %s (%s)", path, error)
    return nominal_s


def cache_folder() -> Path:
    """Where figures of this machine are kept between studies: XDG_CACHE_HOME/steelyard, or ~/.cache/steelyard."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "steelyard"
    except RuntimeError:
        # No home folder is known.
        return Path(tempfile.gettempdir()) / "steelyard"


def lanes(workers: int) -> tuple[int | None, tuple[int, ...]]:
    """The measuring lane's processor and the training lane's, of those this process may use.

    The last processor measures, the others train. On a single one both share it, and the engine takes turns.
    """
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not cpus:
        return None, ()
    if len(cpus) == 1:
        return cpus[0], tuple(cpus)
    return cpus[-1], tuple(cpus[: max(1, min(workers, len(cpus) - 1))])


def default_workers() -> int:
    """Cores less the measuring lane, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores - 1)
