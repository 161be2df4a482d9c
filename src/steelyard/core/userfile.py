"""Functions of the user's own files: `file.py:function`. What such an address names runs, by the user's wish."""

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from steelyard.core.errors import InputError


def is_user_address(text: str) -> bool:
    """Whether a text has the form `file.py:function`."""
    path, colon, name = text.rpartition(":")
    return bool(colon) and path.endswith(".py") and name.isidentifier()


def load_function(address: str, *, field: str) -> Any:
    """The function at `file.py:function`.

    Raises:
        InputError: if the address is malformed, the file is missing or fails, or it has no such function.
    """
    if not is_user_address(address):
        raise InputError(f"'{field}' must be file.py:function, got {address!r}.", field=field)
    file, _, name = address.rpartition(":")
    function = getattr(_module(file, field), name, None)
    if not callable(function):
        raise InputError(f"{file!r} has no function {name!r}; check the name after the colon.", field=field)
    return function


def functions_of(file: str, *, field: str) -> dict[str, Any]:
    """The public functions that a file defines itself, by name, in its order.

    Raises:
        InputError: if it is no Python file, is missing, or fails.
    """
    if not file.endswith(".py"):
        raise InputError(f"'{field}' must be file.py or file.py:function, got {file!r}.", field=field)
    module = _module(file, field)
    return {
        name: each
        for name, each in vars(module).items()
        if inspect.isfunction(each) and each.__module__ == module.__name__ and not name.startswith("_")
    }


def _module(file: str, field: str) -> Any:
    """The file, imported once a process."""
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"'{field}' names {file!r}, which is no file; check the path.", field=field)
    module_name = f"steelyard_user_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise InputError(f"'{field}' names {file!r}, which can't be imported; is it a Python file?", field=field)
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        # A script that ends with sys.exit() must not end ours: its status would be taken for an answer.
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            text = next(iter(str(error).splitlines()), "no message")
            raise InputError(f"{file!r} failed when imported: {type(error).__name__}: {text}", field=field) from error
    return module


def absolute_address(address: str) -> str:
    """The same address with an absolute path, so that a worker in any folder finds it."""
    file, _, name = address.rpartition(":")
    return f"{Path(file).expanduser().resolve()}:{name}"
