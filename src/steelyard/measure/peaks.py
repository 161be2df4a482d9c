"""What one thread of this machine can do at best: products a second, bytes a second by working set, calls of kernels.

A peak is the best that anything here reached: numpy's BLAS and the runtime's own kernels on micro-models made for it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from steelyard.core.quantity import Quantity, Unit
from steelyard.core.wire import Plain
from steelyard.measure.calling import call
from steelyard.measure.child import import_modules, load_model
from steelyard.measure.latency import Protocol
from steelyard.measure.process import Subject, plain_models
from steelyard.measure.roofline import Bandwidth, Peaks
from steelyard.measure.timing import time_block, warm_up
from steelyard.measure.yardstick import make_yardstick

WORKING_SETS = (16 * 2**10, 256 * 2**10, 2**20, 4 * 2**20, 64 * 2**20, 512 * 2**20)
"""Bytes: a first-level cache, half a second-level one, and on to what few last-level caches hold. Sets of more than an
eighth of the memory are left out."""

SIDES = (256, 512, 1024)
"""Sides of the matrices that numpy multiplies."""

PROCESSES = 3
"""Fresh processes; the best one counts, and the range of all is the interval."""

PROBE_S = 0.06
"""Seconds a probe and process."""

PASS_BYTES = 8 * 2**20
"""A call that streams through a small working set passes it so often that so many bytes move, so that the call itself
costs nothing."""

_LIMIT_S = 60.0
_CHILD = "steelyard.measure.peaks:probe_here"
_IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Probe:
    """A micro-model: a file that makes the runtime do one kind of work.

    Attributes:
        subject: the model.
        type: of its products, "float32" or "int8"; "idle" for a chain of kernels that do nothing.
        work: MACs of a run, or kernels of the chain.
        shape: of its input.
        element: type of its input.
    """

    subject: Subject
    type: str
    work: int
    shape: tuple[int, ...]
    element: str


def measure_peaks(probes: Sequence[Probe], protocol: Protocol, *, nominal_s: float, memory_bytes: int) -> Peaks:
    """The machine's peaks for one thread, at the yardstick's nominal speed.

    Args:
        probes: at least one a type of product, and two chains of different lengths.
        protocol: loader, imports and processor.
        nominal_s: the yardstick's nominal time.
        memory_bytes: of the machine.

    Raises:
        MeasurementError: if a probe can't be measured.
    """
    models = plain_models([probe.subject for probe in probes], protocol.loader, 1)
    arguments = {
        "models": [
            {**model, "shape": probe.shape, "element": probe.element}
            for model, probe in zip(models, probes, strict=True)
        ],
        "imports": list(protocol.imports_of([probe.subject for probe in probes])),
        "working_sets": [size for size in WORKING_SETS if size <= memory_bytes // 8] or [WORKING_SETS[0]],
    }
    answers = [
        call(_CHILD, arguments, key="(peaks)", limit_s=_LIMIT_S, threads=1, cpu=protocol.cpu) for _ in range(PROCESSES)
    ]
    for answer in answers:
        # Seconds as they would be at the nominal speed: bytes, too, pass at the clock of the processor's own caches.
        answer["factor"] = nominal_s / answer["yardstick_s"]
    return _peaks(probes, answers)


def _peaks(probes: Sequence[Probe], answers: Sequence[Mapping[str, Any]]) -> Peaks:
    """Peaks from the seconds of every probe in every process."""
    seconds = {key: [answer["seconds"][key] * answer["factor"] for answer in answers] for key in answers[0]["seconds"]}
    rates: dict[str, dict[str, Quantity]] = defaultdict(dict)
    for probe in probes:
        if probe.type != _IDLE:
            took = seconds[probe.subject.key]
            rates[probe.type][probe.subject.key] = _best([probe.work / each for each in took], "1/s")
    for side in SIDES:
        key = f"numpy {side}"
        rates["float32"][key] = _best([side**3 / each for each in seconds[key]], "1/s")
    best = {kind: max(found, key=lambda key: found[key].value) for kind, found in rates.items()}
    return Peaks(
        macs_per_s={kind: rates[kind][key] for kind, key in best.items()},
        bandwidths=_bandwidths([(answer["bandwidth"], answer["factor"]) for answer in answers]),
        kernel_s=_kernel_s([probe for probe in probes if probe.type == _IDLE], seconds),
        best=best,
    )


def _bandwidths(answers: Sequence[tuple[Sequence[Sequence[float]], float]]) -> tuple[Bandwidth, ...]:
    """Bandwidth by working set: a smaller one fits wherever a larger one does, so its peak is no lower."""
    sizes = [int(size) for size, _ in answers[0][0]]
    rates = [
        _best([found[index][1] / factor for found, factor in answers], "1/s") for index in range(len(sizes))
    ]  # fmt: skip
    bandwidths: list[Bandwidth] = []
    for size, rate in sorted(zip(sizes, rates, strict=True), reverse=True):
        larger = bandwidths[0].rate if bandwidths else rate
        bandwidths.insert(0, Bandwidth(size, max(rate, larger, key=lambda each: each.value)))
    return tuple(bandwidths)


def _kernel_s(chains: Sequence[Probe], seconds: Mapping[str, Sequence[float]]) -> Quantity:
    """What one idle kernel adds: the longest chain less the shortest."""
    short, long = min(chains, key=lambda chain: chain.work), max(chains, key=lambda chain: chain.work)
    links = long.work - short.work
    pairs = zip(seconds[long.subject.key], seconds[short.subject.key], strict=True)
    return _best([max(0.0, slow - fast) / links for slow, fast in pairs], "s")


def _best(values: Sequence[float], unit: Unit) -> Quantity:
    """The best process's figure with the range of all: whatever else the machine does only makes them worse."""
    value = min(values) if unit == "s" else max(values)
    return Quantity(value, unit, low=min(values), high=max(values), n=len(values))


def probe_here(*, models: Sequence[Mapping[str, Any]], imports: Sequence[str], working_sets: Sequence[int]) -> Plain:
    """The called process's part: the best time of each probe, bandwidth by working set, the yardstick's time."""
    import_modules({"imports": imports, "models": models})
    yardstick = make_yardstick()
    warm_up(yardstick, [np.zeros(1)], PROBE_S)
    ticks = []
    seconds = {}
    for model in models:
        ticks += time_block(yardstick, [np.zeros(1)], 0, 20)
        rows = np.random.default_rng(0).integers(1, 200, model["shape"]).astype(model["element"])
        seconds[model["key"]] = _best_s(load_model(model), rows)
    for side in SIDES:
        ticks += time_block(yardstick, [np.zeros(1)], 0, 20)
        matrix = np.random.default_rng(0).random((side, side), dtype=np.float32)
        out = np.empty_like(matrix)
        seconds[f"numpy {side}"] = _best_s(partial(np.matmul, matrix, out=out), matrix)
    bandwidth = []
    for size in working_sets:
        ticks += time_block(yardstick, [np.zeros(1)], 0, 20)
        bandwidth.append([size, max(_copied(size), _added(size))])
    return {"seconds": seconds, "bandwidth": bandwidth, "yardstick_s": median(ticks) * 1e-9}


def _best_s(run: Callable[[Any], object], rows: NDArray[Any]) -> float:
    """The tenth percentile of many calls: the best that repeats."""
    warm_up(run, [rows], PROBE_S / 4)
    times: list[int] = []
    began = perf_counter()
    while len(times) < 5 or perf_counter() - began < PROBE_S:
        times += time_block(run, [rows], 0, 1)
    times.sort()
    return times[len(times) // 10] * 1e-9


def _copied(size: int) -> float:
    """Bytes a second of copying one half of a working set to the other."""
    half = size // 2 // 4
    source, target = np.ones(half, np.float32), np.zeros(half, np.float32)
    passes = max(1, PASS_BYTES // size)
    many, into = _repeated(source, passes), _repeated(target, passes)
    return passes * half * 8 / _best_s(lambda _: np.copyto(into, many), source)


def _added(size: int) -> float:
    """Bytes a second of adding two thirds of a working set into the third."""
    third = size // 3 // 4
    left, right, target = np.ones(third, np.float32), np.ones(third, np.float32), np.zeros(third, np.float32)
    passes = max(1, PASS_BYTES // size)
    first, second, into = (_repeated(each, passes) for each in (left, right, target))
    return passes * third * 12 / _best_s(lambda _: np.add(first, second, out=into), left)


def _repeated(array: NDArray[np.float32], passes: int) -> NDArray[np.float32]:
    """The array again and again, (passes, n), in the memory of one."""
    return as_strided(array, (passes, len(array)), (0, array.itemsize))
