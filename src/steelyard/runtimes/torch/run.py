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
    describer: str = "steelyard.runtimes.torch.run:ports"
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


def ports(path: str, **options: Setting) -> Plain:
    """What a file takes and gives: `inputs` and `outputs`, each of `name`, `type` and `shape`.

    In a shape None is a free axis.

    Args:
        path: the model file.
        options: `trust`, without which nothing is opened, and those of `OPTIONS`.

    Raises:
        RuntimeFailureError: if torch refuses the file.
        InputError: if it is not trusted, or an option is not known.
        MissingExtraError: if torch is not installed.
    """
    program = _program(Path(path), options)
    nodes = {node.name: node for node in program.graph.nodes}
    told = program.graph_signature
    try:
        return {
            "inputs": [_port(name, nodes[name].meta["val"]) for name in told.user_inputs],
            "outputs": [_port(name, nodes[name].meta["val"]) for name in told.user_outputs],
        }
    except Exception as error:
        raise refusal(NAME, Path(path), f"it takes or gives what is no tensor ({first_line(error)})") from error


def _port(name: str, value: Any) -> Plain:
    shape = [size if isinstance(size, int) else None for size in value.shape]
    return {"name": name, "type": str(value.dtype).removeprefix("torch."), "shape": shape}


def _load(path: Path, threads: int, given: Mapping[str, Setting]) -> TorchSession:
    torch = library("torch", runtime=NAME, package="torch")
    torch.set_num_threads(threads)
    exported = _program(path, given)
    try:
        program = exported.module()
    except Exception as error:
        raise refusal(NAME, path, first_line(error)) from error
    return TorchSession(torch, torch.compile(program) if given.get("compiled") else program)


def _program(path: Path, given: Mapping[str, Setting]) -> Any:
    """The exported program, if it may be opened."""
    options = {name: setting for name, setting in given.items() if name != "trust"}
    check_options(NAME, OPTIONS, options)
    check_trust(path, trust=given.get("trust") is True)
    check_file(path, NAME)
    export = library("torch.export", runtime=NAME, package="torch")
    try:
        return export.load(str(path))
    except Exception as error:
        raise refusal(NAME, path, first_line(error)) from error


RUNTIME = TorchRuntime()
"""The entry of the registry."""
