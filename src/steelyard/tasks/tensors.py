"""Rows for a model that says itself what it takes: arrays by the names of its inputs, checked and typed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.port import Port
from steelyard.core.task import Array, structured


def rows_for(ports: tuple[Port, ...], raw: Any, *, origin: str) -> Array:
    """Raw rows as one structured array (n,) with a field for each input, in the type that the input takes.

    Args:
        ports: the inputs of the model.
        raw: an array (n, ...) where there is one input, else arrays by the names of the inputs.
        origin: where the rows come from, for messages.

    Raises:
        DataError: if an input has no array, or one of another shape or type than it takes.
    """
    if isinstance(raw, np.ndarray) and raw.dtype.names:
        raw = {name: raw[name] for name in raw.dtype.names}
    if not isinstance(raw, Mapping):
        if len(ports) > 1:
            names = ", ".join(port.name for port in ports)
            raise DataError(f"{origin} must hold an array for each input ({names}), got one.", field="data")
        raw = {ports[0].name: raw}
    missing = [port.name for port in ports if port.name not in raw]
    if missing:
        have = ", ".join(map(str, raw)) or "none"
        raise DataError(f"{origin} must hold an array for the input {missing[0]!r}, got {have}.", field="data")
    arrays = {port.name: fitted(port, np.asarray(raw[port.name]), origin=origin) for port in ports}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise DataError(f"{origin} must hold as many rows for every input, got {shown}.", field="data")
    return structured(arrays)


def fitted(port: Port, array: Array, *, origin: str) -> Array:
    """An array (n, ...) in the shape and the type that an input takes.

    Images with their channels last are turned where the input has them first, and an axis of one channel is added
    where it lacks; nothing else about the values is changed but their type.

    Raises:
        DataError: saying what was expected and what was got.
    """
    if array.ndim == 0 or not len(array):
        raise DataError(f"{origin} must hold at least one row for the input {port}, got none.", field="data")
    shaped = next((each for each in _shapings(port, array) if _fits(port, each)), None)
    if shaped is None:
        raise DataError(f"{origin} must fit the input {port}, got an array {array.shape}.", field="data")
    kind = np.dtype(port.type)
    if shaped.dtype == kind:
        return shaped
    is_safe = shaped.dtype.kind in "biuf" and (kind.kind == "f" or shaped.dtype.kind in "biu")
    if not is_safe or (kind.kind in "iu" and not _holds(kind, shaped)):
        raise DataError(f"{origin} must hold {kind} for the input {port}, got {array.dtype}.", field="data")
    return shaped.astype(kind)


def _shapings(port: Port, array: Array) -> list[Array]:
    """The array as it is, then as an image with its channels first or last, with and without an axis for one."""
    found = [array]
    if port.shape is not None and len(port.shape) == 4:
        if array.ndim == 3:
            found += [array[:, None], array[..., None]]
        elif array.ndim == 4:
            found += [array.transpose(0, 3, 1, 2), array.transpose(0, 2, 3, 1)]
    if port.shape is not None and len(port.shape) == array.ndim + 1 and 1 in (port.shape[-1], port.shape[1]):
        found += [array[..., None], array[:, None]]
    return found


def _fits(port: Port, array: Array) -> bool:
    own = port.shape
    if own is None:
        return True
    return len(own) == array.ndim and all(
        not isinstance(size, int) or size == there for size, there in zip(own[1:], array.shape[1:], strict=True)
    )


def _holds(kind: np.dtype[Any], array: Array) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= array.min() and array.max() <= limits.max)
