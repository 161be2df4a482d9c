"""Rows to predict, from the same files as tasks are read from; targets are not needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import Array, ImageInput, InputSpec, PairInput, TableInput, TensorInput
from steelyard.tasks import frames, pictures
from steelyard.tasks.arrays import read_npz
from steelyard.tasks.folders import File, files_of
from steelyard.tasks.preprocess import numbers
from steelyard.tasks.reading import FORMS, existing
from steelyard.tasks.unlabelled import sequence_rows

NOT_INPUTS = ("label", "split")
"""Columns of a table that no model takes: its targets and its splits, by the names that tasks know them by."""


def read_rows(path: str | Path, spec: InputSpec, *, trust: bool = False) -> Any:
    """Raw rows of a file, in a form that `steelyard.tasks.preprocess.encode` takes.

    Args:
        path: a file of any of the forms that tasks are read from, a folder of images, or one image. Images are taken
            in the order of their names, class folders or none; likewise sounds.
        spec: how the model reads a row. Images are resized to it.
        trust: lift the limits on unpacked size.

    Returns:
        Images (n, ...), or a mapping from column name to values, or for a model that names its inputs itself, arrays by
        those names.

    Raises:
        DataError: one sentence on what the data lack.
    """
    found = existing(path)
    name = found.name.lower()
    is_image = found.suffix.lower() in pictures.SUFFIXES
    if isinstance(spec, ImageInput) and (found.is_dir() or name.endswith(".zip") or is_image):
        return _image_rows(found, spec, is_image=is_image, trust=trust)
    if isinstance(spec, TensorInput):
        return _named_rows(found, spec, trust=trust)
    if isinstance(spec, SeriesInput | TextInput | SoundInput):
        return sequence_rows(found, spec, trust=trust)
    if name.endswith(".npz"):
        return _npz_rows(found, trust=trust)
    if isinstance(spec, TableInput | PairInput) and name.endswith(frames.SUFFIXES):
        return frames.read_columns(found, trust=trust)
    what = "images" if isinstance(spec, ImageInput) else "tables"
    raise DataError(f"'data' must be {FORMS} with {what} for this model, got {found}.", field="data")


def _named_rows(path: Path, spec: TensorInput, *, trust: bool) -> Any:
    """What a model that names its inputs itself is fed with, in the form that it was compressed with.

    A single input is the array `x` or `x_test`, else the columns of a table, else the array of its own name, else the
    only one; of several inputs each is an array of its name, with or without `_test` behind.
    """
    if path.name.lower().endswith(frames.SUFFIXES):
        columns = frames.read_columns(path, trust=trust)
        return {name: values for name, values in columns.items() if name not in NOT_INPUTS}
    arrays = read_arrays(path, trust=trust)
    whole = next((arrays[name] for name in ("x", "x_test") if name in arrays), None)
    if whole is not None and len(spec.ports) == 1:
        return whole
    found = {}
    for port in spec.ports:
        named = next((arrays[name] for name in (port.name, f"{port.name}_test") if name in arrays), None)
        if named is None and len(spec.ports) == len(arrays) == 1:
            return next(iter(arrays.values()))
        if named is None:
            have = ", ".join(sorted(arrays)) or "none"
            raise DataError(f"{path} must hold an array for the input {port.name!r}, got {have}.", field="data")
        found[port.name] = named
    return found


def read_arrays(path: str | Path, *, trust: bool = False) -> Mapping[str, Array]:
    """Arrays of a file by name, for a model that says itself what it takes.

    An .npz file gives its arrays, an .npy file one under the name `x`, a table its columns of numbers as `x` (n,
    columns) float32, the column `label` left out.

    Raises:
        DataError: one sentence on what the data lack.
    """
    found = existing(path)
    name = found.name.lower()
    if name.endswith(".npz"):
        return read_npz(found, trust=trust)
    if name.endswith(".npy"):
        return {"x": _npy_rows(found)}
    if name.endswith(frames.SUFFIXES):
        columns = frames.read_columns(found, trust=trust)
        kept = {each: values for each, values in columns.items() if each not in NOT_INPUTS}
        return {"x": np.stack([numbers(values, name=each) for each, values in kept.items()], axis=1).astype(np.float32)}
    raise DataError(f"'data' must be .npz, .npy or a table of numbers for a model file, got {found}.", field="data")


def _npy_rows(path: Path) -> Array:
    """The array of an .npy file; pickled objects are refused by numpy."""
    try:
        rows: Array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is no array of numbers, or is cut short; write it anew.", field="data") from error
    if rows.dtype.kind not in "biuf":
        raise DataError(f"{path} must hold numbers, got {rows.dtype}.", field="data")
    return np.asarray(rows)


def _npz_rows(path: Path, *, trust: bool) -> Array:
    """The array `x`, else `x_test`, else the only one there is."""
    arrays = read_npz(path, trust=trust)
    for name in ("x", "x_test"):
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise DataError(f"{path} must hold an array x, got {', '.join(sorted(arrays)) or 'none'}; rename it.", field="data")


def _image_rows(path: Path, spec: ImageInput, *, is_image: bool, trust: bool) -> Array:
    """Images of files, brought to the specification's size, channels and layout; none may be damaged."""
    form = pictures.Form(spec.height, spec.width, 1 if spec.channels == 1 else 3)
    if spec.channels not in (1, 3):
        raise DataError(f"'data' must be .npz for images of {spec.channels} channels, got {path}.", field="data")
    if is_image:
        chosen = [File((path.name,), path.read_bytes)]
        pixels, readable, _ = pictures.decode_pictures(chosen, form, path, trust=trust)
    else:
        with files_of(path, pictures.SUFFIXES, "image", trust=trust) as chosen:
            pixels, readable, damaged = pictures.decode_pictures(chosen, form, path, trust=trust)
        if len(readable) < len(chosen):
            raise DataError(f"{path} must hold images that can all be read; {damaged[0].text}.", field="data")
    if spec.channels == 1:
        return pixels if spec.layout == "hw" else np.expand_dims(pixels, 3 if spec.layout == "hwc" else 1)
    return pixels.transpose(0, 3, 1, 2) if spec.layout == "chw" else pixels
