"""MODEL, in every form that a user may name it: a model file, a bundle, or a function that returns a torch module."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import BundleError, InputError
from steelyard.core.port import Port, Signature
from steelyard.core.registry import Registry
from steelyard.core.task import InputSpec, input_from_json
from steelyard.core.userfile import is_user_address, load_function
from steelyard.graph.marks import SUFFIX
from steelyard.graph.reading import read_model
from steelyard.graph.signature import signature_of
from steelyard.store.bundle import MANIFEST, read_manifest, verified_file, verify

TRUSTED_ONLY = {".pt2": "a torch.export archive", ".keras": "a Keras model", ".h5": "a Keras model"}
"""Suffixes of files that can run code when they are opened."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model as the user named it.

    Attributes:
        name: as it was named.
        path: its file; None for a module.
        runtime: that its file is made for; None for a module.
        signature: what it takes; None where only the runtime can tell.
        module: the torch module; None for a file.
        spec: how its task reads a row; known for bundles only.
        is_trusted: whether its file may be opened though that can run code.
    """

    name: str
    path: Path | None
    runtime: str | None
    signature: Signature | None
    module: Any = None
    spec: InputSpec | None = None
    is_trusted: bool = False


def open_source(text: str, registry: Registry, *, weights: Path | None = None, trust: bool = False) -> Source:
    """The model of that name, checked as far as reading it goes.

    Args:
        text: a model file, a bundle's directory, or `file.py:function`.
        registry: of runtimes, which say what their files are called.
        weights: of a module: .safetensors, or .pt that is loaded weights-only.
        trust: open files that can run code when opened.

    Raises:
        InputError: one sentence on what is wrong with it.
    """
    if is_user_address(text):
        return _module(text, weights)
    if weights is not None:
        raise InputError(f"'weights' belong to a file.py:function, but the model is {text!r}.", field="weights")
    if text.endswith(".py"):
        raise InputError(f"'model' must be file.py:function, got {text!r}; add the function's name.", field="model")
    path = Path(text)
    if "\0" in text or not text or not path.exists():
        raise InputError(f"'model' must be a file or a bundle, got {text!r}, which does not exist.", field="model")
    if path.is_dir():
        return _bundle(text, path)
    suffix = path.suffix.lower()
    if suffix in TRUSTED_ONLY and not trust:
        raise InputError(
            f"{path.name} is {TRUSTED_ONLY[suffix]}, which can run code when it is opened; "
            "give --trust if you know who made it.",
            field="model",
        )
    if suffix in (".keras", ".h5"):
        return _keras(text, path)
    runtimes = {registry.get("runtime", name).suffix: name for name in registry.names("runtime")}
    if ".onnx" in runtimes:
        # An encoded file is an ONNX file to whoever reads it.
        runtimes[SUFFIX] = runtimes[".onnx"]
    if suffix not in runtimes:
        known = ", ".join(sorted({*runtimes, *TRUSTED_ONLY}))
        raise InputError(
            f"'model' must be a file of {known}, a bundle or file.py:function, got {text!r}.", field="model"
        )
    if not path.is_file() or not path.stat().st_size:
        raise InputError(f"'model' {text!r} is empty or no file; was it written to the end?", field="model")
    signature = signature_of(read_model(path)) if suffix in (".onnx", SUFFIX) else None
    return Source(text, path, runtimes[suffix], signature, is_trusted=trust)


def _bundle(text: str, directory: Path) -> Source:
    if not (directory / MANIFEST).is_file():
        raise InputError(f"'model' {text!r} is a directory without {MANIFEST}; is it a bundle?", field="model")
    manifest = read_manifest(directory)
    verify(directory, manifest)
    try:
        path = verified_file(directory, manifest, manifest["model"])
        ports = [Port(each["name"], each["type"], tuple(each["shape"])) for each in manifest["inputs"]]
        return Source(
            text, path, str(manifest["runtime"]), Signature(tuple(ports)), spec=input_from_json(manifest["input"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the manifest of {directory} lacks fields or was changed; restore it or pack anew.", field="model"
        ) from error


def _module(text: str, weights: Path | None) -> Source:
    """The module that the user's function returns, with its weights where they are named."""
    function = load_function(text, field="model")
    from steelyard.training.weights import as_module, load_weights  # noqa: PLC0415  imports torch

    module = as_module(function, text)
    if weights is not None:
        load_weights(module, weights)
    return Source(text, None, None, None, module=module)


def _keras(text: str, path: Path) -> Source:
    from steelyard.training.weights import keras_module  # noqa: PLC0415  imports torch

    return Source(text, None, None, None, module=keras_module(path), is_trusted=True)
