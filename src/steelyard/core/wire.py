"""The JSON wire form: canonical text, content keys, and no NaN."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Plain = Any
"""Decoded JSON: None, bool, int, float, str, list or dict of those."""


def canonical(value: Plain) -> str:
    """JSON text that is equal for equal values: sorted keys, no blanks, no NaN.

    Raises:
        ValueError: if a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def content_key(value: Plain, digits: int = 12) -> str:
    """The first `digits` hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:digits]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def without_nan(value: Plain) -> Plain:
    """The same plain value with every number that is not finite replaced by None (unknown is null)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value


def dumps(value: Plain, *, indent: int | None = None) -> str:
    """JSON text for people and scripts; numbers that are not finite become null."""
    return json.dumps(without_nan(value), indent=indent, allow_nan=False, ensure_ascii=False)


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never half of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
