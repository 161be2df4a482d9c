"""Peak memory of a model: a fresh process with it, less the same process without any model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import MeasurementError
from steelyard.core.quantity import Quantity
from steelyard.measure.latency import Protocol
from steelyard.measure.process import ChildError, Inputs, Subject, input_file, run_child

BASELINES = 3
"""Processes without a model: their spread is part of every interval."""

REPEATS = 2
"""Processes a model: peaks repeat within a few hundred kB, so two show whether something went wrong."""

CALLS = 10
"""Inferences in the running part: memory is claimed in the first ones."""

Peaks = Mapping[str, Quantity]


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak resident bytes of one process, loading and running."""

    load: int
    run: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """Peaks of processes without a model, and whether the peak could be reset between loading and running.

    Where it could not, "run" includes "load".
    """

    peaks: tuple[Peak, ...]
    was_reset: bool


@dataclass(frozen=True, slots=True)
class MemoryRound:
    """Peaks of models that were measured against the same baseline.

    Attributes:
        peaks: by model: "load", "run" and "peak" (the larger of the two), in bytes.
        failures: by model that could not be measured: why.
        baseline: what was subtracted.
    """

    peaks: Mapping[str, Peaks]
    failures: Mapping[str, MeasurementError]
    baseline: Baseline


def measure_baseline(inputs: Inputs, protocol: Protocol, *, repeats: int = BASELINES) -> Baseline:
    """Peaks of processes with the runtime and the inputs but no model. Good for every model with the same of both.

    Raises:
        MeasurementError: if a process fails, or the system has no /proc.
    """
    with input_file(inputs) as path:
        answers = [_run(protocol, path, ()) for _ in range(repeats)]
    return Baseline(tuple(_peak(answer) for answer in answers), all(answer["was_reset"] for answer in answers))


def measure_memory(
    subjects: Sequence[Subject],
    inputs: Inputs,
    protocol: Protocol,
    *,
    baseline: Baseline | None = None,
    repeats: int = REPEATS,
) -> MemoryRound:
    """Peak memory of each model above that of a process with the runtime and the inputs but no model.

    The figure is the difference of means; its interval reaches from the least to the greatest difference seen between
    a process with and one without the model (a range, wider than 95 %: there are too few processes for less). The
    first model of a process also pays for what its runtime sets up once, as it does where it is deployed.

    Args:
        subjects: the models.
        inputs: real input rows (n, ...), or an .npy file of them.
        protocol: loader, imports, batch and threads; its other settings do not matter here.
        baseline: from `measure_baseline`; measured anew where None.
        repeats: processes a model.

    Raises:
        MeasurementError: if the process without a model fails, or the loader imports modules that `imports` lacks.
    """
    peaks: dict[str, Peaks] = {}
    failures: dict[str, MeasurementError] = {}
    empty = measure_baseline(inputs, protocol) if baseline is None else baseline
    with input_file(inputs) as path:
        for subject in subjects:
            try:
                answers = [_run(protocol, path, (subject,)) for _ in range(repeats)]
            except ChildError as error:
                failures[subject.key] = MeasurementError(error.message)
                continue
            _check_imports([each for each in answers[0]["imported"] if each not in subject.pays_for], protocol)
            peaks[subject.key] = compare([_peak(answer) for answer in answers], empty.peaks)
    return MemoryRound(peaks, failures, empty)


def _run(protocol: Protocol, inputs: Path, models: Sequence[Subject]) -> dict[str, Any]:
    request = {**protocol.request("memory", inputs, models), "calls": CALLS}
    return run_child(request, limit_s=protocol.start_s + protocol.load_s + protocol.cap_s)


def _peak(answer: Mapping[str, Any]) -> Peak:
    return Peak(answer["load"], answer["run"])


def _check_imports(imported: Sequence[str], protocol: Protocol) -> None:
    """Refuse a figure in which a library would be charged to the model.

    Raises:
        MeasurementError: if loading a model imported what the baseline had not.
    """
    missing = [name for name in imported if name not in protocol.imports]
    if missing:
        names = ", ".join(missing)
        raise MeasurementError(f"'imports' must name the modules that {protocol.loader} imports late: {names}.")


def compare(full: Sequence[Peak], empty: Sequence[Peak]) -> Peaks:
    """The peaks "load", "run" and "peak" of processes with a model above those without."""
    load = _difference([peak.load for peak in full], [peak.load for peak in empty])
    run = _difference([peak.run for peak in full], [peak.run for peak in empty])
    return {"load": load, "run": run, "peak": max(load, run, key=lambda quantity: quantity.value)}


def _difference(full: Sequence[int], empty: Sequence[int]) -> Quantity:
    """Difference of means with the range of all differences, none below zero."""
    value = max(0.0, sum(full) / len(full) - sum(empty) / len(empty))
    low, high = max(0, min(full) - max(empty)), max(0, max(full) - min(empty))
    return Quantity(value, "B", low=min(value, low), high=max(value, high), n=len(full))
