"""The measuring process: `python -m steelyard.measure.child`.

Reads one JSON request from standard input and writes one JSON line to standard output: the answer, or the error and
the model it happened in. It loads models through the loaders that the request names, callables
`(path, threads, **options) -> run` where `run(x)` is one inference; it knows no runtime itself. Whatever a runtime
prints goes to standard error.

Requests: `latency` (models interleaved with the yardstick), `yardstick` (that alone), `memory` (one model, or none),
`outputs` (of one model, into a file), `energy` (of one model, net of idling).
"""

import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from steelyard.core.errors import SteelyardError
from steelyard.core.registry import import_object
from steelyard.measure.counters import read_counters, spend
from steelyard.measure.timing import (
    Batches,
    Plan,
    Rows,
    Run,
    interleave,
    make_batches,
    plan_round,
    shuffled,
    time_block,
    warm_up,
)
from steelyard.measure.yardstick import make_yardstick

YARDSTICK = "(yardstick)"
"""The yardstick's name among the models; no key of a candidate looks like it."""

_CLEAR_PEAK = "5"
"""What `/proc/self/clear_refs` takes to reset VmHWM: proc(5)."""

_GRACE_S = 5
"""Seconds after the parent's own limit at which the process ends by itself."""

Request = Mapping[str, Any]
Answer = dict[str, Any]


class Progress:
    """Tells the parent which model is at work, through a file: that wakes nobody up while the clock runs.

    Ends the process where the parent is gone: nobody waits for the answer, and the next measurement needs the core.
    """

    def __init__(self, descriptor: int | None = None, parent: int | None = None) -> None:
        """Keep the open file's descriptor and the parent's process id; None tells nobody, and knows no parent."""
        self._descriptor = descriptor
        self._parent = parent
        self.key = ""

    def __call__(self, key: str) -> None:
        """Note the model's key."""
        if self._parent is not None and os.getppid() != self._parent:
            os._exit(1)
        if self._descriptor is not None and key != self.key:
            os.pwrite(self._descriptor, key.encode().ljust(256), 0)
        self.key = key


def measure_latency(request: Request, progress: Progress) -> Answer:
    """Blocks of nanoseconds by model, the medians of the yardstick's blocks, and the share of the processor it had."""
    batches = batches_of(request)
    runs: dict[str, Run] = {YARDSTICK: make_yardstick()}
    import_modules(request)
    call_s, load_s = {}, {}
    # In an order of its own each time: where a model lies in memory depends on when it was loaded.
    for model in shuffled(request["models"], request["seed"]):
        progress(model["key"])
        began = time.perf_counter()
        runs[model["key"]] = load_model(model)
        load_s[model["key"]] = time.perf_counter() - began
    for key, run in runs.items():
        progress(key)
        call_s[key] = warm_up(run, batches, request["warm_s"])
    yardstick_s = call_s.pop(YARDSTICK)
    rounds, plans = plan_round(call_s, calls=request["calls"], block_s=request["block_s"], cap_s=request["cap_s"])
    plans[YARDSTICK] = Plan(rounds, max(5, round(request["block_s"] / yardstick_s)))
    began, worked = time.perf_counter(), time.process_time()
    blocks = interleave(runs, batches, rounds, plans, seed=request["seed"], note=progress)
    share = (time.process_time() - worked) / (time.perf_counter() - began)
    yardstick = [median(block) for block in blocks.pop(YARDSTICK)]
    return {"blocks": blocks, "yardstick": yardstick, "share": share, "load_s": load_s}


def measure_yardstick(request: Request, progress: Progress) -> Answer:
    """Medians of blocks of the yardstick, with nothing else in the process."""
    progress(YARDSTICK)
    run = make_yardstick()
    batches = [np.zeros(1)]
    call_s = warm_up(run, batches, request["warm_s"])
    calls = max(5, round(request["block_s"] / call_s))
    medians = [median(time_block(run, batches, 0, calls)) for _ in range(request["blocks"])]
    return {"yardstick": medians}


def measure_memory(request: Request, progress: Progress) -> Answer:
    """Peak resident bytes after loading and after running, and whether the peak could be reset between them."""
    batches = batches_of(request)
    import_modules(request)
    runs: list[Run] = []
    before = set(sys.modules)
    for model in request["models"]:
        progress(model["key"])
        runs.append(load_model(model))
    loaded = read_peak_bytes()
    packages = {name.partition(".")[0] for name in set(sys.modules) - before} - before - sys.stdlib_module_names
    # Names that begin with a line are made at run time by compiled modules, as is Cython's own.
    imported = {name for name in packages if not name.startswith("_") and name != "cython_runtime"}
    was_reset = reset_peak()
    for run in runs:
        for index in range(request["calls"]):
            run(batches[index % len(batches)])
    return {"load": loaded, "run": read_peak_bytes(), "was_reset": was_reset, "imported": sorted(imported)}


def compute_outputs(request: Request, progress: Progress) -> Answer:
    """Outputs of the first model on the first batches, one array each, into the .npz file that the request names."""
    batches = batches_of(request)[: request["calls"]]
    import_modules(request)
    model = request["models"][0]
    progress(model["key"])
    run = load_model(model)
    arrays = {f"{index:04d}": np.asarray(run(batch)) for index, batch in enumerate(batches)}
    np.savez(request["outputs"], **arrays)  # type: ignore[arg-type]
    return {"count": len(arrays)}


def measure_energy(request: Request, progress: Progress) -> Answer:
    """Joules of an inference, net of what the machine takes while this process sleeps."""
    batches = batches_of(request)
    import_modules(request)
    counters = read_counters([Path(path) for path in request["counters"]])
    model = request["models"][0]
    progress(model["key"])
    run = load_model(model)
    warm_up(run, batches, request["warm_s"])
    time.sleep(request["energy_s"] / 4)
    idle_j, idle_s = spend(counters, lambda: time.sleep(request["energy_s"]))
    done = 0

    def work() -> None:
        nonlocal done
        end = time.perf_counter() + request["energy_s"]
        while time.perf_counter() < end:
            run(batches[done % len(batches)])
            done += 1

    busy_j, busy_s = spend(counters, work)
    return {"joules": (busy_j - idle_j / idle_s * busy_s) / done, "calls": done, "idle_w": idle_j / idle_s}


def batches_of(request: Request) -> Batches:
    """The batches that inferences are fed with in turn."""
    return make_batches(read_rows(request["inputs"]), request["batch"], stacked=request["stacked"])


def read_rows(path: str) -> Rows:
    """The input rows of a file: one array from .npy, arrays by name from .npz."""
    found = np.load(path)
    return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}


def import_modules(request: Request) -> None:
    """Import what the loaders will need: that is no model's time or memory."""
    for module in request["imports"]:
        importlib.import_module(module)
    for model in request["models"]:
        import_object(model["loader"])


def load_model(model: Mapping[str, Any]) -> Run:
    """One model, loaded by its loader with its own threads and options."""
    load: Callable[..., Run] = import_object(model["loader"])
    return load(model["path"], model["threads"], **model["options"])


def read_peak_bytes() -> int:
    """Peak resident memory of this process (VmHWM), in bytes.

    Raises:
        OSError: where the system has no /proc.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")


def reset_peak() -> bool:
    """Set VmHWM to what is resident now; False where the system does not permit it."""
    try:
        Path("/proc/self/clear_refs").write_text(_CLEAR_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def settle(request: Request) -> None:
    """Pin this process to its processor, offer it first to the kernel when memory runs out, and end it in time."""
    # The parent stops a process that hangs; the alarm does where the parent itself was killed.
    signal.alarm(math.ceil(request["limit_s"]) + _GRACE_S)
    if request["cpu"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {request["cpu"]})
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # A refused allocation is an error with a model's name; a process killed for memory is a riddle.
    resource.setrlimit(resource.RLIMIT_AS, (total, resource.getrlimit(resource.RLIMIT_AS)[1]))
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError:
        return


def describe(error: Exception) -> str:
    """An error in a line: our own say it themselves, others with their kind."""
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, SteelyardError) else f"{type(error).__name__}: {text}"


@contextmanager
def _answer_stream() -> Iterator[int]:
    """The real standard output, with descriptor 1 turned to standard error meanwhile."""
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        yield answer
    finally:
        os.close(answer)


_KINDS: dict[str, Callable[[Request, Progress], Answer]] = {
    "latency": measure_latency,
    "yardstick": measure_yardstick,
    "memory": measure_memory,
    "outputs": compute_outputs,
    "energy": measure_energy,
}


def main() -> int:
    """Answer the request on standard input; the exit status is 0 where an answer or an error was written."""
    with _answer_stream() as stream:
        request = json.loads(sys.stdin.read())
        progress = Progress(request.get("progress"), request.get("parent"))
        try:
            settle(request)
            answer = _KINDS[request["kind"]](request, progress)
        except Exception as error:  # noqa: BLE001 - a runtime may raise anything; the parent turns it into its own error
            answer = {"error": describe(error), "key": progress.key}
        view = memoryview((json.dumps(answer) + "\n").encode())
        while view:
            view = view[os.write(stream, view) :]
    return 0


if __name__ == "__main__":
    sys.exit(main())
