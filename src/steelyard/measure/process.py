"""Starting measuring processes: fresh, limited in time, and blamed on the right model when they die."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from steelyard.core.candidate import Setting
from steelyard.core.errors import InputError, MeasurementError

_TAIL = 200
"""Characters of a dead process's last line of standard error that go into the message."""


Inputs = Path | NDArray[Any] | Mapping[str, NDArray[Any]]
"""Input rows: one array (n, ...), arrays by the names of a model's inputs, or a file of either (.npy, .npz)."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to be measured.

    Attributes:
        key: the name it is known by.
        path: its file, or whatever else its loader takes for one.
        loader: address of the callable that loads it; None for the protocol's.
        imports: modules that this loader imports late; the protocol's where there is no loader.
        options: of the runtime, passed to the loader by name.
        threads: of the runtime for this model; None for the protocol's.
        pays_for: modules that loading this very model imports, as decoding it does: their memory is its own.
    """

    key: str
    path: Path
    loader: str | None = None
    imports: tuple[str, ...] = ()
    options: Mapping[str, Setting] = field(default_factory=dict)
    threads: int | None = None
    pays_for: tuple[str, ...] = ()


class ChildError(MeasurementError):
    """A measuring process failed while it worked on the model `key`; None where it is not known on which.

    `is_certain` says whether the process itself named the model, which a killed one can't.
    """

    def __init__(self, message: str, *, key: str | None, is_certain: bool) -> None:
        """Keep the message, the model and how it is known."""
        super().__init__(message)
        self.key = key
        self.is_certain = is_certain


def run_child(request: Mapping[str, Any], *, limit_s: float, module: str = "steelyard.measure.child") -> dict[str, Any]:
    """The answer of a fresh measuring process.

    Args:
        request: see `module`.
        limit_s: seconds after which the process and all that it started are killed.
        module: what the process runs.

    Raises:
        ChildError: if the process reports an error, dies, or does not answer in time.
    """
    with tempfile.TemporaryFile() as progress, tempfile.TemporaryFile() as errors:
        descriptor = progress.fileno()
        text = json.dumps({**request, "progress": descriptor, "parent": os.getpid(), "limit_s": limit_s})
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(request["threads"]),
            pass_fds=(descriptor,),
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(text.encode(), timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            key = _read_key(descriptor)
            message = f"{_subject(key)} did not finish within {limit_s:.0f} s and was stopped."
            raise ChildError(message, key=key, is_certain=False) from error
        finally:
            _kill_group(process)
        return _read_answer(output, process.returncode, descriptor, errors)


def _environment(threads: int) -> dict[str, str]:
    """The parent's environment with the thread counts set; the yardstick's BLAS always has one thread."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process, unless it ended well, and whatever it started; its session is its own, nobody else is hit."""
    if process.poll() != 0:
        with suppress(ProcessLookupError):  # the whole group has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _read_key(descriptor: int) -> str | None:
    """The model that was last at work, as the process noted it."""
    return os.pread(descriptor, 256, 0).decode(errors="replace").strip() or None


def _subject(key: str | None) -> str:
    return f"model {key!r}" if key else "the measuring process"


def _failed(key: str | None) -> str:
    return f"{_subject(key)} could not be measured" if key else f"{_subject(key)} failed"


def _read_answer(output: bytes, status: int, descriptor: int, errors: BinaryIO) -> dict[str, Any]:
    """The decoded answer, or the error that it reports or that its absence is."""
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError as error:
        key = _read_key(descriptor)
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        last = f" ({lines[-1][:_TAIL]})" if lines else ""
        ended = (
            f"its process was killed by signal {-status}" if status < 0 else f"its process ended with status {status}"
        )
        message = f"{_failed(key)}: {ended}{last}."
        raise ChildError(message, key=key, is_certain=False) from error
    if "error" in answer:
        key = answer["key"] or None
        message = f"{_failed(key)}: {answer['error'].rstrip('.')}."
        raise ChildError(message, key=key, is_certain=True)
    return answer


@contextmanager
def input_file(inputs: Inputs) -> Iterator[Path]:
    """The file of the input rows: the one given, or a temporary one with the rows in it.

    One array (n, ...) is kept as float32 in an .npy file; named arrays keep their types in an .npz file.

    Raises:
        InputError: if there is no row.
    """
    if isinstance(inputs, Path):
        yield inputs
        return
    arrays = list(inputs.values()) if isinstance(inputs, Mapping) else [inputs]
    if not arrays or any(array.ndim == 0 or len(array) == 0 for array in arrays):
        raise InputError("'inputs' must hold at least one row to measure with, got none.")
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        if isinstance(inputs, Mapping):
            path = Path(folder) / "rows.npz"
            np.savez(path, **{name: np.ascontiguousarray(array) for name, array in inputs.items()})  # type: ignore[arg-type]
            yield path
            return
        path = Path(folder) / "rows.npy"
        np.save(path, np.ascontiguousarray(inputs, dtype=np.float32), allow_pickle=False)
        yield path


def plain_models(subjects: Sequence[Subject], loader: str, threads: int) -> list[dict[str, Any]]:
    """The models as a request names them; `loader` and `threads` are those of models without their own."""
    return [
        {
            "key": subject.key,
            "path": str(subject.path),
            "loader": subject.loader or loader,
            "options": dict(subject.options),
            "threads": subject.threads or threads,
        }
        for subject in subjects
    ]
