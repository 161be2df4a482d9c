"""Latency by the full protocol: fresh processes, models interleaved with the yardstick, intervals over processes."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.errors import InputError, MeasurementError
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain
from steelyard.measure.process import ChildError, Inputs, Subject, input_file, plain_models, run_child
from steelyard.measure.resampling import (
    ProcessTimes,
    Ratio,
    half_width,
    inverse,
    median_of,
    median_quantity,
    percentile_quantity,
    ratio_of,
    raw_median_s,
)

CALLS = 1000
"""Calls a model in a whole round at least: what p95 by order statistics asks for (design, section 8)."""

PERCENTILES = {"latency_p95_s": 0.95, "latency_p99_s": 0.99}
"""Which metric is which percentile."""

LEAST_PROCESSES = 3
"""Processes that a round runs even if its time is up: fewer give no interval worth the name."""

_YARDSTICK_LIMIT_S = 30.0
"""Seconds a process with the yardstick alone may take: it needs half a second on an idle machine."""

QUIET = 0.9
"""Share of its processor below which a process was disturbed: something else ran there for a tenth of the time."""

MOST_PROCESSES = 100
"""Processes of a round that looks for a narrow interval: it narrows by a tenth with the last twenty."""

LIMIT_S = 60.0
"""Seconds that such a round takes at most, unless told otherwise."""

_REPEATED = 2
"""A process that was killed may be innocent of it once: the model is tried alone before it is given up."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a round is run.

    Attributes:
        loader: address of the callable `(path, threads, **options) -> run`, for subjects without one of their own.
        imports: modules that the loader imports late; the process imports them first, so that no model pays for them.
        batch: rows an inference.
        threads: threads of the runtime, for subjects without their own; with more than one the process is not pinned.
        stacked: whether each entry of the inputs is that of one inference, whole; `batch` only scales throughput then.
        processes: fresh processes, one after another.
        cpu: the processor they are pinned to, None for none.
        block_s: seconds a block of calls takes, where a call is shorter.
        warm_s: least seconds of warm-up a model.
        cap_s: seconds of measuring a model in the whole round; a slow model gets fewer calls, and no percentile that
            needs more.
        start_s: seconds a process may take to start, import its runtime and read the inputs, on a crowded machine.
        waits_s: seconds that a round waits for a disturbed machine to become quiet, each wait before another try.
        load_s: seconds a process may take to load and warm up one model; what needs more is no candidate.
    """

    loader: str
    imports: tuple[str, ...] = ()
    batch: int = 1
    threads: int = 1
    stacked: bool = False
    processes: int = 8
    cpu: int | None = None
    block_s: float = 0.002
    warm_s: float = 0.05
    cap_s: float = 30.0
    start_s: float = 30.0
    load_s: float = 20.0
    waits_s: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __post_init__(self) -> None:
        """Refuse counts below one.

        Raises:
            InputError: naming the field.
        """
        for name in ("batch", "threads", "processes"):
            if getattr(self, name) < 1:
                raise InputError(f"'{name}' must be at least 1, got {getattr(self, name)!r}.", field=name)

    def imports_of(self, models: Sequence[Subject]) -> tuple[str, ...]:
        """Modules that the loaders of these models import late, each once; the protocol's own where there is none."""
        each = [model.imports for model in models if model.loader is not None]
        if len(each) < len(models) or not models:
            each.insert(0, self.imports)
        return tuple(dict.fromkeys(name for names in each for name in names))

    def threads_of(self, model: Subject) -> int:
        """Threads of the runtime for a model: its own, or the protocol's."""
        return model.threads or self.threads

    def is_pinned(self, threads: int) -> bool:
        """Whether a process with so many threads keeps to one processor."""
        return threads == 1 and self.cpu is not None

    def request(self, kind: str, inputs: Path, models: Sequence[Subject]) -> dict[str, Any]:
        """The part of a request that is the same for every process."""
        threads = max(map(self.threads_of, models), default=self.threads)
        return {
            "kind": kind,
            "models": plain_models(models, self.loader, self.threads),
            "inputs": str(inputs),
            "imports": list(self.imports_of(models)),
            "batch": self.batch,
            "stacked": self.stacked,
            "threads": threads,
            "cpu": self.cpu if self.is_pinned(threads) else None,
            "warm_s": self.warm_s,
            "block_s": self.block_s,
            "cap_s": self.cap_s / self.processes,
        }


@dataclass(frozen=True, slots=True)
class Narrow:
    """How narrow the intervals of a round must be for it to end before its time.

    Attributes:
        to: relative half-width.
        ratios: whether it is the ratios to the first model that must be narrow, not each model's p50.
    """

    to: float = 0.02
    ratios: bool = False

    def __post_init__(self) -> None:
        """Refuse widths that no round can reach or that say nothing.

        Raises:
            InputError: naming the field.
        """
        if not 0 < self.to < 1:
            raise InputError(
                f"'half_width' must lie between 0 and 1, such as 0.02, got {self.to!r}.", field="half_width"
            )


@dataclass(frozen=True, slots=True)
class LatencyRound:
    """Latencies of models that were measured together.

    Attributes:
        metrics: by model: latency_p50_s, latency_p95_s and latency_p99_s where there are calls enough,
            throughput_per_s (batch over p50: one stream of inferences, no queue), and load_s (loading the file in a
            fresh process, the runtime imported already).
        notes: by model: raw_p50_s (not scaled by the yardstick), calls, processes, yardstick_s, half_width (of p50's
            interval, relative).
        failures: by model that could not be measured: why.
        times: by model: its processes, for ratios.
        noise: None, or a sentence on what disturbed the round to its end.
    """

    metrics: Mapping[str, Mapping[str, Quantity]]
    notes: Mapping[str, Plain]
    failures: Mapping[str, MeasurementError]
    times: Mapping[str, Mapping[int, ProcessTimes]] = field(repr=False)
    noise: str | None = None

    def ratio(self, slow: str, fast: str) -> Ratio:
        """How many times as long the model `slow` takes as the model `fast`, paired by the processes' numbers.

        Raises:
            MeasurementError: if one of the two was not measured, or never beside the other.
        """
        for key in (slow, fast):
            if key not in self.times:
                raise MeasurementError(f"model {key!r} has no latency in this round.")
        both = sorted(self.times[slow].keys() & self.times[fast].keys())
        if not both:
            raise MeasurementError(f"models {slow!r} and {fast!r} were never measured in one process.")
        return ratio_of([self.times[slow][i] for i in both], [self.times[fast][i] for i in both])


def measure_latency(
    models: Sequence[Subject],
    inputs: Inputs,
    protocol: Protocol,
    *,
    nominal_s: float,
    seed: int = 0,
    limit_s: float | None = None,
    narrow: Narrow | None = None,
) -> LatencyRound:
    """Measure models together, in one round of fresh processes.

    A model that crashes, hangs or exhausts memory is left out of the rest of the round and named in `failures`. A
    process that something else disturbed is run again after a wait; what stays noisy is said in `noise`.

    Args:
        models: what to measure, the reference among them.
        inputs: real input rows (n, ...), or a file of them.
        protocol: how.
        nominal_s: the yardstick's nominal time, from `calibrate`.
        seed: of the order of blocks and of the bootstrap.
        limit_s: seconds of the round after which no further process starts (at least three run).
        narrow: how narrow intervals must be for the round to end; None ends it after the protocol's processes.
    """
    most = protocol.processes if narrow is None else MOST_PROCESSES
    if narrow is not None and limit_s is None:
        limit_s = LIMIT_S
    with input_file(inputs) as path:
        collector = _Collector(protocol, path, list(models), seed, nominal_s)
        began = time.monotonic()
        for number in range(most):
            spent = time.monotonic() - began
            # The next process would take as long as the ones before did.
            is_over = limit_s is not None and number > 0 and spent * (number + 1) / number > limit_s
            if not collector.models or (is_over and number >= LEAST_PROCESSES):
                break
            if narrow is not None and number >= protocol.processes and collector.widest(narrow) <= narrow.to:
                break
            collector.collect(number)
    return _summarise(collector)


class _Collector:
    """The processes of a round: what they measured, and which models had to be left out."""

    def __init__(self, protocol: Protocol, inputs: Path, models: list[Subject], seed: int, nominal_s: float) -> None:
        self.protocol = protocol
        self.inputs = inputs
        self.models = models
        self.seed = seed
        self.nominal_s = nominal_s
        self.times: dict[str, dict[int, ProcessTimes]] = {model.key: {} for model in models}
        self.failures: dict[str, MeasurementError] = {}
        self.suspected: dict[str, int] = {}
        self.waits = list(protocol.waits_s)
        self.disturbed: list[bool] = []
        self.loads: dict[str, list[float]] = {}

    def collect(self, number: int) -> None:
        """Run process `number`: one for each count of threads among the models, one after another.

        Threads are a matter of the process: pinning, OMP_NUM_THREADS, and in torch and ExecuTorch the pool itself. So
        no figure depends on how many threads the models beside it have, and models of one thread stay pinned.
        """
        for threads in sorted({self.protocol.threads_of(model) for model in self.models}):
            self._collect(threads, number)

    def _collect(self, threads: int, number: int) -> None:
        """Run the process of models with so many threads, again without the culprit as long as there is one."""
        while models := [model for model in self.models if self.protocol.threads_of(model) == threads]:
            try:
                answer = self._run(models, number)
            except ChildError as error:
                self._blame(error, models, number)
                continue
            # Several threads share a processor with each other: only a pinned process can tell that it lacked its own.
            is_disturbed = self.protocol.is_pinned(threads) and answer["share"] < QUIET
            if is_disturbed and self.waits:
                time.sleep(self.waits.pop(0))
                continue
            self.disturbed.append(is_disturbed)
            scale = self.nominal_s / (float(np.median(answer["yardstick"])) * 1e-9)
            for key, seconds in answer["load_s"].items():
                self.loads.setdefault(key, []).append(seconds * scale)
            yardstick = np.asarray(answer["yardstick"]) * 1e-9
            for key, blocks in answer["blocks"].items():
                seconds = tuple(np.asarray(block) * 1e-9 for block in blocks)
                self.times[key][number] = ProcessTimes(seconds, yardstick)
            return

    def widest(self, narrow: Narrow) -> float:
        """The widest relative half-width of the intervals that must be narrow."""
        times = [list(self.times[model.key].values()) for model in self.models]
        if narrow.ratios:
            # A model that was left out and tried alone may lack a process; pairs are what both have.
            first = self.times[self.models[0].key]
            quantities = []
            for model in self.models[1:]:
                both = sorted(first.keys() & self.times[model.key].keys())
                own = [self.times[model.key][i] for i in both]
                quantities.append(ratio_of(own, [first[i] for i in both], self.seed).quantity)
        else:
            quantities = [median_quantity(each, self.nominal_s, self.seed) for each in times if each]
        return max(map(half_width, quantities), default=0.0)

    def noise(self) -> str | None:
        """What disturbed the processes that count, in a sentence; None where they were quiet."""
        if not any(self.disturbed):
            return None
        waited = sum(self.protocol.waits_s) - sum(self.waits)
        return (
            f"something else ran on the measuring core in {sum(self.disturbed)} of {len(self.disturbed)} processes, "
            f"also after {waited:g} s of waiting; the intervals hold it"
        )

    def _run(self, models: Sequence[Subject], number: int) -> dict[str, Any]:
        request = self.protocol.request("latency", self.inputs, models)
        # Each process gets its share of the calls, one more than needed if they don't divide.
        request |= {"calls": -(-CALLS // self.protocol.processes), "seed": self.seed + number}
        limit_s = self.protocol.start_s + len(models) * (self.protocol.load_s + 2 * request["cap_s"])
        return run_child(request, limit_s=limit_s)

    def _blame(self, error: ChildError, models: Sequence[Subject], number: int) -> None:
        """Leave out the model that the process died on, of those it had.

        Raises:
            MeasurementError: if no model is to blame: then the inputs, the loader or the machine are.
        """
        culprit = next((model for model in models if model.key == error.key), None)
        if culprit is None:
            raise MeasurementError(error.message) from error
        self.suspected[culprit.key] = self.suspected.get(culprit.key, 0) + 1
        if not error.is_certain and self.suspected[culprit.key] < _REPEATED and len(models) > 1:
            try:
                self._run([culprit], number)
            except ChildError as alone:
                error = alone
            else:
                return
        self.models = [model for model in self.models if model is not culprit]
        self.failures[culprit.key] = MeasurementError(error.message)


def _summarise(collector: _Collector) -> LatencyRound:
    """Figures of every model that was measured to the end."""
    nominal_s, seed = collector.nominal_s, collector.seed
    times = {key: each for key, each in collector.times.items() if each and key not in collector.failures}
    metrics, notes = {}, {}
    for key, by_process in times.items():
        processes = list(by_process.values())
        p50 = median_quantity(processes, nominal_s, seed)
        figures = {"latency_p50_s": p50, "throughput_per_s": inverse(p50, collector.protocol.batch, "1/s")}
        figures["load_s"] = median_of(collector.loads[key], seed)
        for name, quantile in PERCENTILES.items():
            quantity = percentile_quantity(processes, quantile, nominal_s, seed)
            if quantity is not None:
                figures[name] = quantity
        metrics[key] = figures
        notes[key] = {
            "raw_p50_s": raw_median_s(processes),
            "calls": sum(each.calls for each in processes),
            "processes": len(processes),
            "yardstick_s": float(np.median([np.median(each.yardstick) for each in processes])),
            "nominal_s": nominal_s,
            "half_width": half_width(p50) if len(processes) > 1 else None,
        }
    return LatencyRound(metrics, notes, collector.failures, times, collector.noise())


def calibrate(*, cpu: int | None = None, processes: int = 5) -> float:
    """The yardstick's nominal time in seconds: its median in the fastest of a few fresh processes.

    Measured once a study and kept with it: every later latency is scaled to this speed of the machine. The fastest,
    because whatever else the machine does only slows it down.
    """
    return min(float(np.median(medians)) for medians in yardstick_medians(cpu=cpu, processes=processes))


def yardstick_medians(*, cpu: int | None = None, processes: int = 3, blocks: int = 30) -> list[NDArray[Any]]:
    """Seconds of the yardstick: one array of block medians for each of a few fresh processes.

    Raises:
        MeasurementError: if a process fails.
    """
    request = {"kind": "yardstick", "threads": 1, "cpu": cpu, "warm_s": 0.05, "block_s": 0.002, "blocks": blocks}
    answers = [run_child(request, limit_s=_YARDSTICK_LIMIT_S) for _ in range(processes)]
    return [np.asarray(answer["yardstick"]) * 1e-9 for answer in answers]
