"""Latency of a model that is not run: its kernels on this machine, priced by the cost model that was built here."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import InputError, MeasurementError
from steelyard.core.quantity import Quantity
from steelyard.engine.learning import observe_record, read_cost_model
from steelyard.engine.optimiser import Optimiser
from steelyard.graph.kernels import Program, input_shapes, program_of
from steelyard.graph.reading import read_graph, read_model
from steelyard.graph.shapes import inferred_shapes
from steelyard.measure.predicted.composition import Record
from steelyard.measure.predicted.costmodel import CostModel, unfamiliar

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KernelTime:
    """A kernel's share of an estimate; `seconds` is None where its kind was never learned."""

    name: str
    text: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model's latency is expected to be. It is no measurement.

    Attributes:
        latency_p50_s: with its 95 % interval; `n` is the number of models that were learned from.
        low_90: low end of the 90 % interval, in seconds.
        high_90: high end.
        unfamiliar: kernels farthest outside of what was learned, in words; the interval is wide for them.
        kernels: in the order they run; times before what belongs to the whole call.
    """

    latency_p50_s: Quantity
    low_90: float
    high_90: float
    unfamiliar: tuple[str, ...]
    kernels: tuple[KernelTime, ...]

    def to_json(self) -> dict[str, Any]:
        """The plain form."""
        return {
            "latency_p50_s": self.latency_p50_s.to_json(),
            "low_90": self.low_90,
            "high_90": self.high_90,
            "unfamiliar": list(self.unfamiliar),
            "kernels": [{"name": each.name, "text": each.text, "seconds": each.seconds} for each in self.kernels],
        }


def estimate(
    path: Path,
    shapes: Mapping[str, Shape] | None = None,
    batch: int = 1,
    *,
    model: CostModel | None = None,
    optimiser: Optimiser | None = None,
) -> Estimate:
    """The latency that ONNX Runtime would need for a model on this machine, one thread, without running it.

    Args:
        path: an ONNX file.
        shapes: shapes of inputs by name, where the file leaves axes free other than the first.
        batch: length of free first axes.
        model: the cost model; that of this machine by default.
        optimiser: a running one, which spares its start.

    Raises:
        InputError: if the file is no model, or an axis is free that nobody fixed.
        MeasurementError: if no cost model was built here, or none of the model's kernels was learned.
        RuntimeFailureError: if ONNX Runtime refuses the model.
    """
    learned = model or read_cost_model()
    if learned is None:
        raise MeasurementError("no cost model was built on this machine; build one first, it takes up to ten minutes.")
    program = read_program(path, shapes or {}, batch, optimiser)
    found = learned.predict(_record(program, math.nan))
    if not math.isfinite(found.seconds):
        raise MeasurementError(
            f"the latency of {path.name!r} can't be estimated: none of its {len(program.kernels)} kernels was learned."
        )
    low, high = found.intervals[0.95]
    low_90, high_90 = found.intervals[0.9]
    kernels = tuple(
        KernelTime(kernel.name, kernel.text, float(seconds) if math.isfinite(seconds) else None)
        for kernel, seconds in zip(program.kernels, found.kernels, strict=True)
    )
    named = unfamiliar(found, [kernel.text for kernel in program.kernels])
    quantity = Quantity(found.seconds, "s", low, high, learned.models)
    return Estimate(quantity, low_90, high_90, named, kernels)


def observe(path: Path, seconds: float, shapes: Mapping[str, Shape] | None = None, batch: int = 1) -> None:
    """Tell the cost model what a model's latency was when it was measured; later estimates are the better for it.

    Args:
        path: the ONNX file that was measured.
        seconds: its latency p50 by the full protocol, one thread.
        shapes: as for `estimate`.
        batch: as for `estimate`.

    Raises:
        InputError: as for `estimate`.
        RuntimeFailureError: if ONNX Runtime refuses the model.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"'seconds' must be a positive number, got {seconds!r}.", field="seconds")
    observe_record(_record(read_program(path, shapes or {}, batch, None), seconds))


def read_program(path: Path, shapes: Mapping[str, Shape], batch: int, optimiser: Optimiser | None) -> Program:
    """The kernels that ONNX Runtime would launch for a model.

    Raises:
        InputError: as for `estimate`.
        RuntimeFailureError: if ONNX Runtime refuses the model.
    """
    if optimiser is None:
        with Optimiser() as started:
            return read_program(path, shapes, batch, started)
    source = read_model(path)
    inputs = input_shapes(source, shapes, batch)
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        target = Path(folder) / "optimised.onnx"
        optimiser.optimise(path, target)
        graph = read_graph(target)
        program = program_of(graph, inputs)
        if not program.uncounted:
            return program
        # An operator without a rule: the source file may tell the shape of what it returns.
        return program_of(graph, inputs, inferred_shapes(source, inputs))


def _record(program: Program, seconds: float) -> Record:
    kernels = [(kernel.kind, kernel.numbers, None) for kernel in program.kernels]
    return Record("observed", seconds, program.weight_bytes, program.activation_bytes, kernels)
