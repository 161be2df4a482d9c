"""Run torch's own archives of exported programs. The one runtime that is the training library itself."""

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
from steelyard.runtimes.loading import check_file, check_options, check_trust, first_line, library, positional, refusal

NAME = "torch"
OPTIONS: Mapping[str, tuple[Setting, ...]] = MappingProxyType({"compiled": (False, True)})
"""Settings of loading: whether torch.compile makes the program faster, which takes up to a minute at the first call."""


@dataclass(frozen=True, slots=True)
class TorchSession:
    """A program of torch, run eagerly or compiled."""

    torch: Any
    program: Any

    def run(self, x: Feed) -> Array:
        """Outputs (n, width) float32 of inputs (n, ...), or of arrays in the order of the inputs.

        Raises:
            RuntimeFailureError: if torch refuses the input or fails.
        """
        try:
            with self.torch.inference_mode():
                outputs = self.program(*(self.torch.from_numpy(each) for each in positional(x)))
            first = outputs[0] if isinstance(outputs, tuple | list) else outputs
            return np.array(first.numpy())
        except Exception as error:
            raise RuntimeFailureError(f"{NAME} failed to run the model: {first_line(error)}") from error


@dataclass(frozen=True, slots=True)
class TorchRuntime:
    """torch on the CPU. The number of threads is one for the whole process: the last model loaded sets it."""

    name: str = "torch"
    suffix: str = ".pt2"
    companions: tuple[str, ...] = ()
    loader: str = "steelyard.runtimes.torch.run:open_session"
    describer: str = "steelyard.runtimes.torch.run:ports_of"
    imports: tuple[str, ...] = ("torch", "steelyard.runtimes.torch.opening")
    options: Mapping[str, tuple[Setting, ...]] = field(default_factory=lambda: OPTIONS)
    runs_code: bool = True

    def load(self, path: Path, *, threads: int = 1, trust: bool = False, **options: Setting) -> Session:
        """A session on a model file. Opening one may unpickle what it holds, which can be any code.

        Raises:
            InputError: if it is not trusted, or an option is not known.
            RuntimeFailureError: if torch refuses the file.
        """
        return _load(path, threads, {**options, "trust": trust})


def open_session(path: str, threads: int, **options: Setting) -> Callable[[Feed], Array]:
    """The loader that measuring processes resolve by name: a function that runs one inference.

    Args:
        path: the model file.
        threads: torch's threads in this process.
        options: `trust`, without which nothing is opened, and those of `OPTIONS`.

    Raises:
        InputError: if it is not trusted, or an option is not known.
        RuntimeFailureError: if torch refuses the file.
    """
    return _load(Path(path), threads, options).run


def ports_of(path: str, trust: bool) -> Plain:
    """What a file takes and gives, by the plain form of ports; free axes are null.

    Raises:
        InputError: if it is not trusted.
        RuntimeFailureError: if torch refuses the file.
    """
    check_trust(Path(path), trust=trust)
    export = library("torch.export", runtime=NAME, package="torch")
    try:
        program = export.load(path)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        signature = program.graph_signature
        return {
            "inputs": [_port(name, values[name]) for name in signature.user_inputs],
            "outputs": [_port(name, values[name]) for name in signature.user_outputs],
        }
    except Exception as error:
        raise refusal(NAME, Path(path), first_line(error)) from error


def _port(name: str, value: Any) -> Plain:
    axes = [size if isinstance(size, int) else None for size in value.shape]
    return {"name": name, "type": str(value.dtype).removeprefix("torch."), "shape": axes}


def _load(path: Path, threads: int, given: Mapping[str, Setting]) -> TorchSession:
    options = {name: setting for name, setting in given.items() if name != "trust"}
    check_options(NAME, OPTIONS, options)
    check_trust(path, trust=given.get("trust") is True)
    check_file(path, NAME)
    torch = library("torch", runtime=NAME, package="torch")
    export = library("torch.export", runtime=NAME, package="torch")
    torch.set_num_threads(threads)
    try:
        program = export.load(str(path)).module()
    except Exception as error:
        raise refusal(NAME, path, first_line(error)) from error
    return TorchSession(torch, torch.compile(program) if options.get("compiled") else program)


RUNTIME = TorchRuntime()
"""The entry of the registry."""
