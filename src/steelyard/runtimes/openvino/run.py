"""Load and run OpenVINO's files, and ONNX files, with OpenVINO on the CPU. Needs numpy and openvino alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from steelyard.core.candidate import Setting
from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed, Session
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.runtimes.loading import check_file, check_options, first_line, library, refusal

NAME = "OpenVINO"
OPTIONS: Mapping[str, tuple[Setting, ...]] = MappingProxyType(
    {"precision": ("f32", "bf16"), "shape": ("free", "fixed")}
)
"""Settings of loading.

`precision` is what floats are computed in: bf16 is emulated where the processor lacks it, at half the speed. `shape`
"fixed" compiles the graph again for the first batch that it sees, and for no other.
"""
ONNX_TAGS = frozenset((0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA))
"""First bytes that an ONNX file may have: field number and type of each field of its outermost message."""


@dataclass(frozen=True, slots=True)
class OpenVinoSession:
    """A compiled model and the one request that runs it."""

    request: Any
    inputs: tuple["_Input", ...]

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...), or of arrays by input name.

        Raises:
            RuntimeFailureError: if OpenVINO refuses the input or fails.
        """
        arrays = x if isinstance(x, Mapping) else {self.inputs[0].name: x}
        for each in self.inputs:
            each.check(arrays)
        try:
            self.request.infer({each.index: arrays[each.name] for each in self.inputs})
            # The request's own memory is written again by the next call.
            return np.array(self.request.get_output_tensor(0).data)
        except Exception as error:
            raise RuntimeFailureError(f"{NAME} failed to run the model: {_why(error)}.") from error


@dataclass(frozen=True, slots=True)
class FixedSession:
    """A model that is compiled for the shapes of its first input, and refuses others."""

    compiled: "_Fixed"

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...) of the one shape.

        Raises:
            RuntimeFailureError: if OpenVINO refuses the input or fails.
        """
        return self.compiled.session(x).run(x)


class _Fixed:
    """Compiles when the first input is seen."""

    def __init__(self, core: Any, model: Any, settings: Mapping[str, Any]) -> None:
        self.core, self.model, self.settings = core, model, settings
        self.known: OpenVinoSession | None = None

    def session(self, x: Feed) -> OpenVinoSession:
        if self.known is None:
            shapes = {name: list(each.shape) for name, each in x.items()} if isinstance(x, Mapping) else list(x.shape)
            try:
                self.model.reshape(shapes)
                self.known = _session(self.core.compile_model(self.model, "CPU", self.settings))
            except Exception as error:
                raise RuntimeFailureError(f"{NAME} failed to fix the shapes of the model: {_why(error)}.") from error
        return self.known


@dataclass(frozen=True, slots=True)
class OpenVinoRuntime:
    """OpenVINO on the CPU: one stream, tuned for latency, floats kept as they are."""

    name: str = "openvino"
    suffix: str = ".xml"
    companions: tuple[str, ...] = (".bin",)
    loader: str = "steelyard.runtimes.openvino.run:open_session"
    describer: str = "steelyard.runtimes.openvino.run:ports"
    imports: tuple[str, ...] = ("openvino",)
    options: Mapping[str, tuple[Setting, ...]] = field(default_factory=lambda: OPTIONS)
    runs_code: bool = False

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:  # noqa: ARG002
        """A session on a model file: `.xml` with its `.bin` beside it, or `.onnx`.

        Raises:
            RuntimeFailureError: if OpenVINO refuses the file.
            InputError: if an option is not known.
            MissingExtraError: if openvino is not installed.
        """
        return _load(path, threads, options)


def open_session(path: str, threads: int, **options: Setting) -> Callable[[Feed], Array]:
    """The loader that measuring processes resolve by name: a function that runs one inference.

    Args:
        path: the model file, `.xml` or `.onnx`.
        threads: threads of the one stream.
        options: see `OPTIONS`.

    Raises:
        RuntimeFailureError: if OpenVINO refuses the file.
        InputError: if an option is not known.
    """
    return _load(Path(path), threads, options).run


def ports(path: str, **options: Setting) -> Plain:
    """What a file takes and gives: `inputs` and `outputs`, each of `name`, `type` and `shape`.

    In a shape None is a free axis, or an unknown rank.

    Args:
        path: the model file.
        options: see `OPTIONS`; none changes them.

    Raises:
        RuntimeFailureError: if OpenVINO refuses the file.
        InputError: if an option is not known.
        MissingExtraError: if openvino is not installed.
    """
    check_options("openvino", OPTIONS, options)
    openvino = library("openvino", runtime="openvino", package="openvino")
    _check_kind(Path(path))
    try:
        model = openvino.Core().read_model(path)
        return {"inputs": [_port(each) for each in model.inputs], "outputs": [_port(each) for each in model.outputs]}
    except Exception as error:
        raise refusal(NAME, Path(path), _why(error)) from error


def _port(tensor: Any) -> Plain:
    shape = tensor.partial_shape
    return {
        # Results often have no name of their own.
        "name": tensor.any_name if tensor.names else tensor.node.friendly_name,
        "type": np.dtype(tensor.element_type.to_dtype()).name,
        "shape": [axis.get_length() if axis.is_static else None for axis in shape] if shape.rank.is_static else None,
    }


def _load(path: Path, threads: int, options: Mapping[str, Setting]) -> Session:
    check_options("openvino", OPTIONS, options)
    openvino = library("openvino", runtime="openvino", package="openvino")
    _check_kind(path)
    settings = {
        "INFERENCE_PRECISION_HINT": options.get("precision", "f32"),
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    try:
        core = openvino.Core()
        model = core.read_model(str(path))
        if options.get("shape") == "fixed":
            return FixedSession(_Fixed(core, model, settings))
        return _session(core.compile_model(model, "CPU", settings))
    except Exception as error:
        raise refusal(NAME, path, _why(error)) from error


@dataclass(frozen=True, slots=True)
class _Input:
    """What an input takes; None is an axis of any length."""

    index: int
    name: str
    type: np.dtype[Any]
    shape: tuple[int | None, ...]

    def check(self, arrays: Mapping[str, Array]) -> None:
        """Refuse what does not fit: OpenVINO casts other types and takes other shapes without a word."""
        x = arrays.get(self.name)
        if x is None:
            raise RuntimeFailureError(f"{NAME} failed to run the model: it needs the input {self.name!r}.")
        fits = len(x.shape) == len(self.shape) and all(
            wanted in (None, got) for wanted, got in zip(self.shape, x.shape, strict=True)
        )
        if not fits or x.dtype != self.type:
            shape = ", ".join("n" if each is None else str(each) for each in self.shape)
            raise RuntimeFailureError(
                f"{NAME} failed to run the model: input {self.name!r} takes {self.type} of shape ({shape}), "
                f"got {x.dtype} of shape {x.shape}."
            )


def _session(compiled: Any) -> OpenVinoSession:
    inputs = tuple(
        _Input(
            index,
            each.any_name,
            np.dtype(each.element_type.to_dtype()),
            tuple(axis.get_length() if axis.is_static else None for axis in each.partial_shape),
        )
        for index, each in enumerate(compiled.inputs)
    )
    return OpenVinoSession(compiled.create_infer_request(), inputs)


def _check_kind(path: Path) -> None:
    """Refuse what is neither of the two formats: OpenVINO tries all it knows, and prints what it read."""
    check_file(path, NAME)
    with path.open("rb") as stream:
        head = stream.read(512)
    if path.suffix == ".onnx":
        if head[0] not in ONNX_TAGS:
            raise refusal(NAME, path, "it is no ONNX file")
        return
    if b"<net" not in head:
        raise refusal(NAME, path, "it is no OpenVINO file, which starts with <net")
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise refusal(NAME, path, f"{weights.name}, its weights, must be beside it")


def _why(error: Exception) -> str:
    """The line of OpenVINO's message that says what is wrong; the first ones name places in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return (told[0] if told else first_line(error))[:300].rstrip(".")


RUNTIME = OpenVinoRuntime()
"""The entry of the registry."""
