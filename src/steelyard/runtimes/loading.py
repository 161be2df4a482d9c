"""What every runtime's modules ask for: its library or the install line, settings that exist, one line of an error."""

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import Setting
from steelyard.core.errors import InputError, MissingExtraError, RuntimeFailureError, UnknownNameError
from steelyard.core.protocols import Feed
from steelyard.core.task import Array

_LONGEST = 300
"""Characters of a library's own message that go into ours."""


@contextmanager
def silenced() -> Iterator[None]:
    """Hold back what libraries log and warn of while they are imported or trace a module: no user can mend it.

    What goes wrong is raised all the same.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def library(module: str, *, runtime: str, package: str) -> Any:
    """The module of a runtime's library, imported without its warnings.

    Raises:
        MissingExtraError: with the line that installs it.
        RuntimeFailureError: if it is installed but can't be imported.
    """
    try:
        with silenced():
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.partition(".")[0] == error.name.partition(".")[0]:
            raise missing(runtime, package) from error
        raise RuntimeFailureError(f"the library {package} can't be imported: {first_line(error)}") from error
    except Exception as error:
        raise RuntimeFailureError(f"the library {package} can't be imported: {first_line(error)}") from error


def check_installed(runtime: str, packages: Mapping[str, str]) -> None:
    """Refuse where a library is not installed, without importing it.

    Args:
        runtime: the runtime's name, that of its extra too.
        packages: top-level modules and the packages that bring them.

    Raises:
        MissingExtraError: with the line that installs it.
    """
    for module, package in packages.items():
        try:
            found = importlib.util.find_spec(module) is not None
        except ValueError:
            # A module that something has put in the way has no specification.
            found = False
        if not found:
            raise missing(runtime, package)


def missing(runtime: str, package: str) -> MissingExtraError:
    """The error that says what installs a runtime."""
    return MissingExtraError(
        f"the runtime {runtime!r} needs {package}; install it with: pip install 'steelyard[{runtime}]'",
        field="runtime",
    )


def check_options(runtime: str, known: Mapping[str, tuple[Setting, ...]], given: Mapping[str, Setting]) -> None:
    """Refuse options that a runtime lacks, and settings that an option lacks.

    Raises:
        UnknownNameError: naming the option that is not known.
        InputError: naming the option, what it takes and what was given.
    """
    for name, setting in given.items():
        if name not in known:
            raise UnknownNameError(f"option of {runtime}", name, known, field=name)
        if not any(setting == each and type(setting) is type(each) for each in known[name]):
            shown = ", ".join(map(str, known[name]))
            raise InputError(f"'{name}' of {runtime} must be one of {shown}, got {setting!r}.", field=name)


def check_trust(path: Path, *, trust: bool) -> None:
    """Refuse a file that can run code when it is opened, unless the user trusts it.

    Raises:
        InputError: if it is not trusted.
    """
    if not trust:
        raise InputError(
            f"{path.name} can run code when it is opened; if you trust whoever made it, say so with --trust.",
            field="trust",
        )


def check_file(path: Path, runtime: str) -> None:
    """Refuse a path that holds no file, in our words: each library has its own for it, some over many lines.

    Raises:
        RuntimeFailureError: if it is missing or empty.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise refusal(runtime, path, error.strerror or str(error)) from error
    if size is None:
        raise refusal(runtime, path, "there is no such file")
    if size == 0:
        raise refusal(runtime, path, "the file is empty")


def refusal(runtime: str, path: Path, why: str) -> RuntimeFailureError:
    """The error that a runtime refuses a file."""
    return RuntimeFailureError(f"{runtime} can't load {path.name}: {why.rstrip('.')}.")


def positional(x: Feed) -> tuple[Array, ...]:
    """The arrays of all inputs in their order, as runtimes take them that know no names."""
    return tuple(x.values()) if isinstance(x, Mapping) else (x,)


def repeated(example: Feed) -> tuple[Array, ...]:
    """The arrays of an example, two rows at least: an axis of one is taken for a constant when it is exported."""
    arrays = positional(example)
    return tuple(np.concatenate([each, each]) if len(each) == 1 else each for each in arrays)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:_LONGEST] if lines else type(error).__name__
