"""Load and run ONNX files with ONNX Runtime. Needs numpy and onnxruntime, no training library."""

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
from steelyard.graph.marks import is_encoded
from steelyard.runtimes.loading import check_options, first_line, library

OPTIMISATIONS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}
"""Levels of graph optimisation and the library's names for them: onnxruntime.ai, "Graph optimizations"."""
OPTIONS: Mapping[str, tuple[Setting, ...]] = MappingProxyType(
    {"optimisation": tuple(OPTIMISATIONS), "arena": (True, False)}
)
"""Settings of loading: the level of graph optimisation, and whether memory comes from an arena."""


@dataclass(frozen=True, slots=True)
class OnnxSession:
    """A model file loaded by ONNX Runtime on the CPU."""

    raw: Any
    input_name: str
    output_name: str

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...), or of arrays by input name.

        Raises:
            RuntimeFailureError: if ONNX Runtime refuses the input or fails.
        """
        feed = dict(x) if isinstance(x, Mapping) else {self.input_name: x}
        try:
            outputs = self.raw.run([self.output_name], feed)[0]
        except Exception as error:
            raise RuntimeFailureError(f"ONNX Runtime failed to run the model: {first_line(error)}") from error
        return np.asarray(outputs)


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """ONNX Runtime, CPU provider, one intra-operator thread unless asked."""

    name: str = "onnxruntime"
    suffix: str = ".onnx"
    companions: tuple[str, ...] = ()
    loader: str = "steelyard.runtimes.onnxruntime.run:open_session"
    # ONNX files are read without a runtime: `steelyard.graph.signature`.
    describer: str = ""
    imports: tuple[str, ...] = ("onnxruntime",)
    options: Mapping[str, tuple[Setting, ...]] = field(default_factory=lambda: OPTIONS)
    runs_code: bool = False

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:  # noqa: ARG002
        """A session on a model file.

        Raises:
            RuntimeFailureError: if ONNX Runtime refuses the file.
            InputError: if an option is not known.
        """
        return _load(path, threads, options)

    def load_plain(self, path: Path, *, threads: int = 1) -> Session:
        """A session with all graph optimisations off: the source that parity is judged against.

        Raises:
            RuntimeFailureError: if ONNX Runtime refuses the file.
        """
        return _load(path, threads, {"optimisation": "none"})


def open_session(path: str, threads: int, **options: Setting) -> Callable[[Feed], Array]:
    """The loader that measuring processes resolve by name: a function that runs one inference.

    It takes the one input's array, or arrays by the names of the inputs.

    Args:
        path: the model file.
        threads: threads of one operator.
        options: `optimisation` and `arena`, see `OPTIONS`.

    Raises:
        RuntimeFailureError: if ONNX Runtime refuses the file.
        InputError: if an option is not known.
    """
    session = _load(Path(path), threads, options)
    raw, names, feed = session.raw, [session.output_name], session.input_name

    def run(x: Feed) -> Array:
        return raw.run(names, x if isinstance(x, dict) else {feed: x})[0]  # type: ignore[no-any-return]

    return run


def settings_of(threads: int, options: Mapping[str, Setting]) -> Any:
    """ONNX Runtime's session options: one operator at a time, so many threads each, none of them spinning.

    Raises:
        InputError: if an option is not known.
        MissingExtraError: if the library is not installed.
    """
    check_options("onnxruntime", OPTIONS, options)
    onnxruntime = library("onnxruntime", runtime="onnxruntime", package="onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    # Spinning threads would steal the core of the training lane while a measurement waits.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    level = OPTIMISATIONS[str(options.get("optimisation", "all"))]
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    settings.enable_cpu_mem_arena = bool(options.get("arena", True))
    return settings


def open_raw(path: Path, settings: Any) -> Any:
    """ONNX Runtime's own session on an ONNX file, or on an encoded one, which is decoded in memory.

    Raises:
        RuntimeFailureError: if ONNX Runtime refuses the file.
        BundleError: if it is an encoded file that was cut short or altered.
    """
    onnxruntime = library("onnxruntime", runtime="onnxruntime", package="onnxruntime")
    source: str | bytes = str(path)
    if is_encoded(path):
        from steelyard.graph.reading import read_model  # noqa: PLC0415  plain files must not pay for onnx

        source = read_model(path).SerializeToString()
    try:
        return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RuntimeFailureError(f"ONNX Runtime can't load {path.name}: {first_line(error)}") from error


def _load(path: Path, threads: int, options: Mapping[str, Setting]) -> OnnxSession:
    raw = open_raw(path, settings_of(threads, options))
    return OnnxSession(raw=raw, input_name=raw.get_inputs()[0].name, output_name=raw.get_outputs()[0].name)


RUNTIME = OnnxRuntime()
"""The entry of the registry."""
