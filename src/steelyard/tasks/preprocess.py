"""From the task's raw form to what the graph takes, and back. Needs numpy only, so it ships with a bundle."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from steelyard.core.errors import DataError, InputError
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import (
    Array,
    ClassOutput,
    Column,
    ImageInput,
    InputSpec,
    OutputSpec,
    PairInput,
    TableInput,
    TensorInput,
    TensorOutput,
)
from steelyard.tasks.tensors import rows_for

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})
"""Texts that stand for a missing value, in lower case and without blanks around them."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_DAY_US = 86_400_000_000
_EPOCH = datetime.datetime(1970, 1, 1)


def encode(spec: InputSpec, raw: Any) -> Array:
    """Raw rows as the array that the graph takes.

    Args:
        spec: how the graph reads a row.
        raw: images as a numeric array (n, ...) of the specification's shape; tables as an array (n, columns), a
            mapping or data frame from column name to n values, or a sequence of n mappings, one a row; series, texts
            and sounds as `steelyard.tasks.sequences.encode_sequences` takes them. A numeric
            array holds codes where the column is a category, so rows that are encoded already stay as they are; of
            pairs it holds what the user calls users and items. For a
            model that names its inputs itself: an array where it has one, else arrays by their names.

    Returns:
        (n, ...) float32; structured (n,) for a model that names its inputs itself. In tables a missing number is NaN,
        a missing or unknown category code 0.

    Raises:
        DataError: if the shape or a value does not fit, naming the column where there is one.
    """
    if isinstance(spec, ImageInput):
        return np.ascontiguousarray(_images(spec, raw), dtype=np.float32)
    if isinstance(spec, SeriesInput | TextInput | SoundInput):
        from steelyard.tasks.sequences import encode_sequences  # noqa: PLC0415  tables and images need none of it

        return encode_sequences(spec, raw)
    if isinstance(spec, TensorInput):
        if isinstance(raw, Mapping) and len(spec.ports) == 1 and spec.ports[0].name not in raw:
            # A table: its columns are the one input's features, in their order.
            raw = np.stack([numbers(values, name=str(name)) for name, values in raw.items()], axis=1)
        return rows_for(spec.ports, raw, origin="'x'")
    columns = table_columns(spec, raw)
    # An array of pairs holds the user's own numbers of users and items, never codes.
    has_codes = isinstance(raw, np.ndarray) and raw.dtype.kind in "buif" and not isinstance(spec, PairInput)
    encoded = [_encode_column(column, columns[column.name], has_codes=has_codes) for column in spec.columns]
    lengths = {len(each) for each in encoded}
    if len(lengths) > 1:
        raise DataError(f"'x' must have columns of one length, got {sorted(lengths)}; pass as many values in each.")
    return np.stack(encoded, axis=1)


def apply_own(function: Callable[[Any], Any], raw: Any) -> Any:
    """Rows after the user's own preprocessing.

    Args:
        function: of raw rows: images as an array (n, ...), a table as a mapping from column name to n values.
        raw: the rows.

    Returns:
        What the function gives: as many rows, images of the same shape, or a mapping of columns.

    Raises:
        InputError: if the function fails, or gives something else.
    """
    before = {str(name): np.asarray(raw[name]) for name in raw} if isinstance(raw, Mapping) else np.asarray(raw)
    try:
        made = function(before)
    except Exception as error:
        text = " ".join(str(error).split()) or "no message"
        raise InputError(f"'preprocess' failed with {type(error).__name__}: {text}.", field="preprocess") from error
    if isinstance(before, Mapping):
        if not isinstance(made, Mapping) or not made:
            raise InputError(
                f"'preprocess' must give a mapping from column name to values, got {type(made).__name__}.",
                field="preprocess",
            )
        return {str(name): np.asarray(values) for name, values in made.items()}
    if np.shape(made) != before.shape:
        raise InputError(
            f"'preprocess' must give rows of the shape it was given, {before.shape}, got {np.shape(made)}; "
            "resizing is the knob resolution.",
            field="preprocess",
        )
    return np.asarray(made)


def decode(output: OutputSpec, outputs: Array) -> Array:
    """Labels (n,) of the highest scores in the user's own form, or values (n,), from outputs (n, width).

    Outputs whose meaning is not known stay as they are.

    Raises:
        DataError: if the outputs have another width.
    """
    scores = np.asarray(outputs)
    if isinstance(output, TensorOutput) and scores.ndim > 2:
        scores = scores.reshape(len(scores), -1)
    if scores.ndim != 2 or scores.shape[1] != output.width:
        raise DataError(f"'outputs' must have shape (n, {output.width}), got {scores.shape}; is it another model?")
    if isinstance(output, ClassOutput):
        # A score that is no number never wins, unless the whole row is such.
        best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=1)
        labels = np.array(output.labels)
        chosen: Array = labels[best]
        return chosen
    if isinstance(output, TensorOutput):
        return scores
    values: Array = scores[:, 0].astype(np.float64)
    return values


def table_columns(spec: TableInput | PairInput, raw: Any) -> Mapping[str, Any]:
    """Raw rows of a table as a mapping from column name to values.

    Raises:
        DataError: if a column of the specification is not there, or an array has another width.
    """
    names = [column.name for column in spec.columns]
    if isinstance(raw, np.ndarray) and raw.dtype.names is None:
        if raw.ndim != 2 or raw.shape[1] != len(names):
            raise DataError(
                f"'x' must have shape (n, {len(names)}), the columns {_listed(names)}, got {raw.shape}; "
                "pass one row for each prediction."
            )
        return {name: raw[:, index] for index, name in enumerate(names)}
    if isinstance(raw, Sequence) and not isinstance(raw, str | bytes):
        return _from_records(names, raw)
    present = raw.dtype.names if isinstance(raw, np.ndarray) else getattr(raw, "columns", raw)
    if not isinstance(raw, Mapping | np.ndarray) and present is raw:
        raise DataError(f"'x' must be an array, a data frame, a mapping or a list of mappings, got {type(raw)!r}.")
    known = {str(name) for name in present}
    for name in names:
        if name not in known:
            raise _absent(name, sorted(known))
    return {name: raw[name] for name in names}


def _from_records(names: Sequence[str], records: Sequence[Any]) -> Mapping[str, Any]:
    """Columns from one mapping a row; a list of plain rows is read as an array."""
    if records and not isinstance(records[0], Mapping):
        widths = {len(row) if isinstance(row, Sequence) and not isinstance(row, str) else -1 for row in records}
        if widths != {len(names)}:
            raise DataError(f"'x' must hold rows of {len(names)} values, the columns {_listed(names)}; got others.")
        return {name: [row[index] for row in records] for index, name in enumerate(names)}
    for row, record in enumerate(records):
        for name in names:
            if name not in record:
                raise DataError(f"row {row + 1} must have a column {name!r}; add it, with null where it is unknown.")
    return {name: [record[name] for record in records] for name in names}


def _absent(name: str, known: Sequence[str]) -> DataError:
    """A column of the model that the data lack."""
    return DataError(f"'x' must have a column {name!r}, got {_listed(known)}; add it, empty where it is unknown.")


def _listed(names: Sequence[str], most: int = 8) -> str:
    """For people: the first names."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest if names else "none"


def _images(spec: ImageInput, raw: Any) -> Array:
    """Images, their shape and kind of number checked."""
    try:
        images = np.asarray(raw)
    except ValueError as error:
        raise DataError(f"'x' must hold images of one shape, but they differ ({error}); resize them.") from error
    if images.ndim != len(spec.shape) + 1 or images.shape[1:] != spec.shape:
        wanted = ", ".join(("n", *map(str, spec.shape)))
        raise DataError(f"'x' must have shape ({wanted}), got {images.shape}; resize or reshape the images.")
    if images.dtype.kind not in "buif":
        raise DataError(f"'x' must hold numbers, got {images.dtype}; pass pixels as integers or floats.")
    return images


def _encode_column(column: Column, values: Any, *, has_codes: bool) -> Array:
    """One column as float32; `has_codes` says that categories come as codes."""
    if column.kind == "number":
        found = numbers(values, name=column.name)
        return found.astype(np.float32)
    if has_codes:
        given = np.asarray(values, dtype=np.float32)
        is_code = (given == np.floor(given)) & (given >= 0) & (given <= len(column.categories))
        return np.where(is_code, given, np.float32(0))
    codes = {category: index + 1 for index, category in enumerate(column.categories)}
    return np.array([codes.get(text, 0) if text else 0 for text in texts(values)], dtype=np.float32)


def numbers(values: Any, *, name: str) -> Array:
    """Values of a column as float64 (n,): dates as days since 1970, NaN for what is missing or no number.

    Raises:
        DataError: if a number is infinite or beyond float32, which every graph computes in.
    """
    found = _as_floats(np.asarray(values) if not isinstance(values, list | tuple) else as_array(values))
    beyond = np.flatnonzero(np.abs(found) > _FLOAT32_MAX)
    if len(beyond):
        raise DataError(
            f"column {name!r} must hold numbers within float32 (up to 3.4e38), got {found[beyond[0]]:g} in row "
            f"{beyond[0] + 1}; rescale the column, or leave the value empty where it is unknown."
        )
    return found


def as_array(values: Sequence[Any]) -> Array:
    """Python values as an array that keeps each value as it is, where they are of several types."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array([as_float(value) for value in values], dtype=np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _as_floats(array: Array) -> Array:
    """Float64 of any array: numbers, booleans, dates, durations, or objects read one by one."""
    if array.dtype.kind in "buif":
        return array.astype(np.float64)
    if array.dtype.kind in "mM":
        unit = "timedelta64[us]" if array.dtype.kind == "m" else "datetime64[us]"
        days = array.astype(unit).astype(np.int64) / _DAY_US
        return np.where(np.isnat(array), np.nan, days)
    return np.array([as_float(value) for value in array.tolist()], dtype=np.float64).reshape(array.shape)


def as_float(value: Any) -> float:
    """A number from a number, a date (days since 1970) or a text of either; NaN for anything else."""
    if isinstance(value, str):
        return _float_of_text(value.strip())
    if isinstance(value, datetime.datetime):
        aware = value.tzinfo is not None
        naive = value.astimezone(datetime.UTC).replace(tzinfo=None) if aware else value
        return (naive - _EPOCH) / datetime.timedelta(days=1)
    if isinstance(value, datetime.date):
        return float((value - _EPOCH.date()).days)
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def _float_of_text(text: str) -> float:
    """A number from the text of a number or of an ISO date; NaN for any other text."""
    if text.lower() in MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return as_float(datetime.datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return math.nan


def texts(values: Any) -> list[str | None]:
    """Values of a column as texts, None for what is missing: the form that categories are kept in."""
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    cache: dict[Any, str | None] = {}
    result = []
    for value in plain:
        key = (value, type(value))
        if key not in cache:
            cache[key] = _text(value)
        result.append(cache[key])
    return result


def _text(value: Any) -> str | None:
    """One category: whole numbers without a fraction, truth values in lower case, None if missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    lowered = text.lower()
    if lowered in MISSING:
        return None
    return lowered if lowered in ("true", "false") else text
