"""The cost model of this machine: built from micro-models within a budget, kept between studies, refreshed by them."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import MeasurementError
from steelyard.core.events import Event, Listener, silent
from steelyard.core.wire import content_key
from steelyard.engine.lane import YARDSTICK_VERSION, cache_folder, lanes, nominal_time
from steelyard.measure.environment import read_environment
from steelyard.measure.latency import Protocol, measure_latency
from steelyard.measure.predicted.composition import Record
from steelyard.measure.predicted.costmodel import HELD_OUT, STYLE_OF_PARTS, CostModel, adjust, fit_cost_model, tuned_of
from steelyard.measure.predicted.saving import SCHEMA, load_model, save_model
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.run import RUNTIME

log = logging.getLogger(__name__)

BUDGET_S = 540.0
"""Seconds of a whole build."""
LEARNING_VERSION = 1
"""Raised when micro-models, kernels or their numbers change: what was measured before then means something else."""
_SLICE_S = 20.0
"""Seconds a measuring process lives: where it lies in memory changes times a little, and many processes average it."""
_FIT_SHARE = 0.22
"""Share of the budget that is kept for fitting and for the anchors."""
_ANCHORS = 48
"""Micro-models that are measured once more by the full protocol's way: they tell how far the quick times are off."""
_ANCHOR_ROUND = 16
_ANCHOR_S = (2e-5, 5e-3)
"""Latencies of anchors: shorter ones are mostly the call, longer ones take long."""
_MOST_RECORDS = 8000
"""Records that a fit looks at, the latest; more told nothing new."""

MICRO_LOADER = "steelyard.engine.micromeasure:open_micro"


def learning_folder() -> Path:
    """Where the cost model of this environment is kept: another processor, runtime or schema has another folder."""
    environment = read_environment()
    # The machine's cores, not those this process may use: a process that is pinned to one runs no other kernels.
    machine = [environment.processor, os.cpu_count() or 1, environment.memory_bytes, list(environment.flags)]
    key = content_key([LEARNING_VERSION, SCHEMA, YARDSTICK_VERSION, version("onnxruntime"), *machine])
    return cache_folder() / f"costmodel-{key}"


def is_built(folder: Path | None = None) -> bool:
    """Whether a cost model was built on this machine."""
    return ((folder or learning_folder()) / "model.npz").is_file()


def read_cost_model(folder: Path | None = None) -> CostModel | None:
    """The cost model that was built here, or None."""
    try:
        return load_model((folder or learning_folder()) / "model.npz")
    except (OSError, ValueError, KeyError) as error:
        log.info("the cost model can't be read (%s)", error)
        return None


def build_cost_model(
    budget_s: float = BUDGET_S, listen: Listener = silent, *, folder: Path | None = None, cpu: int | None = None
) -> CostModel:
    """Build the cost model, or go on where a build was ended.

    Every micro-model is kept as soon as it is measured, so nothing measured is lost. A later call adds to it.

    Args:
        budget_s: seconds for everything: measuring, anchors and fitting.
        listen: is told how far it is.
        folder: where it is kept; that of this environment by default.
        cpu: the processor that measures; the measuring lane's by default.

    Raises:
        MeasurementError: if another process is building, or too little could be measured in the time.
    """
    began = time.monotonic()
    place = folder or learning_folder()
    place.mkdir(parents=True, exist_ok=True)
    lane = lanes(1)[0] if cpu is None else cpu
    with _alone(place):
        nominal_s = nominal_time(lane)
        until = began + budget_s * (1 - _FIT_SHARE)
        _measure_micros(place, until, lane, nominal_s, listen)
        records = read_records(place)
        listen(Event("stage", "learning from what was measured", finished=len(records)))
        earlier = read_cost_model(place)
        try:
            model = fit_cost_model(records, tuned_of(earlier) if earlier else None)
        except ValueError as error:
            raise MeasurementError(
                f"a cost model needs more micro-models than were measured in {budget_s:.0f} s ({error}); "
                "give it more time, what was measured is kept."
            ) from error
        save_model(model, place / "model.npz")
        left_s = began + budget_s - time.monotonic()
        if not (place / "anchors.jsonl").exists() and left_s > _ANCHOR_ROUND:
            _measure_anchors(place, lane, nominal_s, left_s, listen)
        return _refresh(place, model)


def observe_record(record: Record, folder: Path | None = None) -> None:
    """Keep a model that a study measured by the full protocol, and refresh the cost model by it, where there is one."""
    place = folder or learning_folder()
    model = read_cost_model(place)
    if model is None:
        return
    _append(place / "observed.jsonl", [plain_record(record)])
    _refresh(place, model)


def _refresh(place: Path, model: CostModel) -> CostModel:
    """Move the model by the anchors and by what studies measured; their residuals replace those of before."""
    measured = [*_read(place / "anchors.jsonl"), *_read(place / "observed.jsonl")]
    held = sum(not style.startswith(("anchor", "observed")) for style in model.calibration.styles)
    calibration = type(model.calibration)(
        model.calibration.scale, model.calibration.scores[:held], model.calibration.styles[:held]
    )
    refreshed = adjust(CostModel(model.composition, calibration, model.models), [record_of(each) for each in measured])
    save_model(refreshed, place / "model.npz")
    return refreshed


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when the process dies.

    Raises:
        MeasurementError: if another process holds it.
    """
    with (place / "lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise MeasurementError(f"another process is building the cost model in {place}; wait for it.") from error
        yield


def _measure_micros(place: Path, until: float, cpu: int | None, nominal_s: float, listen: Listener) -> None:
    """Measure further micro-models until the time, in processes that live for a slice of it."""
    path = place / "records.jsonl"
    while (left_s := until - time.monotonic()) > 1.0:
        first = _next_number(path)
        listen(Event("stage", "measuring micro-models", finished=first, left_s=left_s))
        slice_s = min(_SLICE_S, left_s)
        request = {"first": first, "until_s": slice_s, "cpu": cpu, "nominal_s": nominal_s}
        with path.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "steelyard.engine.micromeasure"],
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
            try:
                process.communicate((json.dumps(request) + "\n").encode(), timeout=slice_s + 60)
            except subprocess.TimeoutExpired:
                log.info("a micro-model from number %d on did not finish and was stopped", first)
            finally:
                process.kill()
                process.wait()
        if _next_number(path) == first:
            # Nothing was written: the first one ended its process; it is passed over.
            _append(path, [{"number": first, "error": f"ended its process with status {process.returncode}"}])


def _next_number(path: Path) -> int:
    numbers = [each["number"] for each in _read(path)]
    return max(numbers) + 1 if numbers else 0


def _measure_anchors(place: Path, cpu: int | None, nominal_s: float, left_s: float, listen: Listener) -> None:
    """Measure some held-out micro-models as models are measured, in fresh processes."""
    chosen = [
        each
        for index, each in enumerate(_whole_plain(place))
        if index % HELD_OUT == 0 and each["style"] != STYLE_OF_PARTS and _ANCHOR_S[0] < each["seconds"] < _ANCHOR_S[1]
    ]
    order = np.random.default_rng(0).permutation(len(chosen))[:_ANCHORS]
    protocol = Protocol(loader=MICRO_LOADER, imports=RUNTIME.imports, cpu=cpu, processes=3, cap_s=1.2)
    began = time.monotonic()
    for start in range(0, len(order), _ANCHOR_ROUND):
        if start and (time.monotonic() - began) * (1 + _ANCHOR_ROUND / start) > left_s:
            return
        listen(Event("stage", "measuring anchors", finished=start, total=len(order)))
        batch = [chosen[int(index)] for index in order[start : start + _ANCHOR_ROUND]]
        subjects = [Subject(str(each["number"]), Path(str(each["number"]))) for each in batch]
        found = measure_latency(subjects, np.zeros((1, 1), dtype=np.float32), protocol, nominal_s=nominal_s)
        done = []
        for each in batch:
            metrics = found.metrics.get(str(each["number"]))
            if metrics is not None:
                done.append({**each, "style": f"anchor {each['style']}", "seconds": metrics["latency_p50_s"].value})
        _append(place / "anchors.jsonl", done)


def _whole_plain(place: Path) -> list[dict[str, Any]]:
    whole = [each for each in _read(place / "records.jsonl") if "error" not in each]
    # Whole strides are dropped, so that the same models stay held out.
    return whole[max(0, len(whole) - _MOST_RECORDS) // HELD_OUT * HELD_OUT :]


def read_records(place: Path) -> list[Record]:
    """The micro-models that were measured, the latest `_MOST_RECORDS`."""
    return [record_of(each) for each in _whole_plain(place)]


def record_of(plain: dict[str, Any]) -> Record:
    """A record from its plain form."""
    kernels = [(kind, numbers, seconds) for kind, numbers, seconds in plain["kernels"]]
    return Record(plain["style"], plain["seconds"], plain["weight_bytes"], plain["activation_bytes"], kernels)


def plain_record(record: Record) -> dict[str, Any]:
    """The plain form of a record that a study measured."""
    return {
        "style": "observed",
        "seconds": record.seconds,
        "weight_bytes": record.weight_bytes,
        "activation_bytes": record.activation_bytes,
        "kernels": [[kind, list(numbers), seconds] for kind, numbers, seconds in record.kernels],
    }


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file; a line that was cut when its writer was killed is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            log.debug("a line of %s was cut", path)
    return found


def _append(path: Path, plain: Sequence[dict[str, Any]]) -> None:
    # A line that was cut before must not run into this one.
    is_cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    lines = [json.dumps(each, separators=(",", ":")) + "\n" for each in plain]
    with path.open("a", encoding="utf-8") as stream:
        stream.write(("\n" if is_cut else "") + "".join(lines))
