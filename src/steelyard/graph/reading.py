"""ONNX files read safely: what a stranger's file says is checked before anything is made of it."""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx.external_data_helper import load_external_data_for_model

from steelyard.core.errors import InputError
from steelyard.graph.encoded import decode_model
from steelyard.graph.marks import MARK
from steelyard.graph.structure import BrokenGraphError, check_graph, check_names, check_nodes
from steelyard.graph.tensors import all_tensors, describe

LARGEST_BYTES = 2**31 - 1
"""Largest protobuf message, hence the largest model in memory: protobuf.dev, "Encoding", size limits."""

MOST_NODES = 250_000
"""Operators of a model, those inside branches, loops and functions among them: language models of a hundred layers have
a tenth of that, and inferring their shapes takes seconds."""

_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
"""Fields of a tensor that hold one element an entry (int32_data also packs elements below 32 bits)."""


def read_model(path: Path) -> onnx.ModelProto:
    """The model with all its weights, of an ONNX file or an encoded one.

    Nothing in the file is believed: sizes are limited, every tensor's shape must agree with the bytes there are, and
    weights outside the file are read only from regular files inside the model's folder.

    Raises:
        InputError: one sentence, if the file is missing, too large, no ONNX model, cut short, or unsafe.
        BundleError: if it is an encoded file that was cut short or altered.
    """
    model = _decode(path)
    total = path.stat().st_size
    outside = list(_external_files(model, path))
    total += sum(file.stat().st_size for file in set(outside))
    if total > LARGEST_BYTES:
        raise InputError(f"model {path.name!r} must be below 2 GiB with its external data, got {total} bytes.")
    if outside:
        try:
            load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise InputError(f"external data of model {path.name!r} can't be read: {_line(error)}.") from error
    for name, tensor in all_tensors(model):
        _check_size(name, tensor, path)
    return model


def file_bytes(path: Path) -> int:
    """Bytes of the model file and of the files that hold its external data.

    Raises:
        InputError: if the file is no ONNX model, or refers to data outside its folder.
    """
    return path.stat().st_size + sum(file.stat().st_size for file in set(_external_files(_decode(path), path)))


def _decode(path: Path) -> onnx.ModelProto:
    """The message in the file, with its structure checked and external data left where they are."""
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise InputError(f"model {path.name!r} must be below 2 GiB, got {size} bytes.")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"model {str(path)!r} can't be read: {error.strerror or error}.") from error
    if data.startswith(MARK):
        model = decode_model(data, f"model {path.name!r}")
    else:
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError as error:
            raise InputError(f"model {path.name!r} is no ONNX file, or is cut short.") from error
    _check_structure(model, path)
    return model


def _check_structure(model: onnx.ModelProto, path: Path) -> None:
    """Refuse a message that decodes but is no whole model: protobuf accepts many wrong bytes.

    Raises:
        InputError: if operators, outputs or the operator set are missing, or a graph or function is broken.
    """
    graph = model.graph
    if not (graph.node and graph.output and model.opset_import):
        raise InputError(f"model {path.name!r} is no ONNX file, or is cut short: it has no operators or no outputs.")
    try:
        nodes = check_graph(graph, frozenset())
        for function in model.functions:
            nodes += check_nodes(function.node, set(function.input))
            check_names([function.name, function.domain, *function.input, *function.output])
        check_names([entry.domain for entry in model.opset_import])
    except BrokenGraphError as error:
        raise InputError(f"model {path.name!r} is broken: {error.message}") from error
    if nodes > MOST_NODES:
        raise InputError(f"model {path.name!r} must have at most {MOST_NODES} operators, got {nodes}.")


def _external_files(model: onnx.ModelProto, path: Path) -> Iterator[Path]:
    """The file of each tensor that lies outside the model file.

    Raises:
        InputError: if a location leads out of the model's folder, or to no regular file that is long enough.
    """
    folder = path.parent.resolve()
    for name, tensor in all_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        is_relative = not (PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute())
        file = (folder / location).resolve()
        if not (location and is_relative and file.is_relative_to(folder) and "\\" not in location):
            raise InputError(f"model {path.name!r} must keep its external data in its own folder, got {location!r}.")
        if not file.is_file():
            raise InputError(f"model {path.name!r} needs {location!r} beside it, which is missing.")
        offset, length = (_whole(entries.get(key, "0"), path) for key in ("offset", "length"))
        if offset + max(length, describe(name, tensor).bytes) > file.stat().st_size:
            raise InputError(f"external data {location!r} of model {path.name!r} are cut short at {name!r}.")
        yield file


def _whole(text: str, path: Path) -> int:
    """A count of bytes that an external-data entry states."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(f"model {path.name!r} must state whole bytes for its external data, got {text[:40]!r}.")
    return int(text)


def _check_size(name: str, tensor: onnx.TensorProto, path: Path) -> None:
    """Refuse a tensor whose shape claims more or fewer elements than there are.

    Raises:
        InputError: naming the tensor.
    """
    stored = describe(name, tensor)
    if any(size < 0 for size in stored.shape):
        raise InputError(f"model {path.name!r} has a negative dimension in {name!r}.")
    if tensor.HasField("raw_data"):
        fits = len(tensor.raw_data) == stored.bytes
    else:
        counts = [len(getattr(tensor, field)) for field in _FIELDS]
        # Complex numbers take two entries; types of 4 bits share an entry with their neighbour.
        fits = sum(counts) in (stored.elements, 2 * stored.elements, math.ceil(stored.elements / 2), stored.bytes)
    if not fits:
        raise InputError(f"model {path.name!r} has a tensor {name!r} whose data don't fit its shape {stored.shape}.")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")


def read_graph(path: Path) -> onnx.ModelProto:
    """A model without the weights that lie outside its file: for files that steelyard wrote itself.

    Raises:
        InputError: if it is no ONNX model.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"model {path.name!r} is no ONNX file, or is cut short.") from error
    return model
