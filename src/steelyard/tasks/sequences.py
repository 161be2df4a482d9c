"""Series, texts and sounds: from raw rows to a specification and encoded rows, by kind."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.sequence import SeriesInput, TextInput
from steelyard.core.task import Array, Fact, SequenceInput, TaskKind
from steelyard.tasks.series import encode_series, fit_series, series_array
from steelyard.tasks.sound import encode_sound, fit_sound
from steelyard.tasks.source import Source
from steelyard.tasks.text import encode_texts, fit_texts, text_column

SEQUENCE_KINDS: frozenset[str] = frozenset({"series-classification", "text-classification", "audio-classification"})
"""Kinds of task whose rows are sequences."""
LENGTHS, RATE = "len", "rate"
"""Names, in a file of arrays, of the true lengths of rows (`len_train` beside `x_train`) and of the rate of sound."""


def encode_sequences(spec: SequenceInput, raw: Any) -> Array:
    """Raw rows as the graph takes them.

    Args:
        spec: how the graph reads a row.
        raw: series as numbers (n, steps) or (n, channels, steps), their axes as the training rows had them; texts as
            a sequence, or a table with the text's column; sounds as (n, samples) at the specification's rate. Rows
            of series and sounds may have unequal lengths.

    Raises:
        DataError: if the rows don't fit.
        MissingExtraError: if a library is not installed.
    """
    if isinstance(spec, SeriesInput):
        return encode_series(spec, raw)
    return encode_texts(spec, raw) if isinstance(spec, TextInput) else encode_sound(spec, raw)


def fit_sequences(source: Source, kind: TaskKind, train: Array) -> tuple[SequenceInput, Array, tuple[Fact, ...]]:
    """The input's specification fitted on the training rows, all rows encoded, and notes.

    Args:
        source: raw rows of all splits.
        kind: one of the `SEQUENCE_KINDS`.
        train: numbers of the training rows.

    Raises:
        DataError: if the rows are no sequences of that kind.
        MissingExtraError: if a library is not installed.
    """
    spec: SequenceInput
    if kind == "text-classification":
        columns = source.x if isinstance(source.x, Mapping) else {"text": source.x}
        column, said = text_column(columns, train, origin=source.origin)
        spec, notes = fit_texts(columns[column][train], column)
        return spec, encode_texts(spec, columns[column]), (*said, *notes)
    if kind == "series-classification":
        series = series_array(source.x, origin=source.origin)
        spec, notes = fit_series(series, train, origin=source.origin)
        return spec, encode_series(spec, series), notes
    if isinstance(source.x, Mapping) or source.rate is None:
        raise DataError(
            f"{source.origin} must say its rate of sound in samples a second, in an array 'rate'; or give a folder or "
            ".zip of class folders of sound files.",
            field="data",
        )
    spec, notes = fit_sound(list(source.x), train, source.rate)
    return spec, encode_sound(spec, source.x), notes


def sequence_arrays(arrays: Mapping[str, Array], kind: TaskKind, *, origin: str) -> dict[str, Array]:
    """The arrays of a file with its series as one shape, NaN after their true lengths; other arrays as they are.

    Raises:
        DataError: if series are no numbers, or lengths don't fit.
    """
    found = dict(arrays)
    if kind != "series-classification":
        return found
    names = [name for name in arrays if name == "x" or name.startswith("x_")]
    for name in names:
        lengths = arrays.get(LENGTHS + name[1:])
        whole = None if lengths is None else np.asarray(lengths).astype(np.int64)
        found[name] = series_array(arrays[name], origin=f"{name!r} of {origin}", lengths=whole)
    return found | _of_one_length({name: found[name] for name in names})


def _of_one_length(series: Mapping[str, Array]) -> dict[str, Array]:
    """Series of splits with the shorter ones filled up with NaN, where only the last axis differs."""
    heads = {each.shape[1:-1] for each in series.values()}
    if len(heads) != 1:
        return dict(series)
    longest = max(each.shape[-1] for each in series.values())
    fill = {name: [(0, 0)] * (each.ndim - 1) + [(0, longest - each.shape[-1])] for name, each in series.items()}
    return {name: np.pad(each, fill[name], constant_values=np.nan) for name, each in series.items()}


def rate_of(arrays: Mapping[str, Array]) -> int | None:
    """The rate of sound that a file of arrays says; None where it says none."""
    rate = arrays.get(RATE)
    return int(rate) if rate is not None and rate.ndim == 0 and rate.dtype.kind in "iuf" and rate > 0 else None


def in_memory(rows: Any, kind: str) -> Array:
    """Rows in memory as one array: objects where they are texts or have unequal lengths."""
    if isinstance(rows, np.ndarray):
        return rows
    if kind == "series-classification":
        return series_array(rows, origin="'x'")
    array = np.empty(len(rows), dtype=object)
    for row, each in enumerate(rows):
        array[row] = each
    return array
