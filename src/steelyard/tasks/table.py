"""Tables: which columns are numbers, which are categories, fitted on the training split only."""

import math
from collections import Counter

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, Column, Fact, TableInput
from steelyard.tasks.preprocess import MISSING, as_float, numbers, texts
from steelyard.tasks.source import Columns

MOST_CATEGORIES = 100
"""Categories kept of one column, the commonest; the others share code 0 with what is missing."""

_NUMERIC_SHARE = 0.95
"""A column of text is taken for numbers if this share of its values reads as such."""

_UNIQUE_SHARE = 0.5
"""A column of text with more distinct values than this share of its rows names rows and can't be learned from."""

_ROW_NAMES = frozenset({"id", "index", "rowid", "row_id", "uuid", "unnamed: 0", ""})


def fit_table(columns: Columns, train: Array, *, origin: str) -> tuple[TableInput, tuple[Fact, ...]]:
    """The specification of a table and notes on columns that were left out or cut short.

    Args:
        columns: raw values by column name, all splits.
        train: numbers of the training rows, the only ones looked at.
        origin: the file's name, for messages.

    Raises:
        DataError: if no column is left to learn from.
    """
    fitted: list[Column] = []
    notes: list[Fact] = []
    dropped: dict[str, str] = {}
    for name, values in columns.items():
        column, note = _fit_column(name, values[train])
        if column is None:
            dropped[name] = note
        else:
            fitted.append(column)
            if note:
                notes.append(Fact(f"column {name}", note, f"column {name}: {note}"))
    if dropped:
        told = "; ".join(f"{name} ({why})" for name, why in dropped.items())
        notes.append(Fact("left out", dropped, f"left out: {told}"))
    if not fitted:
        told = notes[-1].text if dropped else "there is none beside the target"
        raise DataError(f"{origin} must have a column to learn from; {told}.", field="data")
    if any(column.has_missing for column in fitted):
        notes.append(
            Fact("missing", sorted(MISSING), "cells that are empty or say ?, NA, N/A, NaN or null count as missing")
        )
    return TableInput(tuple(fitted)), tuple(notes)


def _fit_column(name: str, values: Array) -> tuple[Column | None, str]:
    """A column and a note on it, or None and why it is left out."""
    if values.dtype.kind in "uifmM":
        return _fit_number(name, numbers(values, name=name))
    found = texts(values)
    present = [text for text in found if text is not None]
    if not present:
        return None, "no value in train"
    counts = Counter(present)
    readable = sum(count for text, count in counts.items() if not math.isnan(as_float(text)))
    if readable < _NUMERIC_SHARE * len(present):
        return _fit_category(name, counts, has_missing=len(present) < len(found))
    column, note = _fit_number(name, numbers(np.array(found, dtype=object), name=name))
    unread = len(present) - readable
    return column, f"{unread} texts that are no number count as missing" if unread else note


def _fit_number(name: str, values: Array) -> tuple[Column | None, str]:
    """A numeric column, unless it is empty or counts the rows."""
    present = values[~np.isnan(values)]
    if not len(present):
        return None, "no value in train"
    if name.strip().lower() in _ROW_NAMES and len(np.unique(present)) == len(values) > 2:
        return None, "it numbers the rows"
    mean, std = float(present.mean()), float(present.std())
    return Column(name, "number", mean=mean, std=std or 1.0, has_missing=len(present) < len(values)), ""


def _fit_category(name: str, counts: Counter[str], *, has_missing: bool) -> tuple[Column | None, str]:
    """A categorical column, unless nearly every row has a value of its own."""
    rows = counts.total()
    if len(counts) > MOST_CATEGORIES and len(counts) > _UNIQUE_SHARE * rows:
        return None, f"{len(counts):,} different texts in {rows:,} rows"
    commonest = sorted(counts, key=lambda text: (-counts[text], text))[:MOST_CATEGORIES]
    note = f"the {MOST_CATEGORIES} commonest of {len(counts):,} categories" if len(counts) > MOST_CATEGORIES else ""
    return Column(name, "category", categories=tuple(sorted(commonest)), has_missing=has_missing), note
