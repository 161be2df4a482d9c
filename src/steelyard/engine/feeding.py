"""What a model is measured with: real rows of a file, or rows drawn to the shapes that it takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError, InputError, UnknownNameError
from steelyard.core.port import Port, Signature
from steelyard.core.task import Array
from steelyard.measure.timing import make_batches

DISTINCT = 64
"""Inferences that are fed with something different each: more would only fill memory."""

MOST_BYTES = 256_000_000
"""Bytes that drawn inputs may take; with larger ones fewer differ, and a single one beyond is refused."""

ARRAYS = ("x", "x_valid", "x_test", "x_train")
"""Arrays of an .npz file that hold rows, the first there is. For an input NAME: NAME, NAME_valid …"""

Rows = Array | Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Feed:
    """Inputs of inferences.

    Attributes:
        rows: (n, ...) of the only input if it is of floats, else by name; with `stacked`, entry k is inference k's.
        batch: rows an inference.
        stacked: whether inputs don't share their first axis.
        origin: where they come from, for people.
        can_batch: whether another batch may be tried.
    """

    rows: Rows
    batch: int
    stacked: bool
    origin: str
    can_batch: bool

    def shapes(self, signature: Signature | None) -> Mapping[str, tuple[int, ...]]:
        """Shapes of one inference's inputs by name; empty where the names are not known."""
        example = self.example()
        if isinstance(example, Mapping):
            return {name: tuple(array.shape) for name, array in example.items()}
        return {signature.inputs[0].name: tuple(example.shape)} if signature is not None else {}

    def example(self) -> Rows:
        """The inputs of one inference, as an exporter takes them."""
        batch = make_batches(self.rows, self.batch, stacked=self.stacked)[0]
        return dict(batch) if isinstance(batch, Mapping) else batch


def parse_shapes(texts: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
    """Shapes by input name from `1,3,32,32` or `NAME:1,3,32,32`; the name is empty where none is said.

    Raises:
        InputError: naming the text that is no shape, or a name that stands twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, sizes = text.rpartition(":")
        parts = [part.strip() for part in sizes.replace("x", ",").split(",")]
        if not all(part.isascii() and part.isdigit() and 0 < int(part) < 2**31 for part in parts):
            raise InputError(f"'shape' must be sizes such as 1,3,32,32 or NAME:1,3,32,32, got {text!r}.", field="shape")
        if name in shapes:
            raise InputError(f"'shape' is given twice for {name or 'the input'!r}; give it once.", field="shape")
        shapes[name] = tuple(map(int, parts))
    return shapes


def drawn(signature: Signature, asked: Mapping[str, tuple[int, ...]], *, batch: int | None, seed: int) -> Feed:
    """Inputs drawn at random: normal floats, whole numbers below the table that they index, else 0 or 1.

    Args:
        signature: what the model takes.
        asked: shapes by input name; an empty name is the only input.
        batch: rows an inference where the first axis is free; None is 1.
        seed: of the numbers.

    Raises:
        UnknownNameError: if a shape names no input.
        InputError: if axes are free and no shape says how long they are, a shape contradicts the model, or inputs
            would fill the memory.
    """
    _check_inputs(signature)
    named = _named(signature, asked)
    shapes = {port.name: _shape(port, named.get(port.name), batch) for port in signature.inputs}
    firsts = {shape[0] if shape else 0 for shape in shapes.values()}
    stacked = len(firsts) > 1 or 0 in firsts
    random = np.random.default_rng(seed)
    count = _affordable(signature, shapes)
    rows = {}
    for port in signature.inputs:
        shape = shapes[port.name]
        whole = (count, *shape) if stacked else (count * shape[0], *shape[1:])
        rows[port.name] = _draw(port, whole, signature.index_limits.get(port.name), random)
    return Feed(
        rows=_plain(rows, stacked=stacked),
        batch=1 if stacked else next(iter(firsts)),
        stacked=stacked,
        origin="drawn at random",
        can_batch=not stacked and all(port.shape is None or _is_free(port.shape) for port in signature.inputs),
    )


def from_arrays(arrays: Mapping[str, Array], signature: Signature, origin: str, *, batch: int | None) -> Feed:
    """Rows that are there already, by name, checked against what the model takes.

    Args:
        arrays: arrays (n, ...) of an .npz file, or of one other file under the name `x`.
        signature: what the model takes.
        origin: the file, for messages.
        batch: rows an inference; None is the model's own, else 1.

    Raises:
        DataError: if an input has no array, or one of another shape or type than the model takes.
    """
    _check_inputs(signature)
    single = len(signature.inputs) == 1
    found = {port.name: _array_for(port, arrays, origin, single=single) for port in signature.inputs}
    rows = {port.name: _fitting(port, found[port.name], origin) for port in signature.inputs}
    lengths = {len(array) for array in rows.values()}
    if len(lengths) > 1:
        raise DataError(f"{origin} must hold as many rows for every input, got {sorted(lengths)}.", field="data")
    fixed = {port.shape[0] for port in signature.inputs if port.shape and isinstance(port.shape[0], int)}
    own = next(iter(fixed)) if len(fixed) == 1 else None
    if own is not None and batch not in (None, own):
        raise InputError(f"'batch' must be {own}, which the model is made for, got {batch}.", field="batch")
    return Feed(
        rows=_plain(rows),
        batch=own or batch or 1,
        stacked=False,
        origin=origin,
        can_batch=own is None,
    )


def _check_inputs(signature: Signature) -> None:
    if not signature.inputs:
        raise InputError("'model' must take an input, got one that takes none.", field="model")


def from_file(path: Path, signature: Signature, *, batch: int | None, trust: bool = False) -> Feed:
    """Rows of a file: .npz, .npy, or a table of numbers.

    Raises:
        DataError: if the file can't be read or its rows don't fit the model.
    """
    # The readers of tables and archives load libraries that drawn inputs don't need.
    from steelyard.tasks.rows import read_arrays  # noqa: PLC0415

    return from_arrays(read_arrays(path, trust=trust), signature, str(path), batch=batch)


def _plain(rows: Mapping[str, Array], *, stacked: bool = False) -> Rows:
    """The rows alone where there is one input of floats, as measuring takes them; else by name, with their types."""
    only = next(iter(rows.values()))
    return only if len(rows) == 1 and not stacked and only.dtype == np.float32 else rows


def _named(signature: Signature, asked: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
    names = [port.name for port in signature.inputs]
    if "" in asked and len(names) != 1:
        raise InputError(
            f"'shape' must name its input, because the model has {len(names)}: {', '.join(names)}.", field="shape"
        )
    for name in asked:
        if name and name not in names:
            raise UnknownNameError("input", name, names, field="shape")
    return {name or names[0]: shape for name, shape in asked.items()}


def _shape(port: Port, asked: tuple[int, ...] | None, batch: int | None) -> tuple[int, ...]:
    """The whole shape of one inference's input."""
    if asked is not None:
        fits = port.shape is None or (
            len(port.shape) == len(asked)
            and all(not isinstance(own, int) or own == size for own, size in zip(port.shape, asked, strict=True))
        )
        if not fits:
            raise InputError(f"'shape' must fit the input {port}, got {','.join(map(str, asked))}.", field="shape")
        if batch is not None and asked and asked[0] != batch:
            text = ",".join(map(str, asked))
            raise InputError(f"'batch' {batch} contradicts the shape {text}; give one of them.", field="batch")
        return asked
    if port.shape is None or any(not isinstance(size, int) for size in port.shape[1:]):
        example = ",".join(str(size) if isinstance(size, int) else "N" for size in port.shape or ("N",))
        raise InputError(
            f"'shape' must say how long the free axes of {port} are; give --shape {port.name}:{example} with numbers "
            "for N, or --data.",
            field="shape",
        )
    if port.shape and isinstance(port.shape[0], int) and batch not in (None, port.shape[0]):
        raise InputError(f"'batch' must be {port.shape[0]}, which the model is made for, got {batch}.", field="batch")
    sizes: tuple[int, ...] = tuple(size for size in port.shape[1:] if isinstance(size, int))
    if not port.shape:
        return ()
    first = port.shape[0]
    return (first if isinstance(first, int) else batch or 1, *sizes)


def _affordable(signature: Signature, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many different inferences fit the memory that inputs may take."""
    size = sum(math.prod(shapes[port.name]) * element_type(port).itemsize for port in signature.inputs)
    if size > MOST_BYTES:
        raise InputError(
            f"'shape' asks for {size / 1e6:,.0f} MB an inference, and at most {MOST_BYTES / 1e6:,.0f} are drawn; "
            "give a smaller shape, or --data.",
            field="shape",
        )
    return max(1, min(DISTINCT, MOST_BYTES // max(1, size)))


def _draw(port: Port, shape: tuple[int, ...], limit: int | None, random: np.random.Generator) -> Array:
    """Numbers of the input's type; `limit` is that of the table they index, None where they index none."""
    kind = element_type(port)
    if kind.kind == "f":
        return random.standard_normal(shape, dtype=np.float32).astype(kind, copy=False)
    if kind.kind == "b":
        return random.integers(0, 2, size=shape).astype(bool)
    bounds = np.iinfo(kind)
    if limit is not None:
        return random.integers(0, max(1, min(limit, int(bounds.max))), size=shape, dtype=kind)
    # Bytes are pixels more often than flags; wider whole numbers are masks and choices.
    low, high = (int(bounds.min), int(bounds.max)) if kind.itemsize == 1 else (0, 1)
    return random.integers(low, high, size=shape, endpoint=True, dtype=kind)


def element_type(port: Port) -> np.dtype[Any]:
    """The numpy type of an input's elements.

    Raises:
        InputError: if numpy itself has none, as for text and brain floats.
    """
    try:
        kind = np.dtype(port.type)
    except TypeError:
        kind = np.dtype(object)
    # Other libraries register types of theirs with numpy, which can't be drawn or written to a file.
    if kind.kind not in "fiub" or not kind.isbuiltin:
        raise InputError(f"input {port} can't be fed: only numbers of numpy's own types can.", field="model")
    return kind


def _is_free(shape: tuple[int | str | None, ...]) -> bool:
    return bool(shape) and not isinstance(shape[0], int)


def _array_for(port: Port, arrays: Mapping[str, Array], origin: str, *, single: bool) -> Array:
    names = [f"{port.name}{suffix}" for suffix in ("", "_valid", "_test", "_train")]
    if single:
        names += ARRAYS
    for name in names:
        if name in arrays:
            return arrays[name]
    if single and len(arrays) == 1:
        return next(iter(arrays.values()))
    have = ", ".join(sorted(arrays)) or "none"
    raise DataError(f"{origin} must hold an array {names[0]!r} for the input {port}, got {have}.", field="data")


def _fitting(port: Port, array: Array, origin: str) -> Array:
    """The array in the type that the model takes, if its shape and its values fit."""
    if array.ndim == 0 or not len(array):
        raise DataError(f"{origin} must hold at least one row for the input {port}, got none.", field="data")
    own = port.shape
    if own is not None:
        fits = len(own) == array.ndim and all(
            not isinstance(size, int) or size == there for size, there in zip(own[1:], array.shape[1:], strict=False)
        )
        if not fits:
            raise DataError(f"{origin} must fit the input {port}, got an array {array.shape}.", field="data")
    kind = element_type(port)
    if array.dtype == kind:
        return array
    is_safe = array.dtype.kind in "biuf" and (kind.kind == "f" or np.can_cast(array.dtype, kind, "same_kind"))
    if not is_safe or (kind.kind in "iu" and not _holds(kind, array)):
        raise DataError(f"{origin} must hold {kind} for the input {port}, got {array.dtype}.", field="data")
    return array.astype(kind)


def _holds(kind: np.dtype[Any], array: Array) -> bool:
    limits = np.iinfo(kind)
    return array.dtype.kind in "biu" and bool(limits.min <= array.min() and array.max() <= limits.max)
