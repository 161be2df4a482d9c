"""What each kernel of a model takes, by ONNX Runtime's own profiler, and what it computes, by the counting table.

Runs in a measuring process; the parent's side is `steelyard.measure.tracing`.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx

from steelyard.core.candidate import Setting
from steelyard.core.errors import RuntimeFailureError
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.graph.counting import cost_of
from steelyard.graph.probes import chain_model
from steelyard.graph.reading import read_model
from steelyard.graph.tensors import describe, named_tensors
from steelyard.graph.values import Value
from steelyard.runtimes.loading import first_line
from steelyard.runtimes.onnxruntime.run import open_raw, settings_of

Batches = Sequence[Array | Mapping[str, Array]]
Event = Mapping[str, Any]

FEWEST_RUNS = 8
"""Runs a trace at least, however long one takes."""

MOST_EVENTS = 40_000
"""Events a trace: the profiler keeps all of them in memory and writes half a kilobyte for each."""

LINKS = 32
"""Kernels of the chain that does nothing, from which the cost of calling and of tracing one kernel comes."""

IDLE_S = 0.05
"""Seconds that the chain is run for."""

_ONE = np.ones(1, np.float32)

TRIMMED = 0.1
"""Share of the fastest and of the slowest runs that is left out; the mean of the rest resolves what medians of whole
microseconds can't."""

_SUFFIX = "_kernel_time"
_TYPES = {"float": "float32", "double": "float64"}
"""Element types that the profiler names otherwise than numpy; all others are the same."""


def trace(path: str, batches: Batches, threads: int, limit_s: float, **options: Setting) -> Plain:
    """Time and cost of every kernel of the optimised model.

    Args:
        path: the model file.
        batches: inputs of a run, in turn.
        threads: of the session.
        limit_s: seconds of profiled runs.
        options: of loading, see `steelyard.runtimes.onnxruntime.run.OPTIONS`.

    Returns:
        `nodes`: by kernel its name, operator, type, seconds, and costs (see `NodeCost`), shapes of inputs and outputs;
        `run_s`: seconds of a whole profiled run; `runs`: how many; `idle_s`: what the runtime takes to call a kernel
        that does nothing, and `idle_traced_s`: what the profiler says of it.

    Raises:
        RuntimeFailureError: if ONNX Runtime refuses the model or the inputs.
    """
    with tempfile.TemporaryDirectory(prefix="steelyard-trace-") as folder:
        chain = chain_model(Path(folder) / "chain.onnx", LINKS)
        idle = _traced(str(chain), [_ONE], threads, IDLE_S, Path(folder))
        traced = _traced(path, batches, threads, limit_s, Path(folder), **options)
        idle_s = _idle_s(Path(folder), threads)
    idle_traced_s = sum(node["seconds"] for node in idle["nodes"]) / len(idle["nodes"])
    return {**traced, "idle_s": idle_s, "idle_traced_s": idle_traced_s}


def _traced(
    path: str, batches: Batches, threads: int, limit_s: float, folder: Path, **options: Setting
) -> dict[str, Any]:
    """Nodes, seconds of a run and number of runs of one model."""
    optimised = folder / "optimised.onnx"
    session = _session(path, threads, optimised, folder / "profile", **options)
    graph = read_model(optimised).graph
    _run(session, batches, limit_s, max(FEWEST_RUNS, MOST_EVENTS // len(graph.node)))
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _summary(graph, events, batches[0], session)


def _idle_s(folder: Path, threads: int) -> float:
    """What a kernel that does nothing adds to a call: a long chain of them less a short one, without the profiler."""
    took = []
    for links in (1, LINKS + 1):
        session = _session(str(chain_model(folder / "chain.onnx", links)), threads, folder / "optimised.onnx", None)
        took.append(_fastest_half_s(session))
    return max(0.0, took[1] - took[0]) / LINKS


def _fastest_half_s(session: Any) -> float:
    """Mean of the faster half of many calls on one number."""
    times = []
    began = perf_counter()
    while perf_counter() - began < IDLE_S:
        start = perf_counter()
        session.run(["y"], {"x": _ONE})
        times.append(perf_counter() - start)
    times.sort()
    kept = times[: max(1, len(times) // 2)]
    return sum(kept) / len(kept)


def optimised_model(path: str, threads: int = 1, **options: Setting) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of a model for this processor, without running it.

    Raises:
        RuntimeFailureError: if ONNX Runtime refuses the model.
    """
    with tempfile.TemporaryDirectory(prefix="steelyard-trace-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        _session(path, threads, optimised, None, **options)
        return read_model(optimised)


def _session(path: str, threads: int, optimised: Path, profile: Path | None, **options: Setting) -> Any:
    """A session as `open_session` makes it that also writes its optimised graph and, if asked, its profile."""
    settings = settings_of(threads, options)
    settings.optimized_model_filepath = str(optimised)
    if profile is not None:
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile)
    return open_raw(Path(path), settings)


def _run(session: Any, batches: Batches, limit_s: float, most: int) -> None:
    """Run for so many seconds, or `most` times."""
    feed = session.get_inputs()[0].name
    names = [session.get_outputs()[0].name]
    feeds = [batch if isinstance(batch, Mapping) else {feed: batch} for batch in batches]
    began, runs = perf_counter(), 0
    try:
        while runs < FEWEST_RUNS or (runs < most and perf_counter() - began < limit_s):
            session.run(names, feeds[runs % len(feeds)])
            runs += 1
    except Exception as error:
        raise RuntimeFailureError(f"ONNX Runtime failed to run the model: {first_line(error)}") from error


def _summary(graph: onnx.GraphProto, events: Sequence[Event], batch: Any, session: Any) -> dict[str, Any]:
    """Events of all runs, matched with the nodes of the optimised graph."""
    runs = sorted((event["ts"], event["ts"] + event["dur"]) for event in events if event["name"] == "model_run")
    kernels = sorted(
        (event for event in events if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX)),
        key=lambda event: event["ts"],
    )
    by_node = _matched(graph, kernels, runs)
    values = _values(graph, by_node, batch, session)
    nodes = []
    for index, node in enumerate(graph.node):
        if index not in by_node:
            continue
        inputs = [values.get(name) if name else None for name in node.input]
        outputs = [values.get(name) if name else None for name in node.output]
        cost = cost_of(node, inputs, outputs)
        # The profiler cuts to whole microseconds: half of one is lost on average.
        seconds = (_trimmed_mean([event["dur"] for event in by_node[index]]) + 0.5) * 1e-6
        nodes.append(
            {
                **{name: getattr(cost, name) for name in cost.__dataclass_fields__},
                "seconds": seconds,
                "inputs": [_plain(value) for value in inputs],
                "outputs": [_plain(value) for value in outputs],
            }
        )
    return {"nodes": nodes, "run_s": _trimmed_mean([end - start for start, end in runs]) * 1e-6, "runs": len(runs)}


def _matched(
    graph: onnx.GraphProto, kernels: Sequence[Event], runs: Sequence[tuple[int, int]]
) -> dict[int, list[Event]]:
    """Events by the index of their node: equal names and operators are told apart by their order in each run.

    Kernels of branches and loop bodies have no node in the outer graph; the operator that holds them has their time.
    """
    indices: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        indices[node.name, node.op_type].append(index)
    found: dict[int, list[Event]] = defaultdict(list)
    for events in _by_run(kernels, runs):
        seen: dict[tuple[str, str], int] = defaultdict(int)
        for event in events:
            key = (event["name"].removesuffix(_SUFFIX), event["args"]["op_name"])
            if key not in indices:
                # The profiler makes a name of operator and position for a node that has none.
                key = ("", key[1])
            order = seen[key]
            seen[key] += 1
            if order < len(indices.get(key, ())):
                found[indices[key][order]].append(event)
    return found


def _by_run(kernels: Sequence[Event], runs: Sequence[tuple[int, int]]) -> Iterator[list[Event]]:
    """The events of each run; both in the order of time."""
    position = 0
    for start, end in runs:
        while position < len(kernels) and kernels[position]["ts"] < start:
            position += 1
        first = position
        while position < len(kernels) and kernels[position]["ts"] <= end:
            position += 1
        yield list(kernels[first:position])


def _values(
    graph: onnx.GraphProto, by_node: Mapping[int, Sequence[Event]], batch: Any, session: Any
) -> dict[str, Value]:
    """Types and shapes by name: stored ones from the file, inputs from the batch, all others as the profiler saw them.

    The profiler's own list of a kernel's inputs lacks weights that were laid out anew for the kernel.
    """
    values = {
        name: Value(describe(name, tensor).type, tuple(tensor.dims), is_stored=True)
        for name, tensor in named_tensors(graph)
    }
    first = session.get_inputs()[0].name
    for name, array in (batch if isinstance(batch, Mapping) else {first: batch}).items():
        values[name] = Value(str(array.dtype), array.shape)
    for index, events in by_node.items():
        names = [name for name in graph.node[index].output if name]
        for name, entry in zip(names, events[0]["args"]["output_type_shape"], strict=False):
            for kind, shape in entry.items():
                values[name] = Value(_TYPES.get(kind, kind), tuple(shape))
    return values


def _plain(value: Value | None) -> Plain:
    return None if value is None else [value.type, list(value.shape)]


def _trimmed_mean(durations: Sequence[float]) -> float:
    ordered = sorted(durations)
    cut = int(len(ordered) * TRIMMED)
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)
