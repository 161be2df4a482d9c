"""Torch modules of the user's own: made by a function, filled with weights from a file."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from steelyard.core.errors import InputError, MissingExtraError

_NAMED = 4
"""Keys that a message names before it says how many more there are."""


def as_module(function: Callable[[], Any], address: str) -> torch.nn.Module:
    """The module that a user's function returns, in evaluation mode, ready to learn: models that only run are frozen.

    Raises:
        InputError: if the function needs arguments, fails, or returns something else.
    """
    try:
        module = function()
    except Exception as error:
        text = next(iter(str(error).splitlines()), "no message")
        raise InputError(
            f"'model' {address} must return a torch module when it is called without arguments, got "
            f"{type(error).__name__}: {text}",
            field="model",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"'model' {address} must return a torch module, got {type(module).__name__}; check its return.",
            field="model",
        )
    for each in module.parameters():
        if each.is_leaf and each.is_floating_point():
            each.requires_grad_(True)
    return module.eval()


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Fill a module with the weights of a file; nothing in the file can run code.

    Args:
        module: whose every parameter and buffer the file must hold, and nothing else.
        path: .safetensors, or .pt and .pth of a state dictionary, which is read weights-only.

    Raises:
        InputError: if the file can't be read, or naming the keys that are missing, unknown or of another shape.
    """
    found = read_tensors(path)
    own = module.state_dict()
    missing = [name for name in own if name not in found]
    unknown = [name for name in found if name not in own]
    odd = [name for name in own if name in found and own[name].shape != found[name].shape]
    for what, names in (("lacks", missing), ("has the unknown", unknown), ("has another shape for", odd)):
        if names:
            raise InputError(f"'weights' {path.name} {what} {_listed(names)}; is it of this model?", field="weights")
    module.load_state_dict(dict(found))


def save_state(module: torch.nn.Module, path: Path) -> None:
    """Write a module's parameters and buffers; `load_state` reads them back. Shared ones are written once a name."""
    save_file({name: value.detach().contiguous().clone() for name, value in module.state_dict().items()}, path)


def load_state(module: torch.nn.Module, path: Path) -> None:
    """Fill a module of the same structure with what `save_state` wrote.

    Raises:
        InputError: if the file can't be read, or is of another structure.
    """
    load_weights(module, path)


def keras_module(path: Path) -> torch.nn.Module:
    """A Keras 3 model on its torch backend, which is a torch module. Opening the file can run code.

    Raises:
        MissingExtraError: if Keras is not installed.
        InputError: if Keras runs on another backend, or can't open the file.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras  # noqa: PLC0415  an optional library
    except ImportError as error:
        raise MissingExtraError(
            f"{path.name} needs Keras; install it with: pip install 'keras>=3'", field="model"
        ) from error
    if keras.backend.backend() != "torch":
        raise InputError("'model' needs Keras on its torch backend; set KERAS_BACKEND=torch.", field="model")
    try:
        module: torch.nn.Module = keras.saving.load_model(path, safe_mode=False)
    except Exception as error:
        text = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"Keras can't open {path.name}: {text}", field="model") from error
    return module.eval()


def read_tensors(path: Path, *, field: str = "weights") -> Mapping[str, torch.Tensor]:
    """The tensors of a file by name; nothing in the file can run code.

    Args:
        path: .safetensors, or .pt and .pth of a state dictionary, which is read weights-only.
        field: the option that names it, for messages.

    Raises:
        InputError: if it can't be read, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"'{field}' must be a file, got {str(path)!r}, which does not exist.", field=field)
    suffix = path.suffix.lower()
    if suffix not in (".safetensors", ".pt", ".pth"):
        raise InputError(f"'{field}' must be .safetensors or .pt, got {path.name!r}.", field=field)
    try:
        found = load_file(path) if suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"'{field}' {path.name} can't be read; was it cut short?", field=field) from error
    except Exception as error:  # what the weights-only reader refuses has the type of its pickle library
        raise InputError(f"'{field}' {path.name} holds more than weights, and is refused.", field=field) from error
    if not isinstance(found, Mapping) or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise InputError(f"'{field}' {path.name} must hold a state dictionary of tensors.", field=field)
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more
