"""Tables from files: .csv, .parquet, .jsonl, .jsonl.gz, as raw columns."""

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array
from steelyard.tasks.archives import MOST_BYTES
from steelyard.tasks.preprocess import MISSING, as_array
from steelyard.tasks.source import Columns

SUFFIXES = (".csv", ".parquet", ".jsonl", ".jsonl.gz")
"""Files that hold tables."""

_MOST_LINE_BYTES = 64 * 10**6
"""No row is as long as this; a packed file of one endless line is stopped here."""

_SEPARATORS = (",", ";", "\t", "|")


def read_columns(path: Path, *, trust: bool = False, most_bytes: int = MOST_BYTES) -> Columns:
    """The columns of a table's file, raw.

    Args:
        path: with one of the `SUFFIXES`.
        trust: lift the limit on unpacked size.
        most_bytes: that limit.

    Raises:
        DataError: if the file is damaged, has no rows, or is too large.
    """
    name = path.name.lower()
    limit = sys.maxsize if trust else most_bytes
    if name.endswith(".csv"):
        columns = _read_csv(path)
    elif name.endswith(".parquet"):
        columns = _read_parquet(path, limit)
    else:
        columns = _read_jsonl(path, limit)
    if not columns or not len(next(iter(columns.values()))):
        raise DataError(f"{path} must hold at least one row, got none; is it the right file?", field="data")
    return columns


def _read_csv(path: Path) -> Columns:
    """A CSV file: every cell as text first, so that what is missing and what is a number follow our rules."""
    import polars as pl  # noqa: PLC0415 (a heavy import, needed for files only)

    content = path.read_bytes()
    _check_utf8(content, path)
    header = content.lstrip(b"\xef\xbb\xbf\r\n").split(b"\n", 1)[0].decode("utf-8").strip("\r")
    separator = max(_SEPARATORS, key=header.count)
    _check_csv_ends(content, header, separator, path)
    try:
        frame = pl.read_csv(io.BytesIO(content), infer_schema=False, separator=separator)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError) as error:
        raise DataError(f"{path} can't be read as CSV ({_first_line(error)}); mend the file.", field="data") from error
    return {column.name: _text_column(column) for column in frame.iter_columns()}


def _text_column(column: Any) -> Array:
    """A column of text, as numbers where every cell that is not missing is one and none has leading zeros."""
    import polars as pl  # noqa: PLC0415

    stripped = column.str.strip_chars()
    present = stripped.set(stripped.str.to_lowercase().is_in(list(MISSING)), None)
    as_numbers = present.cast(pl.Float64, strict=False)
    is_code = present.str.contains(r"^[+-]?0\d").any()
    if as_numbers.null_count() == present.null_count() < len(column) and not is_code:
        found: Array = as_numbers.to_numpy().astype(np.float64)
        return found
    texts: Array = stripped.to_numpy().astype(object)
    return texts


def _check_utf8(content: bytes, path: Path) -> None:
    """Refuse bytes that are no UTF-8, naming the line."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} must be UTF-8 text, but line {line} is not; save it as UTF-8.", field="data"
        ) from error


def _check_csv_ends(content: bytes, header: str, separator: str, path: Path) -> None:
    """Refuse a first line that names no columns, and a last line that was cut off."""
    names = _cells(header, separator, path)
    if not any(name.strip() for name in names):
        raise DataError(f"{path} must name its columns in its first line, got an empty one; add it.", field="data")
    if all(re.fullmatch(r"\s*-?\d+([.,]\d+)?(e[+-]?\d+)?\s*", name, re.IGNORECASE) for name in names):
        raise DataError(
            f"{path} must name its columns in its first line, got numbers ({header:.40}); add a line of names.",
            field="data",
        )
    last = content.rstrip().rsplit(b"\n", 1)[-1].decode("utf-8")
    if last.count('"') % 2 == 0:
        cells = _cells(last, separator, path)
        if len(cells) < len(names):
            raise DataError(
                f"{path} must have {len(names)} cells in every line, got {len(cells)} in the last; was it cut off?",
                field="data",
            )


def _cells(line: str, separator: str, path: Path) -> list[str]:
    """The cells of one line."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error as error:
        raise DataError(f"{path} can't be read as CSV ({_first_line(error)}); mend the file.", field="data") from error


def _read_parquet(path: Path, most_bytes: int) -> Columns:
    """A Parquet file; what it unpacks to is computed before it is read."""
    import polars as pl  # noqa: PLC0415

    try:
        content = path.read_bytes()
        schema = pl.read_parquet_schema(io.BytesIO(content))
        rows = int(pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item())
        if rows * max(len(schema), 1) * 8 > most_bytes:
            raise DataError(
                f"{path} must unpack to at most {most_bytes / 1e9:.1f} GB, got {rows:,} rows of {len(schema)} columns; "
                "pass --trust if you made it.",
                field="data",
            )
        frame = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} can't be read as Parquet ({_first_line(error)}); was it cut off?", field="data"
        ) from error
    return {column.name: frame_column(column, origin=str(path)) for column in frame.iter_columns()}


def frame_column(column: Any, *, origin: str) -> Array:
    """A polars column as an array: numbers and dates as such, all else as objects, None where missing.

    Raises:
        DataError: if its cells hold lists or records.
    """
    import polars as pl  # noqa: PLC0415

    dtype = column.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        raise DataError(
            f"column {column.name!r} of {origin} must hold single values, got {dtype}; flatten or drop it.",
            field="data",
        )
    if dtype == pl.Time:
        column = column.cast(pl.Int64).cast(pl.Float64) / 1e9
    elif dtype.is_decimal() or (dtype.is_integer() and column.null_count()):
        column = column.cast(pl.Float64)
    elif dtype == pl.Datetime and getattr(dtype, "time_zone", None):
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    elif not (dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean):
        column = column.cast(pl.String)
    found: Array = column.to_numpy()
    return found.astype(object) if found.dtype.kind not in "buifmM" else found


def _read_jsonl(path: Path, most_bytes: int) -> Columns:
    """One JSON object a line; fields that a line lacks are missing."""
    found: dict[str, list[Any]] = {}
    rows = 0
    for number, line in _lines(path, most_bytes):
        if not line.strip():
            continue
        for name, value in _record(line, number, path).items():
            if isinstance(value, dict | list):
                raise DataError(
                    f"field {name!r} of {path} must hold single values, got {type(value).__name__} in line {number}; "
                    "flatten or drop it.",
                    field="data",
                )
            cells = found.setdefault(name, [])
            cells.extend([None] * (rows - len(cells)))
            cells.append(value)
        rows += 1
    for cells in found.values():
        cells.extend([None] * (rows - len(cells)))
    return {name: as_array(cells) for name, cells in found.items()}


def _record(line: str, number: int, path: Path) -> dict[str, Any]:
    """One line's object."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} must hold one JSON object a line, but line {number} can't be read ({_first_line(error)}); "
            "was it cut off?",
            field="data",
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            f"{path} must hold one JSON object a line, got {type(record).__name__} in line {number}; "
            "write each row as an object.",
            field="data",
        )
    return record


def _lines(path: Path, most_bytes: int) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; a packed file is unpacked as it is read, up to the limit."""
    unpacked = 0
    number = 0
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            while line := stream.readline(_MOST_LINE_BYTES):
                number += 1
                unpacked += len(line)
                if len(line) == _MOST_LINE_BYTES:
                    raise DataError(
                        f"{path} must hold one JSON object a line, but line {number} is longer than "
                        f"{_MOST_LINE_BYTES // 10**6} MB; was it cut into lines?",
                        field="data",
                    )
                if unpacked > most_bytes:
                    raise DataError(
                        f"{path} must unpack to at most {most_bytes / 1e9:.1f} GB, got more; "
                        "pass --trust if you made it.",
                        field="data",
                    )
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} must be UTF-8 text, but line {number} is not; save it as UTF-8.", field="data"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be unpacked ({_first_line(error)}); was it cut off?", field="data") from error


def _first_line(error: BaseException) -> str:
    """What a foreign error says, without its advice."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
