"""Sequences to predict, from the same files as tasks are read from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import Array, SequenceInput
from steelyard.tasks import frames, sounds
from steelyard.tasks.arrays import read_npz
from steelyard.tasks.folders import File, files_of
from steelyard.tasks.sequences import LENGTHS, rate_of
from steelyard.tasks.series import series_array

_PLAIN = ".txt"
_NOT_STEPS = ("label", "split")


def sequence_rows(path: Path, spec: SequenceInput, *, trust: bool = False) -> Any:
    """Raw rows of a file, in a form that `steelyard.tasks.sequences.encode_sequences` takes.

    Args:
        path: .npz with `x` (and `len`), a table, for texts a .txt of one text a line, for sounds one file, a folder or
            a .zip of them, in the order of their names.
        spec: how the model reads a row. Sounds are brought to its rate.
        trust: lift the limits on unpacked size.

    Raises:
        DataError: one sentence on what the data lack.
        MissingExtraError: if a library is not installed.
    """
    name = path.name.lower()
    if isinstance(spec, SoundInput) and (path.is_dir() or name.endswith((".zip", *sounds.SUFFIXES))):
        return _sounds(path, spec, trust=trust)
    if name.endswith(".npz"):
        return _arrays(read_npz(path, trust=trust), spec, path)
    if isinstance(spec, TextInput) and name.endswith(_PLAIN):
        return _lines(path)
    if not isinstance(spec, SoundInput) and name.endswith(frames.SUFFIXES):
        columns = frames.read_columns(path, trust=trust)
        if isinstance(spec, TextInput):
            return columns
        return {each: values for each, values in columns.items() if each not in _NOT_STEPS}
    forms = {
        SeriesInput: ".npz, .csv, .parquet, .jsonl or .jsonl.gz with series",
        TextInput: ".txt, .npz, .csv, .parquet, .jsonl or .jsonl.gz with texts",
        SoundInput: "a sound file, a folder or .zip of them, or .npz",
    }
    raise DataError(f"'data' must be {forms[type(spec)]} for this model, got {path}.", field="data")


def _arrays(arrays: Mapping[str, Array], spec: SequenceInput, path: Path) -> Any:
    """The array `x`, else `x_test`, else the only one there is; series end at their true lengths."""
    plain = {name: array for name, array in arrays.items() if array.ndim}
    name = next((each for each in ("x", "x_test") if each in plain), next(iter(plain)) if len(plain) == 1 else None)
    if name is None:
        have = ", ".join(sorted(arrays)) or "none"
        raise DataError(f"{path} must hold an array x, got {have}; rename it.", field="data")
    rate = rate_of(arrays)
    if isinstance(spec, SoundInput) and rate not in (None, spec.rate):
        raise DataError(
            f"{path} must hold sound at {spec.rate:,} Hz for this model, got {rate:,} Hz; resample it.", field="data"
        )
    if not isinstance(spec, SeriesInput):
        return plain[name]
    lengths = arrays.get(LENGTHS + name[1:])
    whole = None if lengths is None else np.asarray(lengths).astype(np.int64)
    return series_array(plain[name], origin=str(path), lengths=whole)


def _lines(path: Path) -> list[str]:
    """The lines of a text file, a text each.

    Raises:
        DataError: if it is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8 text, but it is not; save it as UTF-8.", field="data") from error


def _sounds(path: Path, spec: SoundInput, *, trust: bool) -> list[Array]:
    """Sounds of files at the specification's rate; none may be damaged."""
    if path.is_dir() or path.name.lower().endswith(".zip"):
        with files_of(path, sounds.SUFFIXES, "sound", trust=trust) as files:
            found, rates, readable, damaged = sounds.read_sounds(files, path, trust=trust)
            if len(readable) < len(files):
                raise DataError(f"{path} must hold sounds that can all be read; {damaged[0].text}.", field="data")
    else:
        found, rates, _, _ = sounds.read_sounds([File((path.name,), path.read_bytes)], path, trust=trust)
    return [sounds.at_rate(sound, rate, spec.rate) for sound, rate in zip(found, rates, strict=True)]
