"""The user's own data: from a file, a folder, or arrays in memory to a prepared task."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError, UnknownNameError
from steelyard.core.task import Array, TaskKind
from steelyard.tasks import frames
from steelyard.tasks.arrays import columns_of, source_of_npz
from steelyard.tasks.assemble import prepare
from steelyard.tasks.columns import source_of_columns, source_without_target
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.language import language_task
from steelyard.tasks.metrics import DEFAULT_METRICS
from steelyard.tasks.pictures import source_of_pictures
from steelyard.tasks.preprocess import apply_own, as_array
from steelyard.tasks.ratings import source_of_ratings
from steelyard.tasks.sequences import SEQUENCE_KINDS, in_memory
from steelyard.tasks.sounds import source_of_sounds
from steelyard.tasks.source import Columns, Source
from steelyard.tasks.splits import split_codes

KINDS: tuple[TaskKind, ...] = tuple(DEFAULT_METRICS)
"""The kinds of task that can be read."""

FORMS = ".npz, .csv, .parquet, .jsonl, .jsonl.gz, or a folder or .zip of class folders"
"""What can be read, for messages."""

FOLDER_KINDS: Mapping[TaskKind, Callable[..., Source]] = {
    "image-classification": source_of_pictures,
    "audio-classification": source_of_sounds,
}
"""Kinds of task whose rows may be files in class folders, and what reads them."""

_TABLE_FORMS = ".npz, .csv, .parquet, .jsonl or .jsonl.gz"


def from_data(
    path: str | Path,
    kind: str,
    *,
    target: str | None = None,
    group: str | None = None,
    split_by: str | None = None,
    seed: int = 0,
    trust: bool = False,
    preprocess: Callable[[Any], Any] | None = None,
    vocabulary: str | None = None,
) -> PreparedTask:
    """A task from the user's own data.

    Args:
        path: a file of any of the `FORMS`, or a folder of class folders.
        kind: of the task.
        target: column (or array) of the targets; by default `label`, else the last column (`y` in .npz).
        group: column whose equal values must never straddle splits.
        split_by: column with train, valid and test, or with an order (dates, numbers) that splits follow.
        seed: of the splits that are made.
        trust: lift the limits on unpacked size, for data the user made.
        preprocess: the user's own, of the raw inputs (`steelyard.tasks.preprocess.apply_own`), before all else.
        vocabulary: of language modelling: char, byte or bpe.

    Raises:
        UnknownNameError: for a kind or a column that is not known.
        DataError: one sentence on what the data lack.
    """
    checked = _kind(kind)
    found = existing(path)
    if vocabulary is not None and checked != "language-modelling":
        raise DataError(
            f"'vocabulary' cuts a text for language-modelling; for {checked} it is a knob "
            "(--knob vocabulary=char,word).",
            field="vocabulary",
        )
    try:
        if checked == "language-modelling":
            _check_plain(target, group, split_by)
            return language_task(found, vocabulary=vocabulary, trust=trust)
        source = source_of(found, checked, target=target, group=group, split_by=split_by, trust=trust)
        return prepare(_preprocessed(source, preprocess), checked, name=kind, seed=seed)
    except OSError as error:
        raise DataError(
            f"{found} can't be read ({error.strerror or error}); check its permissions.", field="data"
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{found} does not fit this machine's memory; use fewer rows or smaller images.", field="data"
        ) from error


def from_arrays(
    x: Any,
    y: Any = None,
    kind: str | None = None,
    *,
    split: Any = None,
    groups: Any = None,
    seed: int = 0,
    preprocess: Callable[[Any], Any] | None = None,
) -> PreparedTask:
    """A task from data in memory.

    Args:
        x: images (n, ...), a table (n, columns), a pandas or polars frame, a mapping from column name to values, or
            a sequence of pairs of input and target such as a torch data set (then without `y`).
        y: targets (n,), or the name of their column in a frame; by default `label`, else the last column.
        kind: of the task; by default from the shape of `x` and the type of `y`.
        split: "train", "valid" or "test" for each row; by default splits are made.
        groups: rows with the same value never straddle splits; (n,).
        seed: of the splits that are made.
        preprocess: as in `from_data`.

    Raises:
        UnknownNameError: for a kind or a column that is not known.
        DataError: one sentence on what the data lack.
    """
    origin = "'x'"
    columns = _frame(x)
    if kind == "clustering":
        array = _array(x) if columns is None else np.zeros(0)
        if array.ndim > 2:
            raise DataError("'x' must hold a table for clustering, got images.", field="data")
        flat = columns_of(array) if columns is None else columns
        drawn = source_without_target(flat, origin=origin, left_out=y if isinstance(y, str) else None)
        inputs, targets, name, own = drawn.x, drawn.y, drawn.target, drawn.split
    elif columns is not None and (y is None or isinstance(y, str)):
        read = source_of_ratings if kind == "recommendation" else source_of_columns
        drawn = read(columns, origin=origin, target=y)
        inputs, targets, name, own = drawn.x, drawn.y, drawn.target, drawn.split
    else:
        rows, given = _pairs(x) if y is None else (x, y)
        is_sequence = kind in SEQUENCE_KINDS and columns is None
        inputs = columns if columns is not None else in_memory(rows, str(kind)) if is_sequence else _array(rows)
        targets, name, own = _plain(given), "y", None
    if isinstance(inputs, np.ndarray) and inputs.ndim <= 2 and kind not in SEQUENCE_KINDS:
        inputs = columns_of(inputs)
    source = Source(
        origin=origin,
        x=inputs,
        y=targets,
        target=name,
        split=own if split is None else split_codes(list(split), origin=origin, column="split"),
        groups=None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1),
    )
    checked = _inferred(source) if kind is None else _kind(kind)
    return prepare(_preprocessed(source, preprocess), checked, name=checked, seed=seed)


def _check_plain(target: str | None, group: str | None, split_by: str | None) -> None:
    """Refuse columns of a text that has none."""
    for name, field in ((target, "target"), (group, "group"), (split_by, "split-by")):
        if name is not None:
            raise DataError(f"language-modelling reads text without columns; leave out --{field}.", field=field)


def _preprocessed(source: Source, preprocess: Callable[[Any], Any] | None) -> Source:
    """The source with the user's own preprocessing done."""
    return source if preprocess is None else replace(source, x=apply_own(preprocess, source.x))


def _pairs(x: Any) -> tuple[list[Any], list[Any]]:
    """Inputs and targets of a sequence of pairs."""
    try:
        pairs = [] if isinstance(x, np.ndarray) else [tuple(x[row]) for row in range(len(x))]
    except (TypeError, KeyError, IndexError) as error:
        raise _without_targets() from error
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise _without_targets()
    return [row for row, _ in pairs], [target for _, target in pairs]


def _without_targets() -> DataError:
    """Inputs that came alone."""
    return DataError("'y' must hold a target for each row of 'x', got none; pass it, or pairs as 'x'.", field="target")


def _array(rows: Any) -> Array:
    """Rows as one array."""
    try:
        return np.asarray(rows)
    except ValueError as error:
        raise DataError(f"'x' must hold rows of one shape, but {error}; make them equal.", field="data") from error


def _frame(x: Any) -> Columns | None:
    """A data frame or mapping as columns; None for anything else."""
    if isinstance(x, np.ndarray):
        return None
    names = list(x) if isinstance(x, Mapping) else getattr(x, "columns", None)
    return None if names is None else {str(name): _plain(x[name]) for name in names}


def _plain(values: Any) -> Array:
    """Values as an array of numbers, dates or objects."""
    array = as_array(values) if isinstance(values, list | tuple) else np.asarray(values)
    array = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    return array if array.dtype.kind in "buifmMO" else array.astype(object)


def _inferred(source: Source) -> TaskKind:
    """Images if rows have two axes or more; whole numbers and texts are classes, fractions values."""
    if not isinstance(source.x, Mapping):
        return "image-classification"
    has_fractions = source.y.dtype.kind == "f" and bool(np.any(np.mod(source.y[np.isfinite(source.y)], 1)))
    return "tabular-regression" if has_fractions else "tabular-classification"


def _kind(kind: str) -> TaskKind:
    """The kind, if it is one."""
    for known in KINDS:
        if kind == known:
            return known
    raise UnknownNameError("task", kind, KINDS, field="task")


def existing(path: str | Path) -> Path:
    """The path, if something is there.

    Raises:
        DataError: if nothing is, or it is empty.
    """
    found = Path(path)
    if not str(path) or "\0" in str(path) or not found.exists():
        raise DataError(
            f"'data' must be a file or folder, got {str(path)!r}, which does not exist; check the path.", field="data"
        )
    if not found.is_file() and not found.is_dir():
        raise DataError(
            f"'data' must be a file or folder, got {found}, which is neither; copy it to a file.", field="data"
        )
    if found.is_file() and not found.stat().st_size:
        raise DataError(f"{found} must hold data, got an empty file; was it written to the end?", field="data")
    return found


def source_of(
    path: Path, kind: TaskKind, *, target: str | None, group: str | None, split_by: str | None, trust: bool
) -> Source:
    """Raw rows by the form of the file.

    Raises:
        DataError: one sentence on what the data lack, or where the file is of another form than the kind has.
    """
    name = path.name.lower()
    if path.is_dir() or name.endswith(".zip"):
        if kind not in FOLDER_KINDS:
            what = "folder" if path.is_dir() else ".zip"
            raise DataError(f"'data' must be a file for {kind} ({_TABLE_FORMS}), got the {what} {path}.", field="data")
        if target or group or split_by:
            raise DataError(
                f"{path} has class folders and no columns; leave out --target, --group and --split-by.",
                field="target" if target else "group" if group else "split-by",
            )
        return FOLDER_KINDS[kind](path, trust=trust)
    if name.endswith(".npz"):
        return source_of_npz(
            path,
            kind,
            target=target,
            group=group,
            split_by=split_by,
            trust=trust,
            has_targets=kind != "clustering",
        )
    if name.endswith(frames.SUFFIXES):
        if kind == "recommendation":
            columns = frames.read_columns(path, trust=trust)
            return source_of_ratings(columns, origin=str(path), target=target, group=group, split_by=split_by)
        if kind in FOLDER_KINDS:
            raise DataError(
                f"'data' must be .npz, or a folder or .zip of class folders, for {kind}, got the table {path}; "
                "is tabular-classification meant?",
                field="data",
            )
        columns = frames.read_columns(path, trust=trust)
        if kind == "clustering":
            return source_without_target(columns, origin=str(path), left_out=target, group=group, split_by=split_by)
        return source_of_columns(columns, origin=str(path), target=target, group=group, split_by=split_by)
    raise DataError(f"'data' must be {FORMS}, got {path.name!r}; convert it to one of them.", field="data")
