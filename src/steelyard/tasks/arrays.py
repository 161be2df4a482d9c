"""NumPy archives (.npz), read without pickle: `x_train, y_train …` or `x, y[, split]`."""

import io
import math
import tokenize
import zipfile
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, TaskKind
from steelyard.tasks.archives import checked_entries, open_archive, read_entry
from steelyard.tasks.sequences import SEQUENCE_KINDS, rate_of, sequence_arrays
from steelyard.tasks.source import Columns, Source
from steelyard.tasks.splits import SPLITS, split_codes

_HEADER_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
"""What a damaged header raises: numpy reads it as a Python literal, and if that fails as one of Python 2."""

_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: Path, *, trust: bool = False) -> Mapping[str, Array]:
    """Every array of the file by name.

    Args:
        path: of the file.
        trust: lift the limit on size; pickled objects are refused all the same.

    Raises:
        DataError: if the file is damaged, too large, or holds pickled objects.
    """
    with open_archive(path) as archive:
        entries = checked_entries(archive, path, trust=trust)
        return {entry.filename.removesuffix(".npy"): _read_array(archive, entry, path) for entry in entries}


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> Array:
    """One array; its header is checked before a byte is allocated for it."""
    name = entry.filename.removesuffix(".npy")
    content = read_entry(archive, entry, path)
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = _HEADER_READERS[version](stream)
    except _HEADER_ERRORS as error:
        raise DataError(
            f"{name!r} of {path} can't be read as an array ({' '.join(str(error).split())[:200]}).", field="data"
        ) from error
    if dtype.hasobject:
        raise DataError(
            f"{name!r} of {path} must be a plain array, but it holds pickled Python objects, which could run code "
            "and are never loaded; save it as numbers or text.",
            field="data",
        )
    if dtype.kind in "Vc":
        raise DataError(
            f"{name!r} of {path} must hold real numbers or text, got {dtype}; save its parts.", field="data"
        )
    body = memoryview(content)[stream.tell() :]
    needed = math.prod(shape) * dtype.itemsize
    if any(side < 0 for side in shape) or len(body) != needed:
        raise DataError(
            f"{name!r} of {path} must hold the {needed:,} bytes that its shape {shape} needs, got {len(body):,}; "
            "was it cut off?",
            field="data",
        )
    if not needed:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(body, dtype=dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def source_of_npz(
    path: Path,
    kind: TaskKind,
    *,
    target: str | None,
    group: str | None,
    split_by: str | None,
    trust: bool,
    has_targets: bool = True,
) -> Source:
    """Raw rows of an archive of arrays.

    Args:
        path: of the file.
        kind: of the task; rows of sequences may have true lengths beside them (`len`, `len_train` …).
        target: name of the targets' array, `y` by default.
        group: name of an array of groups, or None.
        split_by: name of an array of split names or of an order, `split` by default where there is one.
        trust: lift the limit on size.
        has_targets: whether there must be any; without, those there are stay unread and all targets are 0.

    Raises:
        DataError: if an array is missing or has another length.
    """
    arrays = read_npz(path, trust=trust)
    if kind in SEQUENCE_KINDS:
        arrays = sequence_arrays(arrays, kind, origin=str(path))
    is_flat, rate = kind not in SEQUENCE_KINDS, rate_of(arrays)
    y_name = target or "y"
    if not has_targets:
        zeros = {
            name.replace("x", y_name, 1): np.zeros(len(each)) for name, each in arrays.items() if _is_x(name, each)
        }
        arrays = {**arrays, **zeros}
    if "x" in arrays:
        x, y = arrays["x"], _named(arrays, y_name, path, field="target")
        split, order = _split(arrays, split_by, path)
        groups = None if group is None else _group_numbers(_named(arrays, group, path, field="group"))
        return _source(path, x, y, y_name, split=split, order=order, groups=groups, is_flat=is_flat, rate=rate)
    present = [code for code, name in enumerate(SPLITS) if f"x_{name}" in arrays]
    if not present:
        found = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"{path} must hold arrays x_train and y_train, or x and y, got {found}.", field="data")
    xs = [arrays[f"x_{SPLITS[code]}"] for code in present]
    ys = [_named(arrays, f"{y_name}_{SPLITS[code]}", path, field="target") for code in present]
    for code, x, y in zip(present, xs, ys, strict=True):
        _check_lengths(path, x, y, f"x_{SPLITS[code]}", f"{y_name}_{SPLITS[code]}")
    split = np.repeat(np.array(present, dtype=np.int64), [len(y) for y in ys])
    groups = None
    if group is not None:
        named = [_named(arrays, f"{group}_{SPLITS[code]}", path, field="group") for code in present]
        groups = _group_numbers(_joined(path, named, group))
    joined = _joined(path, xs, "x")
    return _source(
        path, joined, _joined(path, ys, y_name), y_name, split=split, groups=groups, is_flat=is_flat, rate=rate
    )


def _is_x(name: str, array: Array) -> bool:
    """Whether an array holds the inputs of a split, or of all."""
    return name in ("x", *(f"x_{split}" for split in SPLITS)) and array.ndim > 0


def _source(
    path: Path,
    x: Array,
    y: Array,
    target: str,
    *,
    split: Array | None = None,
    order: Array | None = None,
    groups: Array | None = None,
    is_flat: bool = True,
    rate: int | None = None,
) -> Source:
    """The source, a table where rows are flat and no sequences."""
    _check_lengths(path, x, y, "x", target)
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim != 1:
        raise DataError(
            f"{target!r} of {path} must hold one target a row, got shape {y.shape}; save class numbers or values.",
            field="target",
        )
    inputs = columns_of(x) if x.ndim <= 2 and is_flat else x
    return Source(origin=str(path), x=inputs, y=flat, target=target, split=split, order=order, groups=groups, rate=rate)


def columns_of(x: Array) -> Columns:
    """Flat rows (n, columns), or one column (n,), as a table of columns named x0, x1 and so on."""
    x = np.char.decode(x, "utf-8", "replace") if x.dtype.kind == "S" else x
    x = x.reshape(len(x), -1) if x.ndim == 1 else x
    return {f"x{index}": x[:, index] for index in range(x.shape[1])}


def _check_lengths(path: Path, x: Array, y: Array, x_name: str, y_name: str) -> None:
    """Refuse inputs and targets of different lengths."""
    if not x.ndim or not y.ndim or len(x) != len(y):
        raise DataError(
            f"{x_name!r} and {y_name!r} of {path} must have as many rows, got shapes {x.shape} and {y.shape}; "
            "was one cut off?",
            field="data",
        )


def _joined(path: Path, arrays: list[Array], name: str) -> Array:
    """The splits' arrays end to end."""
    kinds = {(array.shape[1:], array.dtype.kind) for array in arrays}
    if len(kinds) > 1:
        told = " and ".join(f"{array.shape} {array.dtype}" for array in arrays)
        raise DataError(f"{name!r} of {path} must have one shape and kind in all splits, got {told}.", field="data")
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _split(arrays: Mapping[str, Array], split_by: str | None, path: Path) -> tuple[Array | None, Array | None]:
    """Split codes, or ranks to split by, or neither."""
    if split_by is None and "split" not in arrays:
        return None, None
    named = _named(arrays, split_by or "split", path, field="split-by")
    if named.ndim != 1:
        raise DataError(f"{split_by or 'split'!r} of {path} must be flat, got {named.shape}.", field="split-by")
    if named.dtype.kind in "US":
        names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in named.tolist()]
        return split_codes(names, origin=str(path), column=split_by or "split"), None
    if split_by is None:
        raise DataError(f"'split' of {path} must hold train, valid or test, got {named.dtype}.", field="split-by")
    return None, np.unique(named, return_inverse=True)[1].reshape(-1)


def _group_numbers(groups: Array) -> Array:
    """Groups as numbers from 0."""
    return np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _named(arrays: Mapping[str, Array], name: str, path: Path, *, field: str) -> Array:
    """The array of that name."""
    if name in arrays:
        return arrays[name]
    near = get_close_matches(name, arrays, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(sorted(arrays))}."
    raise DataError(f"{path} must hold an array {name!r}; {remedy}", field=field)
