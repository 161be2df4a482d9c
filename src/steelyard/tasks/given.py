"""Rows to judge a model by that is there already: read, split, typed as its inputs take them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.port import Port
from steelyard.core.task import (
    Array,
    ClassOutput,
    OutputSpec,
    Rows,
    TaskKind,
    TensorInput,
    TensorOutput,
    ValueOutput,
)
from steelyard.tasks.arrays import read_npz
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.facts import describe
from steelyard.tasks.metrics import metrics_of
from steelyard.tasks.preprocess import apply_own, numbers
from steelyard.tasks.reading import existing, source_of
from steelyard.tasks.splits import SPLITS, Lot, split_codes
from steelyard.tasks.targets import bins
from steelyard.tasks.tensors import rows_for

UNSEEN_SHARES = (0.2, 0.3, 0.5)
"""Shares of rows that calibrate, judge and prove, where all are taken as unseen by the model."""
VALID_OF_TEST = 0.375
"""Share of the given test rows that judge where no valid rows are given: as of unseen rows, 30 to 50."""
Run = Callable[[Array], Array]
"""The model given, run: structured rows (n,) to outputs (n, width)."""


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of the model before its data are read.

    Attributes:
        name: of the model.
        ports: its inputs.
        run: runs it.
    """

    name: str
    ports: tuple[Port, ...]
    run: Run


def read_arrays_of(
    path: str | Path, *, target: str | None, group: str | None, split_by: str | None, trust: bool
) -> Mapping[str, Any]:
    """The arrays of a file by name, as .npz files have them: `x`, `y`, `split`, or `x_train`, `y_train`, `x_valid`.

    Args:
        path: .npz, a table, or a folder or .zip of class folders.
        target: the column of the targets of a table.
        group: the column of what belongs together.
        split_by: the column of the splits.
        trust: lift the limits on unpacked size.

    Raises:
        DataError: one sentence on what the data lack.
    """
    found = existing(path)
    if found.name.lower().endswith(".npz"):
        return read_npz(found, trust=trust)
    has_classes = found.is_dir() or found.name.lower().endswith(".zip")
    kind: TaskKind = "image-classification" if has_classes else "tabular-classification"
    source = source_of(found, kind, target=target, group=group, split_by=split_by, trust=trust)
    arrays: dict[str, Any] = {"x": source.x, "y": source.y}
    if source.split is not None:
        arrays["split"] = np.array([SPLITS[code] for code in source.split])
    if source.groups is not None:
        arrays[group or "groups"] = source.groups
    return arrays


@dataclass(frozen=True, slots=True)
class Material:
    """Arrays as they were read, and what the user said of them.

    Attributes:
        arrays: by name: `x`, `y` and `split`, or `x_train`, `y_train`, `x_valid` … With several inputs, each input's
            name stands in the place of `x`. Targets may be missing: the model is judged against itself then.
        origin: of the arrays, for messages.
        target: the name of the targets.
        group: the name of what belongs together; None for rows that are independent.
        preprocess: the user's own, of the raw inputs.
    """

    arrays: Mapping[str, Any]
    origin: str
    target: str = "y"
    group: str | None = None
    preprocess: Callable[[Any], Any] | None = None


def prepare_given(material: Material, given: Given, *, seed: int, kind: TaskKind | None = None) -> PreparedTask:
    """The task of judging a model.

    Args:
        material: the user's data.
        given: the model.
        seed: of the splits that are made.
        kind: of the task; None is told by the targets: whole numbers or texts are classes, other numbers values.

    Raises:
        DataError: one sentence on what the data lack.
    """
    parts = {name: _part(material, name, given) for name in ("", *SPLITS)}
    found = {name: part for name, part in parts.items() if part is not None}
    if not found:
        have = ", ".join(sorted(map(str, material.arrays))) or "none"
        raise DataError(f"{material.origin} must hold arrays x_train and x_valid, or x, got {have}.", field="data")
    if "" in found:
        found = _by_split(found[""], material)
    without = [name for name, part in found.items() if part.y is None]
    if without and len(without) < len(found):
        raise DataError(
            f"{material.origin} must hold targets for every split or for none; {', '.join(without)} has none.",
            field="target",
        )
    outputs = given.run(next(iter(found.values())).x[:2])
    width = int(np.prod(outputs.shape[1:], dtype=np.int64))
    own = kind or _kind_of(found, outputs, material)
    if own == "label-free":
        found, output = _judged_by_itself(found, width, given)
    elif own == "language-modelling":
        found, output = _judged_by_tokens(found, outputs, material)
    elif own == "regression":
        found, output = _judged_by_values(found, width, material)
    else:
        found, output = _judged_by_classes(found, width, material)
    splits, how = _three(found, seed, material.origin)
    spec = TensorInput(given.ports)
    return PreparedTask(
        name=own,
        kind=own,
        input=spec,
        output=output,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        split_how=how,
        data_hash=hash_rows(spec, output, *splits),
        facts=describe(own, spec, output, splits),
        metric="output_error" if own == "label-free" and isinstance(output, TensorOutput) else metrics_of(own)[0],
        defaults={"families": [given.name], "budget_s": 600.0},
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one split: structured inputs, raw targets or None, groups or None."""

    x: Array
    y: Array | None
    groups: Array | None = None

    def taken(self, index: Array) -> "_Part":
        y, groups = (None if each is None else each[index] for each in (self.y, self.groups))
        return _Part(self.x[index], y, groups)


def _part(material: Material, split: str, given: Given) -> _Part | None:
    """The rows of one split, or of an unsplit file; None where it holds none."""
    arrays, suffix = material.arrays, f"_{split}" if split else ""
    raw = raw_inputs(material, split, [port.name for port in given.ports])
    if raw is None:
        return None
    if isinstance(raw, Mapping) and len(given.ports) == 1 and given.ports[0].name not in raw:
        raw = features_of(raw)
    x = rows_for(given.ports, raw, origin=f"{material.origin}{f' ({split})' if split else ''}")
    y = arrays.get(material.target + suffix)
    groups = None if material.group is None else arrays.get(material.group + suffix)
    for name, beside in ((material.target, y), (material.group, groups)):
        if beside is not None and len(beside) != len(x):
            raise DataError(
                f"{material.origin} must hold as many rows of x{suffix} as of {name}{suffix}, got {len(x):,} and "
                f"{len(beside):,}; was it cut off?",
                field="data",
            )
    return _Part(x, None if y is None else np.asarray(y), None if groups is None else np.asarray(groups))


def raw_inputs(material: Material, split: str, names: Sequence[str]) -> Any:
    """Raw inputs of one split, after the user's own preprocessing: an array, or arrays by name; None for no rows.

    Args:
        material: the user's data.
        split: its name; empty for rows that are not split.
        names: of the model's inputs.
    """
    arrays, suffix = material.arrays, f"_{split}" if split else ""
    raw: Any = {name: arrays[name + suffix] for name in names if name + suffix in arrays}
    if f"x{suffix}" in arrays and (len(raw) < len(names) or len(names) == 1):
        raw = arrays[f"x{suffix}"]
    elif not raw:
        return None
    return raw if material.preprocess is None else apply_own(material.preprocess, raw)


def features_of(columns: Mapping[str, Any]) -> Array:
    """The columns of a table as the features (n, columns) of one input, in their order."""
    return np.stack([numbers(values, name=str(name)) for name, values in columns.items()], axis=1)


def _by_split(whole: _Part, material: Material) -> dict[str, _Part]:
    """The parts that a column `split` names, or the whole under the empty name."""
    if "split" not in material.arrays:
        return {"": whole}
    named = np.asarray(material.arrays["split"]).tolist()
    codes = split_codes(list(named), origin=material.origin, column="split")
    return {SPLITS[code]: whole.taken(np.flatnonzero(codes == code)) for code in sorted(set(codes.tolist()))}


def _kind_of(found: Mapping[str, _Part], outputs: Array, material: Material) -> TaskKind:
    """What the targets say: none, classes or values. Tables hold whole numbers as floats where a cell was empty."""
    y = next(iter(found.values())).y
    width = int(np.prod(outputs.shape[1:], dtype=np.int64))
    if y is None:
        return "label-free"
    if y.dtype.kind in "iu" and y.ndim == 2 and outputs.ndim == 3 and y.shape[1] == outputs.shape[1] > 1:
        return "language-modelling"
    if y.dtype.kind in "biuUO" or (y.dtype.kind == "f" and width > 1 and bool(np.all(y == np.floor(y)))):
        return "classification"
    if y.dtype.kind == "f":
        return "regression"
    raise DataError(
        f"targets of {material.origin} must be numbers or texts, got {y.dtype}; convert them.", field="target"
    )


def _judged_by_itself(found: Mapping[str, _Part], width: int, given: Given) -> tuple[dict[str, _Part], OutputSpec]:
    """The model's own outputs as targets (n, width)."""
    told = {
        name: _Part(part.x, _rowwise(given.run(part.x).astype(np.float32, copy=False)), part.groups)
        for name, part in found.items()
    }
    return told, ClassOutput(tuple(range(width))) if width > 1 else TensorOutput(width)


def _rowwise(outputs: Array) -> Array:
    """Outputs (n, width); those of several decisions a row keep their axes."""
    return outputs if outputs.ndim > 2 else outputs.reshape(len(outputs), -1)


def _judged_by_tokens(
    found: Mapping[str, _Part], outputs: Array, material: Material
) -> tuple[dict[str, _Part], OutputSpec]:
    """The next token of every token; without targets the inputs, one place on."""
    if outputs.ndim != 3:
        raise DataError(
            f"language-modelling needs outputs (n, tokens, vocabulary), and the model gives {outputs.shape}.",
            field="task",
        )
    told = {}
    for name, part in found.items():
        y = part.y
        if y is None:
            tokens = part.x[str(next(iter(part.x.dtype.fields or ("x",))))]
            y = np.full(tokens.shape, -1, dtype=np.int64)
            y[:, :-1] = tokens[:, 1:]
        if y.shape != (len(part.x), outputs.shape[1]) or y.dtype.kind not in "iu" or y.max() >= outputs.shape[2]:
            raise DataError(
                f"target {material.target!r} of {material.origin} must hold tokens (n, {outputs.shape[1]}) below "
                f"{outputs.shape[2]}, got {y.dtype} {y.shape}.",
                field="target",
            )
        told[name] = _Part(part.x, y.astype(np.int64), part.groups)
    return told, TensorOutput(int(np.prod(outputs.shape[1:])))


def _judged_by_values(
    found: Mapping[str, _Part], width: int, material: Material
) -> tuple[dict[str, _Part], OutputSpec]:
    """One value a row."""
    if width != 1:
        y = np.asarray(next(iter(found.values())).y)
        held = int(np.prod(y.shape[1:], dtype=np.int64))
        raise DataError(
            f"the model gives {width} values a row, and {material.target!r} of {material.origin} holds {held}: values "
            "are judged one a row; leave the targets out to judge the model against itself.",
            field="target",
        )
    told = {name: _Part(each.x, _column(each.y, material, "fiub"), each.groups) for name, each in found.items()}
    for part in told.values():
        if not np.isfinite(np.asarray(part.y)).all():
            raise DataError(f"target {material.target!r} of {material.origin} must be finite; mend it.", field="target")
    return {name: _Part(e.x, np.asarray(e.y).astype(np.float32), e.groups) for name, e in told.items()}, ValueOutput(
        0.0, 1.0
    )


def _judged_by_classes(
    found: Mapping[str, _Part], width: int, material: Material
) -> tuple[dict[str, _Part], OutputSpec]:
    """Classes by the number of the output that stands for them.

    Whole numbers from 0 are those numbers. Other labels are taken in sorted order, as every library that makes classes
    of labels does.
    """
    columns = {name: _column(part.y, material, "fiubUO") for name, part in found.items()}
    whole = np.concatenate(list(columns.values()))
    where = f"target {material.target!r} of {material.origin}"
    if width < 2:
        raise DataError(
            f"{where} holds classes, but the model gives one value a row; say --task regression or leave it out.",
            field="task",
        )
    if whole.dtype.kind == "f":
        if not np.all(whole == np.floor(whole)):
            raise DataError(f"{where} must hold classes, got {whole.dtype}; is --task regression meant?", field="task")
        whole = whole.astype(np.int64)
    is_number = whole.dtype.kind in "iu"
    codes: dict[str, Array]
    if is_number and whole.min() >= 0 and whole.max() < width:
        labels: tuple[str | int, ...] = tuple(range(width))
        codes = {name: column.astype(np.int64) for name, column in columns.items()}
    else:
        names = np.unique(whole if is_number else whole.astype(str))
        if len(names) != width:
            shown = f"{names[0]} to {names[-1]}" if is_number else ", ".join(map(str, names[:4]))
            raise DataError(
                f"{where} must fit the model's {width} outputs, got {len(names)} classes ({shown}).", field="target"
            )
        labels = tuple(names.tolist())
        codes = {
            name: np.searchsorted(names, each.astype(names.dtype)).astype(np.int64) for name, each in columns.items()
        }
    return {name: _Part(part.x, codes[name], part.groups) for name, part in found.items()}, ClassOutput(labels)


def _column(y: Array | None, material: Material, kinds: str) -> Array:
    """Targets as one number or text a row."""
    flat = np.asarray(y).reshape(len(np.asarray(y)), -1)
    if flat.shape[1] != 1 or flat.dtype.kind not in kinds:
        raise DataError(
            f"target {material.target!r} of {material.origin} must hold one value a row, got {flat.dtype} "
            f"{np.asarray(y).shape}; save numbers of classes or single values, or leave them out.",
            field="target",
        )
    column: Array = flat[:, 0]
    return column


def _three(found: Mapping[str, _Part], seed: int, origin: str) -> tuple[tuple[Rows, Rows, Rows], str]:
    """Train, valid and test, and one sentence on where they come from."""
    train, valid, test = (found.get(name) for name in SPLITS)
    if "" in found:
        parts, manner = _drawn(found[""], UNSEEN_SHARES, seed, origin)
        how = f"rows taken as unseen by the model: 20 % calibrate, 30 % valid, 50 % test, {manner}"
    elif train is None:
        raise DataError(
            f"{origin} must name rows to calibrate on (x_train), got only {', '.join(found)}.", field="data"
        )
    elif valid is None and test is None:
        raise DataError(
            f"{origin} holds only x_train, which a model that was trained on it can't be judged by; add x_valid, or "
            "name rows that it never saw x.",
            field="data",
        )
    elif test is None:
        halves, manner = _drawn(_there(valid), (0.5, 0.5), seed, origin)
        parts, how = [train, *halves], f"train as given; test: half of valid, {manner}"
    elif valid is None:
        halves, manner = _drawn(test, (VALID_OF_TEST, 1 - VALID_OF_TEST), seed, origin)
        parts, how = [train, *halves], f"train as given; valid: {VALID_OF_TEST:.1%} of test, {manner}"
    else:
        parts, how = [train, valid, test], "train, valid and test as the data name them"
    first, second, third = (Rows(part.x, np.asarray(part.y), _numbered(part.groups)) for part in parts)
    return (first, second, third), how


def _there(part: _Part | None) -> _Part:
    if part is None:
        raise DataError("'data' must hold valid rows.", field="data")
    return part


def _drawn(part: _Part, shares: tuple[float, ...], seed: int, origin: str) -> tuple[list[_Part], str]:
    y = np.asarray(part.y)
    strata = y if y.dtype.kind in "iu" and y.ndim == 1 else bins(y) if y.ndim == 1 else np.zeros(len(y), dtype=np.int64)
    lot = Lot(strata=strata, groups=_numbered(part.groups), seed=seed, origin=origin)
    return [part.taken(index) for index in lot.divide(np.arange(len(part.x)), shares)], lot.manner


def _numbered(groups: Array | None) -> Array | None:
    return None if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1).astype(np.int64)
