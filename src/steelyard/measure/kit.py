"""Measuring the variants of a kit, on the machine that it was brought to. Needs numpy and the runtime only.

A kit carries this very file and what it imports, so both machines measure by the same rules. Its `measure.py` calls
`main`.
"""

import argparse
import importlib.util
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.candidate import loading_of
from steelyard.core.errors import BundleError, InputError, MeasurementError, MissingExtraError, SteelyardError
from steelyard.core.goal import parse_duration
from steelyard.core.kit import MANIFEST, Kit
from steelyard.core.measured import Measured, MeasuredPoint
from steelyard.core.wire import Plain, dumps, file_sha256, write_text
from steelyard.measure.environment import read_environment
from steelyard.measure.floor import floor_of, floor_subject
from steelyard.measure.latency import LatencyRound, Protocol, calibrate, measure_latency
from steelyard.measure.memory import measure_memory
from steelyard.measure.process import Subject

TWIN = "(twin)"
"""The chosen variant under a second name: what differs between the two is noise. No key looks like it."""

MEMORY = {"peak": "peak_memory_bytes", "load": "load_memory_bytes", "run": "run_memory_bytes"}
"""Names of the figures of a peak."""

CALIBRATIONS = 10
"""Processes that the yardstick's nominal time is the fastest of. No machine keeps it between kits, so each has its own;
with five, two runs on one machine were seen scaled 1.7 % apart."""

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the one who measures wants it; None is what the kit says."""

    processes: int = 8
    batch: int | None = None
    threads: int | None = None
    limit_s: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Costs:
    """What was found of all variants, before it is put together."""

    latencies: LatencyRound
    memory: Mapping[str, Any]
    failures: Mapping[str, str]
    absent: Mapping[str, str] = field(default_factory=dict)


def read_kit(folder: Path) -> Kit:
    """The kit in a folder, every file compared with its checksum.

    Raises:
        BundleError: if it is no kit, or a file is missing, changed or outside of it.
    """
    try:
        kit = Kit.from_json(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise BundleError(
            f"{folder / MANIFEST} describes no kit ({why}); unpack the kit's zip again.", field="kit"
        ) from error
    root = folder.resolve()
    for name, expected in kit.sha256.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(root) or not path.is_file() or file_sha256(path) != expected:
            raise BundleError(
                f"{name} of the kit is missing or was changed after it was made; unpack the kit's zip again.",
                field="kit",
            )
    for name in (kit.inputs, *(point.path for point in kit.points.values()), *([kit.floor] if kit.floor else [])):
        if name not in kit.sha256:
            raise BundleError(f"{name} of the kit has no checksum; make the kit again.", field="kit")
    if kit.chosen not in kit.points:
        raise BundleError("the kit lacks the chosen variant; make it again.", field="kit")
    return kit


def check_imports(kit: Kit) -> None:
    """Refuse to begin where a runtime is not installed.

    Raises:
        MissingExtraError: with the line that installs what the kit needs.
    """
    for name in dict.fromkeys(name for point in kit.points.values() for name in point.imports):
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            raise MissingExtraError(
                f"the kit needs {name}, which is not installed here; run: pip install {' '.join(kit.packages)}.",
                field="kit",
            )


def measure_kit(folder: Path, settings: Settings, note: Note) -> Measured:
    """Measure every variant of a kit together.

    Args:
        folder: where the kit was unpacked.
        settings: how.
        note: is told what goes on, a few times in all.

    Raises:
        BundleError: if the kit is not whole.
        MissingExtraError: if a runtime is not installed.
        MeasurementError: if nothing can be measured here.
    """
    kit = read_kit(folder)
    check_imports(kit)
    protocol = _protocol(kit, settings)
    note(f"kit {kit.key} of {kit.task}: {len(kit.points)} variants, {protocol.processes} processes each")
    nominal_s = calibrate(cpu=protocol.cpu, processes=CALIBRATIONS)
    note(f"the yardstick takes {nominal_s * 1e6:.0f} µs; measuring latency")
    latencies = _latencies(kit, folder, protocol, nominal_s, settings)
    note("measuring memory")
    costs = _with_memory(kit, folder, protocol, latencies)
    measured = _points(kit, costs)
    if not measured:
        raise MeasurementError(f"no variant could be measured here: {'; '.join(costs.failures.values())}")
    return Measured(
        kit=kit.key,
        study=kit.study,
        environment=read_environment(),
        points=measured,
        ratios=_ratios(costs.latencies, sorted(measured)),
        failures=costs.failures,
        absent=costs.absent,
        how=_how(kit, protocol, settings, nominal_s, costs.latencies),
    )


def _protocol(kit: Kit, settings: Settings) -> Protocol:
    first = next(iter(kit.points.values()))
    return Protocol(
        loader=first.loader,
        imports=tuple(dict.fromkeys(name for point in kit.points.values() for name in point.imports)),
        batch=settings.batch or kit.batch,
        threads=settings.threads or kit.threads,
        processes=settings.processes,
        cpu=_processor(),
    )


def _processor() -> int | None:
    """The last processor that this process may use, as at home: interrupts prefer the first. None for no pinning."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _subject(kit: Kit, folder: Path, key: str, name: str) -> Subject:
    point = kit.points[key]
    threads, options = loading_of(point.options)
    return Subject(name, folder / point.path, point.loader, point.imports, options, threads)


def _latencies(kit: Kit, folder: Path, protocol: Protocol, nominal_s: float, settings: Settings) -> LatencyRound:
    """One round of every variant, the twin of the chosen one, and the model that does nothing."""
    subjects = [_subject(kit, folder, key, key) for key in kit.points]
    subjects.append(_subject(kit, folder, kit.chosen, TWIN))
    if kit.floor is not None:
        subjects.append(floor_subject(folder / kit.floor))
    return measure_latency(
        subjects, folder / kit.inputs, protocol, nominal_s=nominal_s, seed=settings.seed, limit_s=settings.limit_s
    )


def _with_memory(kit: Kit, folder: Path, protocol: Protocol, latencies: LatencyRound) -> _Costs:
    """The latencies with the peaks of what could be timed; why there are none where the system tells none."""
    failures = {key: error.message for key, error in latencies.failures.items() if key in kit.points}
    absent = {"energy_j": "a kit reads no energy counter"}
    subjects = [_subject(kit, folder, key, key) for key in kit.points if key in latencies.metrics]
    try:
        found = measure_memory(subjects, folder / kit.inputs, protocol)
    except MeasurementError as error:
        return _Costs(latencies, {}, failures, absent | dict.fromkeys(MEMORY.values(), error.message))
    failures |= {key: error.message for key, error in found.failures.items()}
    return _Costs(latencies, found.peaks, failures, absent)


def _points(kit: Kit, costs: _Costs) -> dict[str, MeasuredPoint]:
    """The figures of each variant that was measured to the end."""
    latencies = costs.latencies
    floor = {} if kit.floor is None else {"latency_floor_s": floor_of(latencies)}
    points = {}
    for key, point in kit.points.items():
        if key in costs.failures or key not in latencies.metrics:
            continue
        peaks = costs.memory.get(key, {})
        metrics = {**latencies.metrics[key], **floor, **{MEMORY[name]: peak for name, peak in peaks.items()}}
        points[key] = MeasuredPoint(kit.sha256[point.path], metrics, {"latency": latencies.notes[key]})
    return points


def _ratios(latencies: LatencyRound, keys: Sequence[str]) -> dict[str, Any]:
    """Paired ratios of every two variants, one way round: the other is its inverse."""
    return {f"{a}/{b}": latencies.ratio(a, b).quantity for a, b in itertools.combinations(keys, 2)}


def _how(kit: Kit, protocol: Protocol, settings: Settings, nominal_s: float, latencies: LatencyRound) -> Plain:
    return {
        "batch": protocol.batch,
        "threads": protocol.threads,
        "processes": settings.processes,
        "cpu": protocol.cpu if protocol.threads == 1 else None,
        "inputs": kit.input_kind,
        "nominal_s": nominal_s,
        "seed": settings.seed,
        "twin": _twin(kit, latencies),
    }


def _twin(kit: Kit, latencies: LatencyRound) -> Plain:
    """One file compared with itself: a difference that is told apart here is noise taken for a finding."""
    if kit.chosen not in latencies.times or TWIN not in latencies.times:
        return None
    ratio = latencies.ratio(kit.chosen, TWIN)
    return {"of": kit.chosen, "ratio": ratio.quantity.to_json(), "is_different": ratio.is_different}


def settings_of(argv: Sequence[str]) -> tuple[Settings, Path]:
    """The settings and the file to write, from the arguments of `measure.py`; `SystemExit` where they are no such.

    Raises:
        InputError: if a value is out of range.
    """
    parser = argparse.ArgumentParser(
        prog="measure.py", description="Measure the models of this kit on this machine; prints JSON and writes it."
    )
    parser.add_argument("--processes", type=int, default=8, help="fresh processes a model [8]")
    parser.add_argument("--threads", type=int, help="threads of variants without their own [the bundle's]")
    parser.add_argument("--batch", type=int, help="rows an inference [the bundle's]")
    parser.add_argument("--budget", help="start no further process after this time: 60s, 10m [none]")
    parser.add_argument("--out", default="measured.json", help="the file to write [measured.json]")
    given = parser.parse_args(list(argv))
    for name, most in (("processes", 1000), ("threads", 1024), ("batch", 2**16)):
        count = getattr(given, name)
        if count is not None and not 1 <= count <= most:
            raise InputError(f"'{name}' must be a whole number from 1 to {most}, got {count}.", field=name)
    limit_s = None if given.budget is None else parse_duration(given.budget)
    settings = Settings(processes=given.processes, batch=given.batch, threads=given.threads, limit_s=limit_s)
    return settings, Path(given.out)


def main(folder: Path, argv: Sequence[str]) -> int:
    """Measure, print the JSON and write it; returns the exit status: 2 and one sentence for what can be mended."""
    try:
        settings, out = settings_of(argv)
        if not out.parent.is_dir():
            raise InputError(f"'out' {out} lies in no folder that exists; name another file.", field="out")
        measured = measure_kit(folder, settings, _say)
        text = dumps(measured.to_json(), indent=1) + "\n"
        write_text(out, text)
    except (SteelyardError, OSError) as error:
        _say(" ".join(str(error).split()))
        return 1 if isinstance(error, MeasurementError) else 2
    except KeyboardInterrupt:
        _say("interrupted; nothing was written")
        return 130
    twin = measured.how["twin"]
    if twin is not None and twin["is_different"]:
        _say("one file seemed to differ from itself: the machine is noisy, so measure again when it is quiet")
    for key, why in measured.failures.items():
        _say(f"{key} could not be measured: {why}")
    sys.stdout.write(text)
    return 0


def _say(sentence: str) -> None:
    sys.stderr.write(f"measure.py: {sentence}\n")
    sys.stderr.flush()
