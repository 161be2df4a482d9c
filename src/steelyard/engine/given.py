"""A model that is there already: named, opened, its inputs told, its outputs computed."""

import base64
import hashlib
import inspect
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from steelyard.core.errors import InputError, RuntimeFailureError
from steelyard.core.port import Port
from steelyard.core.protocols import Exporter, Feed
from steelyard.core.registry import Registry
from steelyard.core.task import Array, feed_of, structured
from steelyard.core.userfile import absolute_address, is_user_address
from steelyard.core.wire import Plain, file_sha256
from steelyard.engine.evaluating import BATCH
from steelyard.engine.sources import Source, open_source
from steelyard.graph.reading import read_model
from steelyard.graph.signature import signature_of
from steelyard.graph.whole import write_whole
from steelyard.measure.calling import call
from steelyard.tasks.given import Given, Material, features_of, raw_inputs
from steelyard.tasks.splits import SPLITS

LIMIT_S = 300.0
"""Seconds that a stranger's file may take to be run over the rows it is judged by."""
_KINDS: Mapping[str, tuple[str, ...]] = {"i": ("int64", "float32"), "u": ("float32", "int64"), "b": ("bool", "float32")}
"""Types that a module's input is tried with, by the kind of the data's own type: codes stay whole, bytes are pixels."""


@dataclass(frozen=True, slots=True)
class GivenModel:
    """Which model is to be compressed: an ONNX file, a function that returns a torch module, or a module in memory.

    Attributes:
        name: by which candidates call it.
        path: of the ONNX file; None for a module.
        address: `file.py:function` with an absolute path, or a Keras file's path; None otherwise.
        weights: the file of the module's weights, or None.
        ports: its inputs, free axes but the first as long as the data have them.
        trust: whether files that can run code may be opened.
        memory: a module of the calling process, packed for our own workers; it goes through their pipes, into no file.
    """

    name: str
    path: str | None
    address: str | None
    weights: str | None
    ports: tuple[Port, ...]
    trust: bool = False
    memory: str | None = None

    @property
    def is_module(self) -> bool:
        """Whether there is training code: steps on modules are possible."""
        return self.path is None

    @property
    def files(self) -> dict[str, str]:
        """Hashes of the files that make the model what it is, by what they are."""
        named = {"model": self.path or self.address, "weights": self.weights}
        found = {}
        for what, text in named.items():
            if text is not None:
                found[what] = file_sha256(Path(text.rpartition(":")[0] if is_user_address(text) else text))
        if self.memory is not None:
            found["model"] = hashlib.sha256(self.memory.encode()).hexdigest()
        return found

    def to_json(self) -> Plain:
        """The plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "ports": [port.to_json() for port in self.ports]}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        ports = tuple(Port(each["name"], each["type"], tuple(each["shape"])) for each in plain["ports"])
        return cls(**{**plain, "ports": ports})

    def module(self) -> Any:
        """The torch module, with its weights. Runs the user's own code."""
        if self.memory is not None:
            import cloudpickle  # noqa: PLC0415  for modules in memory alone

            return cloudpickle.loads(base64.b64decode(self.memory))
        source = open_source(
            str(self.address), Registry(), weights=Path(self.weights) if self.weights else None, trust=self.trust
        )
        return source.module


def packed(module: Any) -> str:
    """A torch module of this process as text, with the code of its classes where no file has it.

    Raises:
        InputError: if it holds what can't leave the process, such as open files.
    """
    import cloudpickle  # noqa: PLC0415

    try:
        return base64.b64encode(cloudpickle.dumps(module)).decode()
    except Exception as error:
        raise InputError(
            f"'model' can't be handed to a worker ({type(error).__name__}: {error}); put what makes it into a file and "
            "name it as file.py:function.",
            field="model",
        ) from error


@contextmanager
def opened(
    model: Any, material: Material, registry: Registry, *, weights: Path | None, trust: bool
) -> Iterator[tuple[GivenModel, Given, Path]]:
    """The model of that name, how it is run, and its ONNX file, while the context lasts.

    Args:
        model: an ONNX file, a Keras file, `file.py:function`, or a torch module.
        material: the data, which say how long free axes are and what a module's inputs are.
        registry: of the runtimes, which say what their files are called.
        weights: of a module.
        trust: open files that can run code.

    Raises:
        InputError: one sentence on what is wrong with it.
    """
    if not isinstance(model, str):
        with _in_memory(model, material, registry, weights) as found:
            yield found
        return
    source = open_source(model, registry, weights=weights, trust=trust)
    name = Path(model.rpartition(":")[0] if is_user_address(model) else model).stem
    name = model.rpartition(":")[2] if is_user_address(model) else name
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        batch = None
        if source.module is not None:
            path = Path(folder) / "given.onnx"
            ports = _exported(source, material, registry, path)
            address = absolute_address(model) if is_user_address(model) else str(Path(model).resolve())
            kept = None if weights is None else str(weights.resolve())
            known = GivenModel(name, None, address, kept, ports, trust)
        else:
            own, path = _onnx_path(source), Path(folder) / "given.onnx"
            batch = write_whole(own, path)
            ports = _closed(signature_of(read_model(path)).inputs, material)
            known = GivenModel(name, str(own.resolve()), None, None, ports, trust)
        yield known, Given(name, ports, lambda rows: _run(path, rows, Path(folder), batch)), path


@contextmanager
def _in_memory(
    model: Any, material: Material, registry: Registry, weights: Path | None
) -> Iterator[tuple[GivenModel, Given, Path]]:
    """A torch module of this process."""
    if weights is not None:
        raise InputError("'weights' belong to a file.py:function; load them into the module itself.", field="weights")
    if not callable(getattr(model, "state_dict", None)):
        raise InputError(
            f"'model' must be a file, file.py:function or a torch module, got {type(model).__name__}.", field="model"
        )
    name = type(model).__name__.lower()
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        path = Path(folder) / "given.onnx"
        source = Source(name, None, None, None, module=model.eval())
        ports = _exported(source, material, registry, path)
        known = GivenModel(name, None, None, None, ports, memory=packed(model))
        yield known, Given(name, ports, lambda rows: run_apart(path, rows, folder=Path(folder))), path


def _onnx_path(source: Source) -> Path:
    if source.path is None or source.runtime != "onnxruntime":
        raise InputError(
            f"'model' must be an .onnx file, a Keras file or file.py:function to be compressed, got {source.name}; "
            "files made for other runtimes can be profiled only.",
            field="model",
        )
    return source.path


def _run(path: Path, rows: Array, folder: Path, batch: int | None) -> Array:
    """Outputs of a file whose batch may have been freed only to find that its graph needs it."""
    try:
        return run_apart(path, rows, folder=folder)
    except InputError as error:
        if batch is None:
            raise
        raise InputError(
            f"the model takes exactly {batch} row(s) at a time, and its graph allows no other number; export it with a "
            "free batch axis.",
            field="model",
        ) from error


def run_apart(path: Path, rows: Array, *, folder: Path) -> Array:
    """Outputs (n, width) of an ONNX file, computed in a process of its own: a hostile file may crash its runtime.

    Args:
        path: the file.
        rows: structured inputs (n,).
        folder: for what goes back and forth.

    Raises:
        InputError: if ONNX Runtime refuses the file or the rows.
        MeasurementError: if the process dies, or takes too long.
    """
    inputs, outputs = folder / "rows.npy", folder / "outputs.npy"
    np.save(inputs, rows, allow_pickle=False)
    arguments = {"path": str(path), "inputs": str(inputs), "outputs": str(outputs)}
    call("steelyard.engine.given:run_here", arguments, key=path.name, limit_s=LIMIT_S)
    found: Array = np.load(outputs, allow_pickle=False)
    return found


def run_here(path: str, inputs: str, outputs: str) -> None:
    """The called process's part of `run_apart`."""
    from steelyard.runtimes.onnxruntime.run import RUNTIME  # noqa: PLC0415  the caller never loads the runtime

    rows = np.load(inputs, allow_pickle=False, mmap_mode="r")
    try:
        session = RUNTIME.load(Path(path))
        parts = [session.run(feed_of(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)]
    except RuntimeFailureError as error:
        raise InputError(error.message, field="model") from error
    found = np.concatenate(parts)
    if len(found) != len(rows):
        raise InputError(
            f"the model must give an output for each row, got {len(found)} for {len(rows)}; is its batch axis free?",
            field="model",
        )
    np.save(outputs, found.astype(np.float32, copy=False), allow_pickle=False)


def _exported(source: Source, material: Material, registry: Registry, path: Path) -> tuple[Port, ...]:
    """Write a module as an ONNX file, and tell its inputs: their types are tried, for its code does not say them."""
    from steelyard.training.modules import module_outputs  # noqa: PLC0415  imports torch

    exporter: Exporter = registry.get("exporter", "onnxruntime")
    first: Exception | None = None
    for names, arrays in _tried(source, material):
        example = {name: array[:2] for name, array in zip(names, arrays, strict=True)}
        if len(arrays[0]) < 2:
            example = {name: np.concatenate([array[:1], array[:1]]) for name, array in example.items()}
        try:
            module_outputs(source.module, example)
        except Exception as error:  # noqa: BLE001  the user's own code raises whatever it likes
            first = first or error
            continue
        exporter.export(source.module, example, path)
        return tuple(
            Port(name, str(array.dtype), ("n", *array.shape[1:])) for name, array in zip(names, arrays, strict=True)
        )
    shown = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in _inputs_of(source, material).items())
    text = next(iter(str(first).splitlines()), "no message")
    raise InputError(
        f"{source.name} can't be run with the data's {shown}: {type(first).__name__}: {text}", field="data"
    )


def _tried(source: Source, material: Material) -> Iterator[tuple[list[str], list[Array]]]:
    """The inputs as arrays, in each type and shape that the module may take."""
    raw = _inputs_of(source, material)
    longest = max(len(_KINDS.get(array.dtype.kind, ("float32",))) for array in raw.values())
    for turn in range(longest):
        typed = {}
        for name, array in raw.items():
            kinds = _KINDS.get(array.dtype.kind, ("float32",))
            typed[name] = array.astype(kinds[min(turn, len(kinds) - 1)])
        yield list(typed), list(typed.values())
        if len(typed) == 1:
            (name, array) = next(iter(typed.items()))
            for shaped in _shaped(array):
                yield [name], [shaped]


def _shaped(array: Array) -> Sequence[Array]:
    """Other shapes of images and series: channels first, an axis for one channel."""
    if array.ndim == 4:
        return [np.ascontiguousarray(array.transpose(0, 3, 1, 2))]
    if array.ndim == 3:
        return [array[:, None]]
    return [array[..., None], array[:, None]] if array.ndim == 2 else []


def _inputs_of(source: Source, material: Material) -> dict[str, Array]:
    """Two rows of the module's inputs by the names of its arguments; a single one is called `x` where the data do."""
    arguments = [
        name
        for name, each in inspect.signature(source.module.forward).parameters.items()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    raw = _first_raw(material, arguments or ["x"])
    if not isinstance(raw, Mapping) and raw is not None and len(arguments) <= 1:
        return {"x": np.asarray(raw)[:2]}
    have = raw if isinstance(raw, Mapping) else {}
    if len(arguments) <= 1 and have:
        name = next((each for each in (*arguments, "x") if each in have), None)
        return {name or "x": np.asarray(have[name] if name else features_of(have))[:2]}
    missing = next((each for each in (arguments or ["x"]) if each not in have), None)
    if missing is not None:
        shown = ", ".join(sorted(map(str, have or material.arrays))) or "none"
        raise InputError(
            f"{material.origin} must hold an array {missing!r} for {source.name}, got {shown}.", field="data"
        )
    return {name: np.asarray(have[name])[:2] for name in arguments}


def _first_raw(material: Material, names: Sequence[str]) -> Any:
    """The raw inputs of the first split that has rows; None where none has."""
    found = (raw_inputs(material, split, names) for split in ("", *SPLITS))
    return next((raw for raw in found if raw is not None), None)


def _closed(ports: Sequence[Port], material: Material) -> tuple[Port, ...]:
    """Inputs whose free axes but the first are as long as the data have them."""
    raw = _first_raw(material, [port.name for port in ports])
    if isinstance(raw, Mapping) and len(ports) == 1 and ports[0].name not in raw:
        raw = features_of(raw)
    arrays = raw if isinstance(raw, Mapping) else {ports[0].name: raw}
    return tuple(_closed_like(port, arrays.get(port.name)) for port in ports)


def _closed_like(port: Port, array: Array | None) -> Port:
    if port.shape is None:
        return port
    shape = port.shape[1:]
    if array is not None and np.ndim(array) == len(port.shape):
        shape = tuple(
            own if isinstance(own, int) else int(there) for own, there in zip(shape, np.shape(array)[1:], strict=True)
        )
    return Port(port.name, port.type, ("n", *shape))


def example_of(model: GivenModel, rows: Array) -> Feed:
    """Two rows as an exporter takes them, by the names of the model's inputs."""
    two = rows[:2] if len(rows) > 1 else np.concatenate([rows[:1], rows[:1]])
    feed = feed_of(two)
    return feed if isinstance(feed, Mapping) else feed_of(structured({model.ports[0].name: feed}))
