"""One model on the bench: its file for each runtime, how well that agrees with its source, and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import InputError, MeasurementError, MissingExtraError, RuntimeFailureError
from steelyard.core.profiling import BatchPoint, RuntimeProfile
from steelyard.core.protocols import Exporter, Runtime
from steelyard.core.quantity import Quantity
from steelyard.core.registry import Registry
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.engine.conversion import artifact_bytes, floor_model
from steelyard.engine.feeding import Feed
from steelyard.engine.inspecting import safe_counts
from steelyard.engine.lane import default_workers, lanes, nominal_time
from steelyard.engine.limits import audit_of, limit_of
from steelyard.engine.registries import extended_registry
from steelyard.engine.sources import Source
from steelyard.engine.teaching import teach
from steelyard.graph.identity import float_port
from steelyard.graph.reading import file_bytes
from steelyard.measure.calling import call
from steelyard.measure.energy import measure_energy
from steelyard.measure.floor import FLOOR, floor_subject
from steelyard.measure.latency import LatencyRound, Narrow, Protocol, measure_latency
from steelyard.measure.memory import measure_memory
from steelyard.measure.outputs import outputs_of
from steelyard.measure.process import Subject
from steelyard.measure.timing import make_batches
from steelyard.runtimes.parity import parity_of

BATCHES = (8, 32)
"""Other batch sizes that are tried where the model's first axis is free."""

BATCH_PROCESSES = 3
"""Fresh processes for each of them: they show a trend, the figure asked for gets the full protocol."""

PARITY_CALLS = 32
"""Inferences on which outputs are compared."""

CONVERT_S = 300.0
"""Seconds that converting a file to another runtime's format may take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model is measured on the bench.

    Attributes:
        threads: of the runtime.
        half_width: relative half-width of p50's interval at which measuring stops.
        limit_s: seconds that the latencies of one runtime may take.
        batches: other batch sizes to try; None is a few.
        seed: of the order of measuring.
        plugins: that extended the registry; children resolve them anew.
    """

    threads: int = 1
    half_width: float = 0.02
    limit_s: float = 30.0
    batches: tuple[int, ...] | None = None
    seed: int = 0
    plugins: tuple[str, ...] = ()


@dataclass(slots=True)
class Bench:
    """A model, its inputs, and the files made of it.

    Attributes:
        exported: the ONNX file of a module, where there is one.
        layers: of the first ONNX file that was traced, with `limit` and `audit`.
        remarks: what the user should know of figures that are missing.
    """

    registry: Registry
    source: Source
    feed: Feed
    folder: Path
    settings: Settings
    exported: Path | None = None
    layers: tuple[Plain, ...] = ()
    limit: Plain | None = None
    audit: Plain | None = None
    remarks: list[str] = field(default_factory=list)
    _subjects: dict[str, Subject] = field(default_factory=dict)
    _nominal_s: float | None = None
    _is_noisy: bool = False

    def measured(self, name: str) -> RuntimeProfile:
        """Figures of the model on a runtime.

        Raises:
            SteelyardError: one sentence, if there is no way to the runtime, or it can't run the model.
        """
        subject = self.subject(name)
        parity = self._parity(name, subject)
        protocol = self.protocol(name)
        latency = self.latency([subject, *self._floor(name)], protocol, Narrow(self.settings.half_width))
        if subject.key in latency.failures:
            raise latency.failures[subject.key]
        energy = measure_energy(subject, self.feed.rows, protocol)
        metrics = {
            **self.counted(name, subject),
            **latency.metrics[subject.key],
            **self._memory(name, subject, protocol),
        }
        if FLOOR in latency.metrics:
            metrics["latency_floor_s"] = latency.metrics[FLOOR]["latency_p50_s"]
        if energy.quantity is not None:
            metrics["energy_j"] = energy.quantity
        self._traced(name, subject, protocol, metrics)
        teach(
            subject.path,
            metrics["latency_p50_s"].value,
            runtime=name,
            threads=self.settings.threads,
            batch=self.feed.batch,
            shapes=self.feed.shapes(self.source.signature),
        )
        notes: dict[str, Any] = {**latency.notes[subject.key], "noise": latency.noise, "energy": energy.reason}
        return RuntimeProfile(metrics, parity, self._batches(name, subject), notes)

    def _memory(self, name: str, subject: Subject, protocol: Protocol) -> dict[str, Quantity]:
        """Peaks of memory, loading and running; where the runtime keeps an arena, without it too.

        Raises:
            MeasurementError: if the model can't be loaded or run.
        """
        found = measure_memory([subject], self.feed.rows, protocol)
        if subject.key in found.failures:
            raise found.failures[subject.key]
        peaks = found.peaks[subject.key]
        figures = {f"{part}_memory_bytes": peaks[part] for part in ("peak", "load", "run")}
        runtime: Runtime = self.registry.get("runtime", name)
        if False in runtime.options.get("arena", ()):
            bare = replace(subject, options={**subject.options, "arena": False})
            beside = measure_memory([bare], self.feed.rows, protocol, baseline=found.baseline)
            if bare.key in beside.peaks:
                figures["peak_memory_without_arena_bytes"] = beside.peaks[bare.key]["peak"]
        return figures

    def _traced(self, name: str, subject: Subject, protocol: Protocol, metrics: dict[str, Quantity]) -> None:
        """Layers, limit and audit of the first ONNX file that ONNX Runtime runs, and the figures that come of them."""
        if name != "onnxruntime" or self.layers or subject.path.suffix != ".onnx":
            return
        latency, floor = metrics["latency_p50_s"], metrics.get("latency_floor_s")
        try:
            self.layers, self.limit = limit_of(subject, self.feed.rows, protocol, latency, floor)
            self.audit = audit_of(subject.path, self.layers)
        except (InputError, MeasurementError) as error:
            self.remarks.append(f"no table of layers: {error.message}")
            return
        if self.limit is not None and self.limit["utilisation"] is not None:
            metrics["utilisation"] = Quantity.from_json(self.limit["utilisation"])
        macs = [layer["macs"] for layer in self.layers]
        # Shapes that the file leaves open are known once it has run.
        if "macs" not in metrics and None not in macs:
            metrics["macs"] = Quantity.exact(sum(macs))

    def subject(self, name: str) -> Subject:
        """The model as the runtime loads it, its file made where that is another than the one given.

        Raises:
            SteelyardError: one sentence, if there is no way from the model to the runtime.
        """
        if name not in self._subjects:
            runtime: Runtime = self.registry.get("runtime", name)
            own = self.source.runtime == name and self.source.path is not None
            path = self.source.path if own and self.source.path is not None else self._made(name)
            # What we wrote ourselves may be opened; a stranger's file only with the user's word.
            trusted = {"trust": True} if runtime.runs_code and (not own or self.source.is_trusted) else {}
            self._subjects[name] = Subject(self.source.name, path, runtime.loader, runtime.imports, trusted)
        return self._subjects[name]

    def _made(self, name: str) -> Path:
        """The model's file for a runtime that it is not made for."""
        runtime: Runtime = self.registry.get("runtime", name)
        exporter: Exporter = self.registry.get("exporter", name)
        exporter.check()
        if self.source.module is not None:
            if name == "onnxruntime" and self.exported is not None:
                return self.exported
            path = self.folder / f"{name}{runtime.suffix}"
            exporter.export(self.source.module, self.feed.example(), path)
            return path
        onnx = self.source.path
        if onnx is None or onnx.suffix != ".onnx" or "onnx" not in exporter.sources:
            kinds = " or ".join({"module": "a torch module", "onnx": "an ONNX file"}[each] for each in exporter.sources)
            raise InputError(f"{name} takes {kinds}, and {self.source.name} is neither.", field="runtime")
        path = self.folder / f"{name}{runtime.suffix}"
        call(
            "steelyard.engine.bench:convert_file",
            {"plugins": list(self.settings.plugins), "runtime": name, "source": str(onnx), "path": str(path)},
            key=self.source.name,
            limit_s=CONVERT_S,
        )
        return path

    def protocol(self, name: str, *, batch: int | None = None, processes: int = 8) -> Protocol:
        """The full protocol on a runtime."""
        runtime: Runtime = self.registry.get("runtime", name)
        cpu, _ = lanes(default_workers())
        return Protocol(
            loader=runtime.loader,
            imports=runtime.imports,
            batch=batch or self.feed.batch,
            threads=self.settings.threads,
            stacked=self.feed.stacked,
            processes=processes,
            cpu=cpu,
        )

    def latency(
        self, models: Sequence[Subject], protocol: Protocol, narrow: Narrow | None, *, limit_s: float | None = None
    ) -> LatencyRound:
        """One interleaved round of models on the inputs of this one."""
        if self._nominal_s is None:
            self._nominal_s = nominal_time(protocol.cpu)
        found = measure_latency(
            models,
            self.feed.rows,
            # Where waiting did not help once, further rounds go on at once.
            replace(protocol, waits_s=()) if self._is_noisy else protocol,
            nominal_s=self._nominal_s,
            seed=self.settings.seed,
            limit_s=limit_s or self.settings.limit_s,
            narrow=narrow,
        )
        self._is_noisy = self._is_noisy or found.noise is not None
        return found

    def _parity(self, name: str, subject: Subject) -> Plain | None:
        """How the runtime's outputs differ from the source's; None where there is no source to differ from."""
        module, onnx = self.source.module, self.source.path
        if module is not None:
            wanted, against = self._eager(module), "torch, eager"
        elif onnx is not None and onnx.suffix == ".onnx":
            runtime: Runtime = self.registry.get("runtime", "onnxruntime")
            plain = Subject(subject.key, onnx, runtime.loader, runtime.imports, {"optimisation": "none"})
            wanted = outputs_of(plain, self.feed.rows, self.protocol("onnxruntime"), calls=PARITY_CALLS)
            against = "the same file without optimisations" if name == "onnxruntime" else "ONNX Runtime, unoptimised"
        else:
            return None
        got = outputs_of(subject, self.feed.rows, self.protocol(name), calls=PARITY_CALLS)
        shapes = [(first.shape, second.shape) for first, second in zip(wanted, got, strict=True)]
        odd = next((pair for pair in shapes if pair[0] != pair[1]), None)
        if odd is not None:
            raise InputError(f"{name} gives outputs of shape {odd[1]}, the source {odd[0]}.", field="runtime")
        first, second = (np.concatenate([np.atleast_1d(each) for each in outputs]) for outputs in (wanted, got))
        decides = first.ndim >= 2 and first.shape[-1] >= 2 and first.dtype.kind == "f"
        return {**parity_of(first.astype(float), second.astype(float), decides=decides), "source": against}

    def _eager(self, module: Any) -> list[Array]:
        """Outputs of the torch module itself, in this process: it is the user's own code."""
        from steelyard.training.modules import module_outputs  # noqa: PLC0415  imports torch

        batches = make_batches(self.feed.rows, self.feed.batch, stacked=self.feed.stacked)
        return [module_outputs(module, batch) for batch in batches[:PARITY_CALLS]]

    def _floor(self, name: str) -> list[Subject]:
        """A model that does nothing on inputs of this shape, where there is one input of floats."""
        rows = self.feed.rows
        if isinstance(rows, Mapping) or rows.dtype != np.float32 or self.settings.threads > 1:
            return []
        runtime: Runtime = self.registry.get("runtime", name)
        try:
            path = floor_model(self.registry, name, (float_port(rows.shape[1:]),), self.folder)
        except (MissingExtraError, RuntimeFailureError) as error:
            # Running a file needs less than making one: the model's own figures don't hang on the floor.
            self.remarks.append(f"no floor on {name}: {error.message}")
            return []
        trusted = {"trust": True} if runtime.runs_code else {}
        return [replace(floor_subject(path), loader=runtime.loader, imports=runtime.imports, options=trusted)]

    def _batches(self, name: str, subject: Subject) -> tuple[BatchPoint, ...]:
        """Throughput at other batch sizes, where the model takes them."""
        asked = self.settings.batches
        sizes = [size for size in (BATCHES if asked is None else asked) if size != self.feed.batch]
        if not self.feed.can_batch:
            if asked:
                raise InputError(f"'batches' asks for {sizes}, but the model is made for one size.", field="batches")
            return ()
        points = []
        for size in sizes:
            protocol = self.protocol(name, batch=size, processes=BATCH_PROCESSES)
            found = self.latency([subject], protocol, None, limit_s=self.settings.limit_s / 4)
            if subject.key in found.metrics:
                figures = found.metrics[subject.key]
                points.append(BatchPoint(size, figures["latency_p50_s"], figures["throughput_per_s"]))
            else:
                self.remarks.append(f"{name}, batch {size}: {found.failures[subject.key].message}")
        return tuple(points)

    def onnx(self) -> Path | None:
        """The model as an ONNX file, where there is one: what operators are counted in."""
        if self.exported is not None:
            return self.exported
        path = self.source.path
        return path if path is not None and path.suffix == ".onnx" else None

    def counted(self, name: str, subject: Subject) -> dict[str, Quantity]:
        """What can be counted in the files."""
        runtime: Runtime = self.registry.get("runtime", name)
        is_onnx = subject.path.suffix == ".onnx"
        size = file_bytes(subject.path) if is_onnx else artifact_bytes(subject.path, runtime.companions)
        figures = {"size_bytes": Quantity.exact(size, "B")}
        onnx = self.onnx()
        if onnx is not None:
            counts = safe_counts(onnx, batch=self.feed.batch, shapes=self.feed.shapes(self.source.signature))
            figures["parameters"] = Quantity.exact(counts.parameters)
            if counts.uncounted:
                self.remarks.append(f"MACs can't be counted in the file alone ({', '.join(counts.uncounted[:3])})")
            else:
                figures["macs"] = Quantity.exact(counts.macs)
                figures["activations"] = Quantity.exact(counts.activations)
        return figures


def convert_file(plugins: Sequence[str], runtime: str, source: str, path: str) -> str:
    """Write an ONNX file in a runtime's format; called in a process of its own, because a stranger made the file."""
    registry = extended_registry("steelyard.builtin:registry", tuple(plugins))
    exporter: Exporter = registry.get("exporter", runtime)
    return exporter.convert(Path(source), Path(path))
