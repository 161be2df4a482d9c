"""Load and run ExecuTorch's files. Its Python runtime hands over tensors of torch, so torch must be there."""

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

NAME = "ExecuTorch"
OPTIONS: Mapping[str, tuple[Setting, ...]] = MappingProxyType({})
LARGEST_BATCH = 8
"""Rows that a file is made for at most: its memory is planned for them. More are run in parts.

Beyond 15, lowering a convolution narrows the range without a word: a guard of fewer than 16 rows enters the trace,
and the trace then holds for those alone.
"""
IDENTIFIER = b"ET12"
"""What stands at byte 4 of every file of this format's one version (executorch, schema/program.fbs)."""
TYPES: Mapping[int, str] = MappingProxyType(
    {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool"}
)
"""Types of elements by their numbers in a file (executorch, schema/scalar_type.fbs), as numpy calls them."""


@dataclass(frozen=True, slots=True)
class ExecuTorchSession:
    """A program's one method."""

    torch: Any
    program: Any
    method: Any

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...), or of arrays in the order of the inputs.

        Raises:
            RuntimeFailureError: if ExecuTorch refuses the input or fails.
        """
        arrays = positional(x)
        rows = len(arrays[0])
        if rows <= LARGEST_BATCH:
            return self._part(arrays)
        starts = range(0, rows, LARGEST_BATCH)
        return np.concatenate([self._part(tuple(each[i : i + LARGEST_BATCH] for each in arrays)) for i in starts])

    def _part(self, arrays: tuple[Array, ...]) -> Array:
        try:
            outputs = self.method.execute([self.torch.from_numpy(np.ascontiguousarray(each)) for each in arrays])
            return np.array(outputs[0].numpy())
        except Exception as error:
            raise RuntimeFailureError(f"{NAME} failed to run the model: {first_line(error)}") from error


@dataclass(frozen=True, slots=True)
class ExecuTorchRuntime:
    """ExecuTorch with XNNPACK on the CPU. All models of a process share one pool of threads."""

    name: str = "executorch"
    suffix: str = ".pte"
    companions: tuple[str, ...] = ()
    loader: str = "steelyard.runtimes.executorch.run:open_session"
    describer: str = "steelyard.runtimes.executorch.run:ports"
    imports: tuple[str, ...] = ("torch", "executorch.runtime")
    options: Mapping[str, tuple[Setting, ...]] = field(default_factory=lambda: OPTIONS)
    runs_code: bool = False

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:  # noqa: ARG002
        """A session on a model file.

        Raises:
            RuntimeFailureError: if ExecuTorch refuses the file.
            InputError: if an option is given: it has none.
            MissingExtraError: if executorch is not installed.
        """
        return _load(path, threads, options)


def open_session(path: str, threads: int, **options: Setting) -> Callable[[Feed], Array]:
    """The loader that measuring processes resolve by name: a function that runs one inference.

    Args:
        path: the model file.
        threads: of the pool that all models of this process share.
        options: none is known.

    Raises:
        RuntimeFailureError: if ExecuTorch refuses the file.
        InputError: if an option is given.
    """
    return _load(Path(path), threads, options).run


def ports(path: str, **options: Setting) -> Plain:
    """What a file takes and gives: `inputs` and `outputs`, each of `name`, `type` and `shape`.

    In a shape None is a free first axis.

    Args:
        path: the model file.
        options: none is known.

    Raises:
        RuntimeFailureError: if ExecuTorch refuses the file.
        InputError: if an option is given.
        MissingExtraError: if executorch is not installed.
    """
    session = _load(Path(path), 1, options)
    try:
        told = session.program.metadata("forward")
        inputs = [_port(f"input_{k}", told.input_tensor_meta(k)) for k in range(told.num_inputs())]
        outputs = [_port(f"output_{k}", told.output_tensor_meta(k)) for k in range(told.num_outputs())]
    except Exception as error:
        raise refusal(NAME, Path(path), first_line(error)) from error
    if _takes_one_row(session, inputs):
        for each in (*inputs, *outputs):
            each["shape"] = [None, *each["shape"][1:]]
    return {"inputs": inputs, "outputs": outputs}


def _port(name: str, told: Any) -> dict[str, Any]:
    number = int(told.dtype())
    return {"name": name, "type": TYPES.get(number, f"type {number}"), "shape": [int(size) for size in told.sizes()]}


def _takes_one_row(session: ExecuTorchSession, inputs: list[dict[str, Any]]) -> bool:
    """Whether the first axis is free: a file says how long it may get, and only a run tells whether it must be."""
    known = all(each["shape"] and each["type"] in TYPES.values() for each in inputs)
    firsts = {each["shape"][0] for each in inputs if each["shape"]}
    if not known or len(firsts) != 1 or firsts == {1}:
        return False
    try:
        session.run({each["name"]: np.zeros((1, *each["shape"][1:]), each["type"]) for each in inputs})
    except RuntimeFailureError:
        return False
    return True


def _load(path: Path, threads: int, options: Mapping[str, Setting]) -> ExecuTorchSession:
    check_options("executorch", OPTIONS, options)
    _check_kind(path)
    torch = library("torch", runtime="executorch", package="torch")
    runtime = library("executorch.runtime", runtime="executorch", package="executorch")
    pool = library("executorch.extension.pybindings.portable_lib", runtime="executorch", package="executorch")
    try:
        if pool._threadpool_get_thread_count() != threads:
            # A pool can't be changed while a model runs; loading comes before.
            pool._unsafe_reset_threadpool(threads)
        program = runtime.Runtime.get().load_program(path, verification=runtime.Verification.InternalConsistency)
        return ExecuTorchSession(torch, program, program.load_method("forward"))
    except Exception as error:
        raise refusal(NAME, path, first_line(error)) from error


def _check_kind(path: Path) -> None:
    """Refuse what is no such file, and one that is cut short: the library writes a page about it.

    The header behind the identifier says how long the file is: executorch, "PTE file format".
    """
    check_file(path, NAME)
    with path.open("rb") as stream:
        head = stream.read(64)
    if head[4:8] != IDENTIFIER:
        raise refusal(NAME, path, "it is no ExecuTorch file")
    if head[8:12] == b"eh00" and len(head) >= 32:
        program, segments = (int.from_bytes(head[at : at + 8], "little") for at in (16, 24))
        if path.stat().st_size < max(program, segments):
            raise refusal(NAME, path, "the file is cut short")


RUNTIME = ExecuTorchRuntime()
"""The entry of the registry."""
