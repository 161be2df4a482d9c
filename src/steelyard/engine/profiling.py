"""Profile a model: figures on each runtime, layers, the limit of the machine, other models beside it."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.core.errors import InputError, RuntimeFailureError, SteelyardError
from steelyard.core.events import Event, Listener, silent
from steelyard.core.port import Port, Signature
from steelyard.core.profiling import Comparison, Profile, RuntimeProfile
from steelyard.core.protocols import Exporter, Runtime
from steelyard.core.registry import Registry
from steelyard.core.task import feed_of
from steelyard.core.wire import Plain
from steelyard.engine.bench import Bench, Settings
from steelyard.engine.feeding import Feed, drawn, from_arrays, from_file
from steelyard.engine.ports import signature_of_file
from steelyard.engine.sources import Source, open_source
from steelyard.graph.reading import read_model
from steelyard.graph.signature import signature_of
from steelyard.measure.environment import read_environment
from steelyard.measure.latency import LatencyRound, Narrow
from steelyard.measure.process import Subject

ELEMENT_TYPES = ("float32", "int64")
"""Types that an input of a module is tried with, whose code alone says which it takes."""


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


def profile(
    question: Question, registry: Registry, listen: Listener = silent, *, plugins: tuple[str, ...] = ()
) -> Profile:
    """The answer.

    Args:
        question: what is asked.
        registry: of runtimes.
        listen: hears what happens.
        plugins: addresses that extended the registry; child processes resolve them anew.

    Raises:
        InputError: one sentence on the first thing that can't be used, or where no runtime can run the model.
    """
    source = open_source(question.model, registry, weights=question.weights, trust=question.trust)
    names = question.runtimes or (source.runtime or "onnxruntime",)
    for name in names:
        registry.get("runtime", name)
    others = [(text, open_source(text, registry, trust=question.trust)) for text in question.compare]
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        feed, signature, exported = _fed(source, question, registry, Path(folder))
        settings = Settings(
            threads=question.threads,
            half_width=question.half_width,
            # Half of the time is kept for memory, other batches and comparing.
            limit_s=question.budget_s / 2 / len(names),
            batches=question.batches,
            seed=question.seed,
            plugins=plugins,
        )
        bench = Bench(registry, source, feed, Path(folder), settings, exported)
        inputs = _described(signature, feed, question)
        if question.estimate:
            return _estimated(bench, signature, inputs, listen)
        compared = [_other(text, other, names[0], feed, first=source.name, registry=registry) for text, other in others]
        found = {name: _on(bench, name, listen) for name in names}
        if all(each.error is not None for each in found.values()):
            reasons = "; ".join(f"{name}: {each.error}" for name, each in found.items())
            raise InputError(f"{source.name} can't be measured ({reasons.rstrip('.')}).", field="model")
        if compared:
            listen(Event("stage", "comparing"))
        return Profile(
            model=source.name,
            inputs=inputs,
            runtimes=found,
            environment=read_environment(),
            layers=bench.layers,
            limit=bench.limit,
            audit=bench.audit,
            comparisons=_compared(bench, names[0], question, compared),
            notices=(*_notices(found), *bench.remarks),
        )


def _estimated(bench: Bench, signature: Signature, inputs: Plain, listen: Listener) -> Profile:
    """What the model would take on ONNX Runtime, and what can be counted; nothing is run.

    Raises:
        InputError: if the model is no ONNX file and none can be made of it, or threads are asked for.
    """
    # The cost model loads libraries that measuring does without.
    from steelyard.engine.estimate import estimate  # noqa: PLC0415
    from steelyard.engine.learning import build_cost_model, read_cost_model  # noqa: PLC0415

    path = bench.onnx()
    if path is None:
        raise InputError(f"'estimate' needs an ONNX file or a torch module, got {bench.source.name}.", field="estimate")
    if bench.settings.threads != 1:
        raise InputError(f"'estimate' knows one thread, got {bench.settings.threads}.", field="threads")
    model = read_cost_model()
    if model is None:
        listen(Event("notice", "no cost model was built on this machine yet: building one, which takes nine minutes"))
        model = build_cost_model(listen=listen)
    found = estimate(path, bench.feed.shapes(signature), bench.feed.batch, model=model)
    return Profile(
        model=bench.source.name,
        inputs=inputs,
        runtimes={"onnxruntime": RuntimeProfile(bench.counted("onnxruntime", bench.subject("onnxruntime")))},
        environment=read_environment(),
        estimate=found.to_json(),
        notices=("estimated, not measured: nothing was run",),
    )


def _on(bench: Bench, name: str, listen: Listener) -> RuntimeProfile:
    """The model on one runtime; why not, where it can't be run there: the others go on."""
    listen(Event("stage", f"measuring on {name}"))
    try:
        return bench.measured(name)
    except (SteelyardError, ImportError) as error:
        return RuntimeProfile(error=str(error))


def _fed(source: Source, question: Question, registry: Registry, folder: Path) -> tuple[Feed, Signature, Path | None]:
    """Inputs, the signature that they fit, and the ONNX file of a module."""
    if source.module is None:
        signature = signature_for(source, registry) or _stated(source, question)
        return feed_for(source, signature, question), signature, None
    path = folder / "exported.onnx"
    exporter: Exporter = registry.get("exporter", "onnxruntime")
    first: RuntimeFailureError | None = None
    for kind in ELEMENT_TYPES:
        try:
            exporter.export(source.module, feed_for(source, _stated(source, question, kind), question).example(), path)
        except RuntimeFailureError as error:
            first = first or error
        else:
            # The file knows what the module's code does not say: types, and how large indices may be.
            signature = signature_of(read_model(path))
            return feed_for(source, signature, question), signature, path
    raise InputError(f"{source.name} can't be exported with these inputs: {first}", field="shape") from first


def signature_for(source: Source, registry: Registry) -> Signature | None:
    """What a file takes, as it says itself or as its runtime tells; None where neither can.

    Raises:
        InputError: if its runtime refuses the file.
        MissingExtraError: if its runtime is not installed.
    """
    if source.signature is not None or source.path is None or source.runtime is None:
        return source.signature
    return signature_of_file(registry, source.runtime, source.path, trust=source.is_trusted, key=source.name)


def _stated(source: Source, question: Question, kind: str = "float32") -> Signature:
    """What a model takes as far as the question says it: the shapes asked for, or the arrays of a file."""
    if question.data is not None:
        from steelyard.tasks.rows import read_arrays  # noqa: PLC0415  loads the readers of tables

        arrays = read_arrays(question.data, trust=question.trust)
        name = next((each for each in ("x", "x_valid", "x_test", "x_train") if each in arrays), None)
        if name is None and len(arrays) != 1:
            raise InputError(
                f"{question.data} must hold an array x for {source.name}, got {', '.join(arrays)}.", field="data"
            )
        array = arrays[name] if name is not None else next(iter(arrays.values()))
        own = "float32" if array.dtype.kind == "f" or kind == "float32" else str(array.dtype)
        return Signature((Port("x", own, (None, *array.shape[1:])),))
    if not question.shapes:
        raise InputError(f"{source.name} does not say what it takes; give --shape or --data.", field="shape")
    ports = (Port(name or "x", kind, shape) for name, shape in question.shapes.items())
    return Signature(tuple(ports))


def feed_for(source: Source, signature: Signature, question: Question) -> Feed:
    """Inputs for a model: those of the file that was named, or drawn ones."""
    if question.data is None:
        return drawn(signature, question.shapes, batch=question.batch, seed=question.seed)
    if source.spec is None:
        return from_file(Path(question.data), signature, batch=question.batch, trust=question.trust)
    # The readers of tables and pictures load libraries that drawn inputs don't need.
    from steelyard.tasks.preprocess import encode  # noqa: PLC0415
    from steelyard.tasks.rows import read_rows  # noqa: PLC0415

    rows = feed_of(encode(source.spec, read_rows(question.data, source.spec, trust=question.trust)))
    named = rows if isinstance(rows, Mapping) else {"x": rows}
    return from_arrays(named, signature, str(question.data), batch=question.batch)


def _other(text: str, other: Source, name: str, feed: Feed, *, first: str, registry: Registry) -> tuple[str, Source]:
    """Another model to compare with, if it is made for the same runtime and takes the same inputs.

    Raises:
        InputError: one sentence, if it does not.
    """
    if other.path is None or other.runtime != name:
        raise InputError(f"'compare' {text} must be a file for {name}, as {first} is measured on it.", field="compare")
    signature = signature_for(other, registry)
    if signature is not None:
        names = [port.name for port in signature.inputs]
        rows = feed.rows if isinstance(feed.rows, Mapping) else dict.fromkeys(names, feed.rows)
        try:
            from_arrays(rows, signature, f"the input of {first}", batch=feed.batch)
        except InputError as error:
            raise InputError(f"'compare' {text} takes other inputs: {error.message}", field="compare") from error
    return text, other


def _compared(
    bench: Bench, name: str, question: Question, others: Sequence[tuple[str, Source]]
) -> tuple[Comparison, ...]:
    """The other models against this one, in one interleaved round."""
    if not others:
        return ()
    runtime: Runtime = bench.registry.get("runtime", name)
    first = bench.subject(name)
    trusted = {"trust": True} if runtime.runs_code and question.trust else {}
    subjects = [first]
    for number, (text, other) in enumerate(others):
        key = text if text not in {each.key for each in subjects} else f"{text} (model {number + 2})"
        if other.path is not None:
            subjects.append(Subject(key, other.path, runtime.loader, runtime.imports, trusted))
    found = bench.latency(
        subjects, bench.protocol(name), Narrow(question.half_width / 2, ratios=True), limit_s=question.budget_s / 2
    )
    return tuple(_comparison(each, first.key, name, found) for each in subjects[1:])


def _comparison(subject: Subject, first: str, runtime: str, found: LatencyRound) -> Comparison:
    if subject.key in found.failures:
        return Comparison(subject.key, runtime, error=found.failures[subject.key].message)
    ratio = found.ratio(subject.key, first)
    return Comparison(subject.key, runtime, ratio.quantity, ratio.p, ratio.is_proved)


def _described(signature: Signature, feed: Feed, question: Question) -> Plain:
    ports = [port.to_json() for port in signature.inputs]
    return {"ports": ports, "origin": feed.origin, "batch": feed.batch, "threads": question.threads}


def _notices(found: Mapping[str, RuntimeProfile]) -> list[str]:
    notices = []
    for name, each in found.items():
        if each.error is not None:
            notices.append(f"{name}: {each.error}")
        elif each.notes.get("noise"):
            notices.append(f"{name}: {each.notes['noise']}")
    return notices
