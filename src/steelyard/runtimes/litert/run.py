"""Load and run LiteRT's files. Needs numpy and ai-edge-litert alone."""

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
from steelyard.runtimes.loading import check_file, check_options, first_line, library, positional, refusal

NAME = "LiteRT"
OPTIONS: Mapping[str, tuple[Setting, ...]] = MappingProxyType({})
IDENTIFIER = b"TFL3"
"""What stands at byte 4 of every file of this format (tensorflow, lite/schema/schema.fbs)."""


@dataclass(frozen=True, slots=True)
class LiteRtSession:
    """An interpreter with its tensors allocated, for the one batch that its file was written for."""

    raw: Any
    inputs: tuple[Any, ...]
    output: int
    rows: int

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...), or of arrays in the order of the inputs.

        A file is written for one row (`steelyard.runtimes.litert.export`), so rows are run one after the other.

        Raises:
            RuntimeFailureError: if LiteRT refuses the input or fails.
        """
        arrays = positional(x)
        total = len(arrays[0])
        if total == self.rows:
            return self._once(arrays)
        if total % self.rows:
            raise RuntimeFailureError(
                f"{NAME} failed to run the model: it takes batches of {self.rows} rows, got {total} rows."
            )
        starts = range(0, total, self.rows)
        return np.concatenate([self._once(tuple(each[i : i + self.rows] for each in arrays)) for i in starts])

    def _once(self, arrays: tuple[Array, ...]) -> Array:
        try:
            for index, each in zip(self.inputs, arrays, strict=True):
                self.raw.set_tensor(index, each)
            self.raw.invoke()
            outputs: Array = self.raw.get_tensor(self.output)
        except Exception as error:
            raise RuntimeFailureError(f"{NAME} failed to run the model: {first_line(error)}") from error
        return outputs


@dataclass(frozen=True, slots=True)
class LiteRtRuntime:
    """LiteRT with its own XNNPACK kernels on the CPU."""

    name: str = "litert"
    suffix: str = ".tflite"
    companions: tuple[str, ...] = ()
    loader: str = "steelyard.runtimes.litert.run:open_session"
    describer: str = "steelyard.runtimes.litert.run:ports"
    imports: tuple[str, ...] = ("ai_edge_litert.interpreter",)
    options: Mapping[str, tuple[Setting, ...]] = field(default_factory=lambda: OPTIONS)
    runs_code: bool = False

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:  # noqa: ARG002
        """A session on a model file.

        Raises:
            RuntimeFailureError: if LiteRT refuses the file.
            InputError: if an option is given: it has none.
            MissingExtraError: if ai-edge-litert is not installed.
        """
        return _load(path, threads, options)


def open_session(path: str, threads: int, **options: Setting) -> Callable[[Feed], Array]:
    """The loader that measuring processes resolve by name: a function that runs one inference.

    Args:
        path: the model file.
        threads: of the interpreter.
        options: none is known.

    Raises:
        RuntimeFailureError: if LiteRT refuses the file.
        InputError: if an option is given.
    """
    return _load(Path(path), threads, options).run


def ports(path: str, **options: Setting) -> Plain:
    """What a file takes and gives: `inputs` and `outputs`, each of `name`, `type` and `shape`.

    A file is made for one size of every axis.

    Args:
        path: the model file.
        options: none is known.

    Raises:
        RuntimeFailureError: if LiteRT refuses the file.
        InputError: if an option is given.
        MissingExtraError: if ai-edge-litert is not installed.
    """
    raw = _interpreter(Path(path), 1, options)
    return {
        "inputs": [_port(each) for each in raw.get_input_details()],
        "outputs": [_port(each) for each in raw.get_output_details()],
    }


def _port(details: Mapping[str, Any]) -> Plain:
    shape = [int(size) for size in details["shape"]]
    return {"name": str(details["name"]), "type": np.dtype(details["dtype"]).name, "shape": shape}


def _load(path: Path, threads: int, options: Mapping[str, Setting]) -> LiteRtSession:
    raw = _interpreter(path, threads, options)
    inputs, outputs = raw.get_input_details(), raw.get_output_details()
    if not inputs or not outputs or not len(inputs[0]["shape"]):
        raise refusal(NAME, path, "it takes no rows or gives nothing")
    rows = int(inputs[0]["shape"][0])
    return LiteRtSession(raw, tuple(each["index"] for each in inputs), outputs[0]["index"], rows)


def _interpreter(path: Path, threads: int, options: Mapping[str, Setting]) -> Any:
    """The library's own interpreter, its tensors allocated."""
    check_options("litert", OPTIONS, options)
    interpreter = library("ai_edge_litert.interpreter", runtime="litert", package="ai-edge-litert")
    check_file(path, NAME)
    with path.open("rb") as stream:
        if stream.read(8)[4:] != IDENTIFIER:
            raise refusal(NAME, path, "it is no LiteRT file")
    try:
        raw = interpreter.Interpreter(model_path=str(path), num_threads=threads)
        raw.allocate_tensors()
    except Exception as error:
        raise refusal(NAME, path, first_line(error)) from error
    return raw


RUNTIME = LiteRtRuntime()
"""The entry of the registry."""
