"""Which column of a table is the target, the split, the group."""

from dataclasses import replace

import numpy as np

from steelyard.core.errors import DataError, UnknownNameError
from steelyard.core.task import Array, Fact
from steelyard.tasks.preprocess import numbers, texts
from steelyard.tasks.source import Columns, Source
from steelyard.tasks.splits import split_code, split_codes

_NO_TARGET = "\0none"
"""A column name that no file has: where there are no targets, zeros stand in for them."""


def source_of_columns(
    columns: Columns,
    *,
    origin: str,
    target: str | None = None,
    group: str | None = None,
    split_by: str | None = None,
) -> Source:
    """Raw rows of a table, its special columns told apart from those to learn from.

    Args:
        columns: raw values by name.
        origin: the file's name, for messages.
        target: column of the targets; by default `label`, else the last that is neither split nor group.
        group: column whose equal values must never straddle splits.
        split_by: column with train, valid and test, or with an order.

    Raises:
        UnknownNameError: if a column named is not there; the nearest is suggested.
        DataError: if a column can't serve as what it is named for.
    """
    for name, field in ((target, "target"), (group, "group"), (split_by, "split-by")):
        if name is not None and name not in columns:
            raise UnknownNameError(f"{origin}: column", name, columns, field=field)
    _check_distinct(target, group, split_by)
    split_column = split_by or _own_split_column(columns, target)
    free = [name for name in columns if name not in (split_column, group)]
    if not free:
        raise DataError(f"{origin} must have a column of targets, got {', '.join(columns)}.", field="target")
    chosen = target or ("label" if "label" in free else free[-1])
    split, order = (None, None) if split_column is None else _split(columns[split_column], split_column, origin)
    notes = [Fact("target", chosen, f"the target is column {chosen}")]
    if order is not None:
        notes.append(Fact("split by", split_column, f"splits follow column {split_column}, which is no input"))
    return Source(
        origin=origin,
        x={name: columns[name] for name in free if name != chosen},
        y=columns[chosen],
        target=chosen,
        split=split,
        order=order,
        groups=None if group is None else _group_numbers(columns[group]),
        notes=tuple(notes),
    )


def source_without_target(
    columns: Columns,
    *,
    origin: str,
    left_out: str | None = None,
    group: str | None = None,
    split_by: str | None = None,
) -> Source:
    """Raw rows of a table that has no targets; all targets are 0.

    Args:
        columns: raw values by name.
        origin: the file's name, for messages.
        left_out: a column that is no input, such as a known answer; None for none.
        group: column whose equal values must never straddle splits.
        split_by: column with train, valid and test, or with an order.

    Raises:
        UnknownNameError: if a column named is not there; the nearest is suggested.
        DataError: if a column can't serve as what it is named for.
    """
    named = columns
    if left_out is None:
        named = {**columns, _NO_TARGET: np.zeros(len(next(iter(columns.values()), ())))}
    target = _NO_TARGET if left_out is None else left_out
    found = source_of_columns(named, origin=origin, target=target, group=group, split_by=split_by)
    notes = [note for note in found.notes if note.name != "target"]
    if left_out is not None:
        notes.append(Fact("left out", left_out, f"column {left_out} is left out: clusters have no targets"))
    return replace(found, y=np.zeros(len(found.y)), target="none", notes=tuple(notes))


def _check_distinct(target: str | None, group: str | None, split_by: str | None) -> None:
    """Refuse one column in two roles."""
    named = [name for name in (target, group, split_by) if name is not None]
    for name in named:
        if named.count(name) > 1:
            raise DataError(
                f"column {name!r} must be one of target, group and split-by, got it for two; name two columns.",
                field="target" if name == target else "group",
            )


def _own_split_column(columns: Columns, target: str | None) -> str | None:
    """The column `split`, if it names splits; one that holds anything else is an input like others."""
    if "split" not in columns or target == "split" or columns["split"].dtype.kind not in "OUS":
        return None
    named = {text for text in set(texts(columns["split"])) if text is not None}
    return "split" if any(split_code(text) is not None for text in named) else None


def _split(values: Array, column: str, origin: str) -> tuple[Array | None, Array | None]:
    """Split codes of each row, or its rank in the order of the column."""
    if values.dtype.kind in "OUS":
        named = texts(values)
        if any(text is not None and split_code(text) is not None for text in set(named)):
            return split_codes(named, origin=origin, column=column), None
    if values.dtype.kind in "OUSb":
        told = texts(values)
        keys = numbers(np.array(told, dtype=object), name=column)
        if not np.isnan(keys).any():
            return None, np.unique(keys, return_inverse=True)[1].reshape(-1)
        if None not in told:
            return None, np.unique(np.array(told), return_inverse=True)[1].reshape(-1)
        missing = told.index(None)
    else:
        keys = numbers(values, name=column)
        if not np.isnan(keys).any():
            return None, np.unique(keys, return_inverse=True)[1].reshape(-1)
        missing = int(np.flatnonzero(np.isnan(keys))[0])
    raise DataError(
        f"column {column!r} of {origin} must have a value in every row to be split by, got none in row {missing + 1}; "
        "fill it in or drop the row.",
        field="split-by",
    )


def _group_numbers(values: Array) -> Array:
    """Groups as numbers from 0; every row without a group is one of its own."""
    known: dict[str, int] = {}
    result = np.empty(len(values), dtype=np.int64)
    for row, text in enumerate(texts(values)):
        result[row] = len(known) if text is None else known.setdefault(text, len(known))
        if text is None:
            known[f"\0{row}"] = int(result[row])
    return result
