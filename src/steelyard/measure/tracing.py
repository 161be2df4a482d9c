"""Layers by running: what each kernel of a model takes, traced by its runtime in fresh processes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from steelyard.core.errors import MeasurementError
from steelyard.core.registry import import_object
from steelyard.core.wire import Plain
from steelyard.measure.calling import call
from steelyard.measure.child import import_modules, load_model, read_rows
from steelyard.measure.latency import Protocol
from steelyard.measure.process import Inputs, Subject, input_file, plain_models
from steelyard.measure.timing import make_batches, time_block, warm_up

PROCESSES = 4
"""Fresh processes a trace: where a model's weights lie in memory belongs to the process, and so do its times."""

TRACE_S = 0.4
"""Seconds of traced runs a process, and as many without the profiler."""

COLD = 2.0
"""How many times longer the profiler may take for a kernel among others than in a chain of idle ones: 1.4 and 2.3 µs
were seen, on kernels that look at a shape only."""

_CHILD = "steelyard.measure.tracing:trace_here"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of the optimised model, as its runtime traced it.

    Attributes:
        name: of the node.
        operator: its name, with the domain where it is not ONNX's own.
        type: of its products, or of its first input.
        macs: multiply-accumulates; None (like the next three) where the counting table doesn't say.
        weight_bytes: stored tensors read.
        read_bytes: other inputs read.
        written_bytes: outputs written.
        inputs: type and shape of each input; None where it is left out or unknown.
        outputs: likewise.
        seconds: in each process.
    """

    name: str
    operator: str
    type: str
    macs: int | None
    weight_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None
    inputs: tuple[tuple[str, tuple[int, ...]] | None, ...]
    outputs: tuple[tuple[str, tuple[int, ...]] | None, ...]
    seconds: tuple[float, ...]

    @property
    def bytes(self) -> int | None:
        """All bytes moved; None where a shape is unknown."""
        if self.weight_bytes is None or self.read_bytes is None or self.written_bytes is None:
            return None
        return self.weight_bytes + self.read_bytes + self.written_bytes


@dataclass(frozen=True, slots=True)
class Trace:
    """All kernels of a model.

    Attributes:
        kernels: in the order of the optimised graph.
        plain_s: p50 of a call without the profiler, in each of the same processes.
        traced_s: a run inside the runtime with the profiler, in each.
        runs: traced runs in all.
        idle_s: what the runtime takes to call a kernel that does nothing, in each process.
        idle_traced_s: what its profiler says of that kernel; what it says too much, it says of every kernel.
    """

    kernels: tuple[Kernel, ...]
    plain_s: tuple[float, ...]
    traced_s: tuple[float, ...]
    runs: int
    idle_s: tuple[float, ...]
    idle_traced_s: tuple[float, ...]

    def kernel_seconds(self, process: int) -> list[float]:
        """Seconds of each kernel in one process, less what the profiler itself takes; none below an idle kernel's.

        The profiler's time is at least what it adds to an idle kernel in a chain of such. Between other kernels its
        code is cold and takes longer: up to `COLD` times that, no more than the kernels have too much for the call,
        and no more than would leave the shortest tenth of them idle.
        """
        idle_s = self.idle_s[process]
        times = [kernel.seconds[process] for kernel in self.kernels]
        least_s = max(0.0, self.idle_traced_s[process] - idle_s)
        surplus_s = (sum(times) - self.plain_s[process]) / len(times)
        profiler_s = max(least_s, min(COLD * least_s, surplus_s, sorted(times)[len(times) // 10] - idle_s))
        return [max(idle_s, time - profiler_s) for time in times]

    @property
    def covered(self) -> float:
        """Seconds of all kernels over seconds of an unprofiled call: how much of the latency the trace explains."""
        shares = [sum(self.kernel_seconds(index)) / plain_s for index, plain_s in enumerate(self.plain_s)]
        return sum(shares) / len(shares)


def trace_kernels(
    subject: Subject,
    inputs: Inputs,
    protocol: Protocol,
    *,
    tracer: str,
    processes: int = PROCESSES,
    limit_s: float = TRACE_S,
) -> Trace:
    """Trace a model in fresh processes; the caller's never loads it.

    Args:
        subject: the model.
        inputs: real input rows.
        protocol: loader, imports, batch, threads and processor; its limits of starting and loading.
        tracer: address of the runtime's `trace(path, batches, threads, limit_s, **options)`.
        processes: how many.
        limit_s: seconds of traced runs a process.

    Raises:
        MeasurementError: if the model can't be traced, or its kernels differ from process to process.
    """
    model = plain_models([subject], protocol.loader, protocol.threads)[0]
    with input_file(inputs) as path:
        arguments = {
            "model": model,
            "tracer": tracer,
            "inputs": str(path),
            "imports": list(protocol.imports_of([subject])),
            "batch": protocol.batch,
            "stacked": protocol.stacked,
            "limit_s": limit_s,
        }
        answers = [
            call(
                _CHILD,
                arguments,
                key=subject.key,
                limit_s=protocol.start_s + 2 * protocol.load_s + protocol.cap_s,
                threads=model["threads"],
                cpu=protocol.cpu,
            )
            for _ in range(processes)
        ]
    names = [[(node["name"], node["operator"]) for node in answer["nodes"]] for answer in answers]
    if any(each != names[0] for each in names):
        raise MeasurementError(f"model {subject.key!r} ran other kernels in another process; it can't be traced.")
    if not names[0]:
        raise MeasurementError(f"model {subject.key!r} runs no kernel at all; there is nothing to trace.")
    return Trace(
        kernels=tuple(_kernel(nodes) for nodes in zip(*(answer["nodes"] for answer in answers), strict=True)),
        plain_s=tuple(answer["plain_s"] for answer in answers),
        traced_s=tuple(answer["run_s"] for answer in answers),
        runs=sum(answer["runs"] for answer in answers),
        idle_s=tuple(answer["idle_s"] for answer in answers),
        idle_traced_s=tuple(answer["idle_traced_s"] for answer in answers),
    )


def _kernel(nodes: Sequence[Mapping[str, Any]]) -> Kernel:
    """One kernel from what each process said of it."""
    first = nodes[0]
    same = ("name", "operator", "type", "macs", "weight_bytes", "read_bytes", "written_bytes")
    return Kernel(
        **{name: first[name] for name in same},
        inputs=_typed(first["inputs"]),
        outputs=_typed(first["outputs"]),
        seconds=tuple(node["seconds"] for node in nodes),
    )


def _typed(values: Sequence[Any]) -> tuple[tuple[str, tuple[int, ...]] | None, ...]:
    return tuple(None if value is None else (value[0], tuple(value[1])) for value in values)


def trace_here(
    *,
    model: Mapping[str, Any],
    tracer: str,
    inputs: str,
    imports: Sequence[str],
    batch: int,
    stacked: bool,
    limit_s: float,
) -> Plain:
    """The called process's part: the model's p50 without the profiler, then its trace."""
    batches = make_batches(read_rows(inputs), batch, stacked=stacked)
    import_modules({"imports": imports, "models": [model]})
    traced: Callable[..., dict[str, Any]] = import_object(tracer)
    run = load_model(model)
    warm_up(run, batches, min(limit_s, 0.1))
    times: list[int] = []
    began = perf_counter()
    while len(times) < 3 or perf_counter() - began < limit_s:
        times += time_block(run, batches, len(times), 3)
    path = str(Path(model["path"]))
    return {**traced(path, batches, model["threads"], limit_s, **model["options"]), "plain_s": median(times) * 1e-9}
