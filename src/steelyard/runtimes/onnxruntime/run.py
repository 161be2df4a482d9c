"""Load and run ONNX files with ONNX Runtime. Needs numpy and onnxruntime, no training library."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Session
from steelyard.core.task import Array


@dataclass(frozen=True, slots=True)
class OnnxSession:
    """A model file loaded by ONNX Runtime on the CPU."""

    raw: Any
    input_name: str
    output_name: str

    def run(self, x: Array) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...).

        Raises:
            RuntimeFailureError: if ONNX Runtime refuses the input or fails.
        """
        try:
            outputs = self.raw.run([self.output_name], {self.input_name: x})[0]
        except Exception as error:
            raise RuntimeFailureError(f"ONNX Runtime failed to run the model: {_first_line(error)}") from error
        return np.asarray(outputs)


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    """ONNX Runtime, CPU provider, one intra-operator thread unless asked."""

    name: str = "onnxruntime"
    suffix: str = ".onnx"
    loader: str = "steelyard.runtimes.onnxruntime.run:open_session"
    imports: tuple[str, ...] = ("onnxruntime",)

    def load(self, path: Path, *, threads: int = 1) -> Session:
        """A session on a model file.

        Raises:
            RuntimeFailureError: if ONNX Runtime refuses the file.
        """
        return _load(path, threads=threads, optimised=True)

    def load_plain(self, path: Path, *, threads: int = 1) -> Session:
        """A session with all graph optimisations off: the source that parity is judged against.

        Raises:
            RuntimeFailureError: if ONNX Runtime refuses the file.
        """
        return _load(path, threads=threads, optimised=False)


def open_session(path: str, threads: int) -> Callable[[Array | Mapping[str, Array]], Array]:
    """The loader that measuring processes resolve by name: a function that runs one inference.

    It takes the one input's array, or arrays by the names of the inputs.
    """
    session = _load(Path(path), threads=threads, optimised=True)
    raw, names, feed = session.raw, [session.output_name], session.input_name

    def run(x: Array | Mapping[str, Array]) -> Array:
        return raw.run(names, x if isinstance(x, dict) else {feed: x})[0]  # type: ignore[no-any-return]

    return run


def _load(path: Path, *, threads: int, optimised: bool) -> OnnxSession:
    import onnxruntime  # noqa: PLC0415  heavy, and `import steelyard` must not load it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would steal the core of the training lane while a measurement waits.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        raw = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RuntimeFailureError(f"ONNX Runtime can't load {path.name}: {_first_line(error)}") from error
    return OnnxSession(raw=raw, input_name=raw.get_inputs()[0].name, output_name=raw.get_outputs()[0].name)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


RUNTIME = OnnxRuntime()
"""The entry of the registry."""
