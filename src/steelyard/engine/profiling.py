"""Profile a model: figures on each runtime, layers, the limit of the machine, other models beside it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import InputError, MeasurementError, SteelyardError
from steelyard.core.events import Event, Listener, silent
from steelyard.core.port import Signature
from steelyard.core.profiling import BatchPoint, Comparison, Profile, RuntimeProfile
from steelyard.core.protocols import Runtime
from steelyard.core.quantity import Quantity
from steelyard.core.registry import Registry
from steelyard.core.wire import Plain
from steelyard.engine.feeding import Feed, drawn, from_arrays, from_file
from steelyard.engine.lane import default_workers, lanes, nominal_time
from steelyard.engine.parity import compare_outputs
from steelyard.engine.sources import Source, open_source
from steelyard.graph.counting import count
from steelyard.graph.identity import identity_model
from steelyard.graph.reading import file_bytes, read_model
from steelyard.measure.energy import measure_energy
from steelyard.measure.environment import read_environment
from steelyard.measure.floor import FLOOR, floor_subject
from steelyard.measure.latency import LatencyRound, Narrow, Protocol, measure_latency
from steelyard.measure.memory import measure_memory
from steelyard.measure.outputs import outputs_of
from steelyard.measure.process import Subject

BATCHES = (8, 32)
"""Other batch sizes that are tried where the model's first axis is free."""

BATCH_PROCESSES = 3
"""Fresh processes for each of them: they show a trend, the figure asked for gets the full protocol."""

PARITY_CALLS = 32
"""Inferences on which outputs are compared."""


@dataclass(frozen=True, slots=True)
class Question:
    """What `profile` is asked.

    Attributes:
        model: a model file, a bundle, or `file.py:function`.
        data: a file of real inputs; None draws them.
        shapes: by input name, where they are drawn; an empty name is the only input.
        runtimes: by name; empty is the file's own, onnxruntime for a module.
        compare: other models that take the same inputs.
        weights: of a module.
        batch: rows an inference; None is the model's own, else 1.
        batches: other batch sizes to try; None is a few.
        threads: of the runtime.
        half_width: relative half-width of p50's interval at which measuring stops.
        budget_s: seconds that latencies may take in all.
        estimate: predict the latency and run nothing.
        seed: of drawn inputs and of the order of measuring.
        trust: open files that can run code when opened, and large archives.
        options: of the runtime, by name.
    """

    model: str
    data: str | Path | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    runtimes: tuple[str, ...] = ()
    compare: tuple[str, ...] = ()
    weights: Path | None = None
    batch: int | None = None
    batches: tuple[int, ...] | None = None
    threads: int = 1
    half_width: float = 0.02
    budget_s: float = 60.0
    estimate: bool = False
    seed: int = 0
    trust: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            InputError: naming the field.
        """
        if self.data is not None and self.shapes:
            raise InputError("'data' and 'shape' exclude each other: real inputs have a shape.", field="shape")
        for name in ("batch", "threads"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 2**20:
                raise InputError(f"'{name}' must be at least 1, got {value!r}.", field=name)
        if not self.budget_s > 0:
            raise InputError(f"'budget' must be a positive time, got {self.budget_s!r}.", field="budget")
        Narrow(self.half_width)


def profile(question: Question, registry: Registry, listen: Listener = silent) -> Profile:
    """The answer.

    Raises:
        InputError: one sentence on the first thing that can't be used, or where no runtime can run the model.
    """
    source = open_source(question.model, registry, weights=question.weights, trust=question.trust)
    names = question.runtimes or (source.runtime or "onnxruntime",)
    for name in names:
        registry.get("runtime", name)
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        bench = Bench(question, registry, source, Path(folder), listen)
        return bench.profile(names)


@dataclass(slots=True)
class Bench:
    """One model on the bench: where its files lie and what it is fed with."""

    question: Question
    registry: Registry
    source: Source
    folder: Path
    listen: Listener
    _nominal_s: float | None = None

    def profile(self, names: Sequence[str]) -> Profile:
        """Figures on each of the runtimes; one that can't run the model says why, the others go on."""
        feed = self.feed()
        found = {name: self._on(name, feed, len(names)) for name in names}
        if all(each.error is not None for each in found.values()):
            reasons = "; ".join(f"{name}: {each.error}" for name, each in found.items())
            raise InputError(f"{self.source.name} can't be measured ({reasons.rstrip('.')}).", field="model")
        return Profile(
            model=self.source.name,
            inputs=self._described(feed),
            runtimes=found,
            environment=read_environment(),
            comparisons=self._compared(names[0], feed),
            notices=tuple(_notices(found)),
        )

    def feed(self) -> Feed:
        """What inferences are fed with."""
        return feed_for(self.source, self._signature(), self.question)

    def _signature(self) -> Signature:
        if self.source.signature is None:
            raise InputError(f"{self.source.name} does not say what it takes; give --shape or --data.", field="shape")
        return self.source.signature

    def _on(self, name: str, feed: Feed, runtimes: int) -> RuntimeProfile:
        """The model on one runtime."""
        self._say(f"measuring on {name}")
        runtime: Runtime = self.registry.get("runtime", name)
        try:
            path, parity = self._artifact(runtime, feed)
            subject = Subject(self.source.name, path, runtime.loader, runtime.imports)
            return replace(self._measured(runtime, subject, feed, runtimes), parity=parity)
        except (SteelyardError, ImportError) as error:
            return RuntimeProfile(error=str(error))

    def _artifact(self, runtime: Runtime, feed: Feed) -> tuple[Path, Plain | None]:
        """The file that the runtime loads, and how its outputs differ from the source's."""
        if self.source.runtime == runtime.name and self.source.path is not None:
            return self.source.path, self._own_parity(runtime, feed)
        raise InputError(f"{self.source.name} has no way to {runtime.name} yet.", field="runtime")

    def _own_parity(self, runtime: Runtime, feed: Feed) -> Plain | None:
        """An ONNX file against itself without optimisations; other formats have no source to differ from."""
        if runtime.name != "onnxruntime" or self.source.path is None:
            return None
        protocol = self._protocol(runtime, feed)
        wanted, got = (
            outputs_of(
                Subject(self.source.name, self.source.path, runtime.loader, runtime.imports, options),
                feed.rows,
                protocol,
                calls=PARITY_CALLS,
            )
            for options in ({"optimisation": "none"}, {})
        )
        return {**compare_outputs(wanted, got), "source": "the same file without optimisations"}

    def _protocol(self, runtime: Runtime, feed: Feed, *, batch: int | None = None, processes: int = 8) -> Protocol:
        cpu, _ = lanes(default_workers())
        return Protocol(
            loader=runtime.loader,
            imports=runtime.imports,
            batch=batch or feed.batch,
            threads=self.question.threads,
            stacked=feed.stacked,
            processes=processes,
            cpu=cpu,
        )

    def _measured(self, runtime: Runtime, subject: Subject, feed: Feed, runtimes: int) -> RuntimeProfile:
        protocol = self._protocol(runtime, feed)
        # Half of the time is kept for memory, other batches and comparing.
        limit_s = self.question.budget_s / 2 / runtimes
        models = [subject, *self._floor(runtime, feed)]
        latency = self._latency(models, feed, protocol, limit_s, Narrow(self.question.half_width))
        if subject.key in latency.failures:
            raise latency.failures[subject.key]
        memory = measure_memory([subject], feed.rows, protocol)
        if subject.key in memory.failures:
            raise memory.failures[subject.key]
        peaks = memory.peaks[subject.key]
        energy = measure_energy(subject, feed.rows, protocol)
        metrics = {
            **self._counted(subject.path, feed),
            **latency.metrics[subject.key],
            "peak_memory_bytes": peaks["peak"],
            "load_memory_bytes": peaks["load"],
            "run_memory_bytes": peaks["run"],
        }
        if FLOOR in latency.metrics:
            metrics["latency_floor_s"] = latency.metrics[FLOOR]["latency_p50_s"]
        if energy.quantity is not None:
            metrics["energy_j"] = energy.quantity
        notes: dict[str, Any] = {**latency.notes[subject.key], "noise": latency.noise, "energy": energy.reason}
        return RuntimeProfile(metrics, None, self._batches(runtime, subject, feed, limit_s), notes)

    def _floor(self, runtime: Runtime, feed: Feed) -> list[Subject]:
        """A model that does nothing on inputs of this shape, where the runtime reads ONNX and there is one input."""
        if runtime.suffix != ".onnx" or isinstance(feed.rows, Mapping) or feed.rows.dtype != np.float32:
            return []
        path = self.folder / "identity.onnx"
        return [floor_subject(identity_model(path, feed.rows.shape[1:]))]

    def _latency(
        self, models: Sequence[Subject], feed: Feed, protocol: Protocol, limit_s: float, narrow: Narrow | None
    ) -> LatencyRound:
        if self._nominal_s is None:
            self._nominal_s = nominal_time(protocol.cpu)
        return measure_latency(
            models,
            feed.rows,
            protocol,
            nominal_s=self._nominal_s,
            seed=self.question.seed,
            limit_s=limit_s,
            narrow=narrow,
        )

    def _batches(self, runtime: Runtime, subject: Subject, feed: Feed, limit_s: float) -> tuple[BatchPoint, ...]:
        """Throughput at other batch sizes, where the model takes them."""
        asked = self.question.batches
        sizes = [size for size in (BATCHES if asked is None else asked) if size != feed.batch]
        if not feed.can_batch:
            if asked:
                raise InputError(f"'batches' asks for {sizes}, but the model is made for one size.", field="batches")
            return ()
        points = []
        for size in sizes:
            protocol = self._protocol(runtime, feed, batch=size, processes=BATCH_PROCESSES)
            found = self._latency([subject], feed, protocol, limit_s / 4, None)
            if subject.key in found.metrics:
                figures = found.metrics[subject.key]
                points.append(BatchPoint(size, figures["latency_p50_s"], figures["throughput_per_s"]))
        return tuple(points)

    def _counted(self, path: Path, feed: Feed) -> dict[str, Quantity]:
        """What can be counted in the file."""
        if path.suffix != ".onnx":
            return {"size_bytes": Quantity.exact(path.stat().st_size, "B")}
        counts = count(read_model(path), batch=feed.batch)
        return {
            "parameters": Quantity.exact(counts.parameters),
            "macs": Quantity.exact(counts.macs),
            "size_bytes": Quantity.exact(file_bytes(path), "B"),
        }

    def _compared(self, name: str, feed: Feed) -> tuple[Comparison, ...]:
        """The other models against this one, in one interleaved round."""
        if not self.question.compare:
            return ()
        self._say("comparing")
        runtime: Runtime = self.registry.get("runtime", name)
        path, _ = self._artifact(runtime, feed)
        first = Subject(self.source.name, path, runtime.loader, runtime.imports)
        subjects, errors = [first], {}
        for text in self.question.compare:
            try:
                subjects.append(self._other(text, name, feed, taken=[each.key for each in subjects]))
            except MeasurementError as error:
                errors[text] = error.message
        found = self._latency(
            subjects,
            feed,
            self._protocol(runtime, feed),
            self.question.budget_s / 2,
            Narrow(self.question.half_width / 2, ratios=True),
        )
        return tuple(_comparison(each, first.key, name, found) for each in subjects[1:])

    def _other(self, text: str, name: str, feed: Feed, taken: Sequence[str]) -> Subject:
        """Another model as a subject of the round; it must take the same inputs."""
        other = open_source(text, self.registry, trust=self.question.trust)
        runtime: Runtime = self.registry.get("runtime", name)
        if other.path is None or other.runtime != name:
            raise InputError(f"'compare' {text} is not made for {name}, as {self.source.name} is.", field="compare")
        if other.signature is not None:
            names = [port.name for port in other.signature.inputs]
            rows = feed.rows if isinstance(feed.rows, Mapping) else dict.fromkeys(names, feed.rows)
            from_arrays(rows, other.signature, f"the input of {self.source.name}", batch=feed.batch)
        key = text if text not in taken else f"{text} (again)"
        return Subject(key, other.path, runtime.loader, runtime.imports)

    def _described(self, feed: Feed) -> Plain:
        ports = [port.to_json() for port in self._signature().inputs]
        return {"ports": ports, "origin": feed.origin, "batch": feed.batch, "threads": self.question.threads}

    def _say(self, text: str) -> None:
        self.listen(Event("stage", text))


def feed_for(source: Source, signature: Signature, question: Question) -> Feed:
    """Inputs for a model: those of the file that was named, or drawn ones."""
    if question.data is None:
        return drawn(signature, question.shapes, batch=question.batch, seed=question.seed)
    if source.spec is None:
        return from_file(Path(question.data), signature, batch=question.batch, trust=question.trust)
    # The readers of tables and pictures load libraries that drawn inputs don't need.
    from steelyard.tasks.preprocess import encode  # noqa: PLC0415
    from steelyard.tasks.rows import read_rows  # noqa: PLC0415

    rows = encode(source.spec, read_rows(question.data, source.spec, trust=question.trust)).astype(np.float32)
    return from_arrays({"x": rows}, signature, str(question.data), batch=question.batch)


def _comparison(subject: Subject, first: str, runtime: str, found: LatencyRound) -> Comparison:
    if subject.key in found.failures:
        return Comparison(subject.key, runtime, error=found.failures[subject.key].message)
    ratio = found.ratio(subject.key, first)
    return Comparison(subject.key, runtime, ratio.quantity, ratio.p, ratio.is_proved)


def _notices(found: Mapping[str, RuntimeProfile]) -> list[str]:
    notices = []
    for name, each in found.items():
        if each.error is not None:
            notices.append(f"{name}: {each.error}")
        elif each.notes.get("noise"):
            notices.append(f"{name}: {each.notes['noise']}")
    return notices
