"""What can be read from a task before anything is searched."""

from collections.abc import Sequence

import numpy as np

from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import (
    Array,
    ClassOutput,
    Fact,
    ImageInput,
    InputSpec,
    OutputSpec,
    PairInput,
    Rows,
    SequenceInput,
    TableInput,
    TaskKind,
    TensorInput,
)

SAMPLE_ROWS = 512
"""Training rows that the feature complexity is computed on: more changes it little and costs cubically."""

VARIANCE_SHARE = 0.95
"""Share of the variance that the principal components counted by the feature complexity hold."""

_DUPLICATE_BYTES = 512 * 2**20
_MOST_COLUMNS = 4096


def describe(
    kind: TaskKind,
    spec: InputSpec,
    output: OutputSpec,
    splits: Sequence[Rows],
    notes: tuple[Fact, ...] = (),
) -> tuple[Fact, ...]:
    """What was read: kind, rows, classes and their balance, features, their complexity, what is odd.

    Args:
        kind: of the task.
        spec: of the input.
        output: of the output.
        splits: train, valid and test. Only the training split is looked into, except for the count of repeated rows.
        notes: what the reader found, put last.
    """
    train, valid, test = splits
    sizes = {"train": len(train), "valid": len(valid), "test": len(test)}
    counted = ", ".join(f"{count:,} {name}" for name, count in sizes.items())
    found = [Fact("kind", kind, kind.replace("-", " ")), Fact("rows", sizes, f"{counted} rows")]
    if kind not in ("label-free", "language-modelling", "clustering"):
        found.append(_balance(output, train.y) if isinstance(output, ClassOutput) else _target(train.y))
    if isinstance(spec, TensorInput):
        ports = [port.to_json() for port in spec.ports]
        return (*found, Fact("inputs", ports, f"inputs: {'; '.join(map(str, spec.ports))}"), *notes)
    if isinstance(spec, PairInput):
        return (*found, *notes)
    if isinstance(spec, SeriesInput | TextInput | SoundInput):
        return (*found, *_sequence_features(spec), *_repeats(train.x, valid.x, test.x), *notes)
    found.extend(_image_features(spec) if isinstance(spec, ImageInput) else _table_features(spec, train.x))
    found.append(_complexity(spec, train.x))
    found.extend(_constant(spec, train.x))
    found.extend(_repeats(train.x, valid.x, test.x))
    return (*found, *notes)


def _balance(output: ClassOutput, classes: Array) -> Fact:
    """Classes, the share of the commonest and of the rarest."""
    shares = np.bincount(classes, minlength=output.width) / max(len(classes), 1)
    most, least = int(shares.argmax()), int(shares.argmin())
    value = {"classes": output.width, "majority": float(shares[most]), "rarest": float(shares[least])}
    text = (
        f"{output.width} classes; {output.labels[most]!r} is the commonest with {shares[most]:.1%}, "
        f"{output.labels[least]!r} the rarest with {shares[least]:.1%}"
    )
    return Fact("classes", value, text)


def _target(values: Array) -> Fact:
    """Range and spread of a regression target."""
    low, high = float(values.min()), float(values.max())
    mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    value = {"low": low, "high": high, "mean": mean, "std": std}
    return Fact("values", value, f"values from {low:.4g} to {high:.4g}, mean {mean:.4g}, standard deviation {std:.4g}")


def _image_features(spec: ImageInput) -> list[Fact]:
    """Size and channels of images."""
    value = {"height": spec.height, "width": spec.width, "channels": spec.channels}
    colour = {1: "grey", 3: "colour"}.get(spec.channels, f"{spec.channels}-channel")
    return [Fact("features", value, f"{colour} images of {spec.height} × {spec.width}")]


def _sequence_features(spec: SequenceInput) -> list[Fact]:
    """Channels and steps of series, rate and bands of sound; what is known of texts their vocabularies say."""
    if isinstance(spec, SeriesInput):
        channels = f"{spec.channels} channel" + ("s" if spec.channels > 1 else "")
        text = f"series of {spec.steps:,} steps in {channels}"
        return [Fact("features", {"channels": spec.channels, "steps": spec.steps}, text)]
    if isinstance(spec, TextInput):
        return []
    value = {"rate": spec.rate, "samples": spec.samples, "mels": spec.mels, "frames": spec.frames}
    text = f"sound at {spec.rate:,} Hz, read as {spec.mels} bands of mel in {spec.frames:,} windows"
    return [Fact("features", value, text)]


def _table_features(spec: TableInput, x: Array) -> list[Fact]:
    """Columns by kind, and cells without a value."""
    categories = [index for index, column in enumerate(spec.columns) if column.kind == "category"]
    numbers = [index for index, column in enumerate(spec.columns) if column.kind == "number"]
    missing = int(np.isnan(x[:, numbers]).sum()) + int((x[:, categories] == 0).sum())
    incomplete = sum(column.has_missing for column in spec.columns)
    value = {"numbers": len(numbers), "categories": len(categories), "missing": missing, "incomplete": incomplete}
    text = f"{len(numbers)} numeric and {len(categories)} categorical columns; "
    text += f"{missing:,} cells without a value in {incomplete} columns" if missing else "no value is missing"
    return [Fact("features", value, text)]


def _complexity(spec: ImageInput | TableInput, x: Array) -> Fact:
    """Principal components that hold 95 % of the variance of a sample of training inputs.

    Numbers of a table are standardised, categories one-hot coded; pixels are taken as they are. It bounds what a
    linear map needs to keep; it does not say how hard the classes are to tell apart.

    References:
        Jolliffe, "Principal Component Analysis", 2nd ed., Springer, 2002, section 6.1.1.
    """
    sample = np.random.default_rng(0).permutation(len(x))[:SAMPLE_ROWS]
    flat = _numeric(spec, x[np.sort(sample)])
    centred = flat - flat.mean(axis=0)
    smaller = centred @ centred.T if centred.shape[0] < centred.shape[1] else centred.T @ centred
    variances = np.clip(np.linalg.eigvalsh(smaller)[::-1], 0, None)
    total = variances.sum()
    held = np.cumsum(variances) / total if total > 0 else np.ones(1)
    count = int(np.searchsorted(held, VARIANCE_SHARE) + 1) if total > 0 else 0
    width = flat.shape[1]
    text = f"{count} of {width:,} principal components hold 95 % of the variance of {len(sample):,} training rows"
    return Fact("complexity", {"components": count, "of": width, "rows": len(sample)}, text)


def _numeric(spec: ImageInput | TableInput, x: Array) -> Array:
    """Rows as a plain matrix (n, features) of float64, at most 4,096 features evenly chosen."""
    if isinstance(spec, TableInput):
        parts = []
        for index, column in enumerate(spec.columns):
            values = x[:, index].astype(np.float64)
            if column.kind == "number":
                scaled = (values - column.mean) / column.std
                parts.append(np.where(np.isfinite(scaled), scaled, 0.0)[:, None])
            else:
                parts.append((values[:, None] == np.arange(1, len(column.categories) + 1)).astype(np.float64))
        flat = np.concatenate(parts, axis=1)
    else:
        flat = x.reshape(len(x), -1).astype(np.float64)
    step = -(-flat.shape[1] // _MOST_COLUMNS)
    return flat[:, ::step]


def _constant(spec: ImageInput | TableInput, x: Array) -> list[Fact]:
    """Columns with one value only, or the count of such pixels."""
    if isinstance(spec, ImageInput):
        flat = x.reshape(len(x), -1)
        count = int((flat.min(axis=0) == flat.max(axis=0)).sum())
        return [Fact("constant", count, f"{count:,} of {flat.shape[1]:,} pixels never change")] if count else []
    names = [column.name for index, column in enumerate(spec.columns) if np.ptp(np.nan_to_num(x[:, index])) == 0]
    return [Fact("constant", names, f"constant in training: {', '.join(names)}")] if names else []


def _repeats(train: Array, valid: Array, test: Array) -> list[Fact]:
    """How many inputs of valid and test stand in train too; not counted where that would take long."""
    if train.nbytes + valid.nbytes + test.nbytes > _DUPLICATE_BYTES:
        return []
    seen = {hash(row.tobytes()) for row in np.ascontiguousarray(train)}
    shared = {
        name: sum(hash(row.tobytes()) in seen for row in np.ascontiguousarray(rows))
        for name, rows in (("valid", valid), ("test", test))
    }
    if not any(shared.values()):
        return []
    text = f"{shared['valid']:,} rows of valid and {shared['test']:,} of test have inputs that stand in train too"
    return [Fact("repeats", shared, text)]
