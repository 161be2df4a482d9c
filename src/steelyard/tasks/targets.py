"""Targets: labels in the user's own form to class indices, or texts and numbers to values."""

import math

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, ClassOutput, ValueOutput
from steelyard.tasks.preprocess import as_array, numbers
from steelyard.tasks.splits import Partition

MOST_CLASSES = 1000
"""More distinct numbers than this are taken for a quantity, unless each occurs often."""

_BINS = 10
"""Bins of equal count that splits of a regression are balanced by."""


def is_missing(y: Array) -> Array:
    """Which targets are missing: None, NaN, or an empty text."""
    if y.dtype.kind == "f":
        return np.isnan(y)
    if y.dtype.kind in "OU":
        return np.array([each is None or each == "" or _is_nan(each) for each in y.tolist()], dtype=bool)
    return np.zeros(len(y), dtype=bool)


def _is_nan(value: object) -> bool:
    """Whether the value is a NaN."""
    return isinstance(value, float) and math.isnan(value)


def label_codes(y: Array, *, target: str, origin: str) -> tuple[tuple[str | int, ...], Array]:
    """Labels, sorted, and the index of each row's label.

    Whole numbers stay numbers, truth values become "false" and "true", everything else is text.

    Args:
        y: raw labels (n,), none missing.
        target: their column, for messages.
        origin: the file's name, for messages.

    Raises:
        DataError: if there is one class only, or so many that the target must be a quantity.
    """
    plain = _plain_labels(y)
    found, codes = np.unique(plain, return_inverse=True)
    if len(found) < 2:
        raise DataError(
            f"target {target!r} of {origin} must have at least two classes, got only {found.tolist()[0]!r}; "
            "name another column with --target.",
            field="target",
        )
    is_fraction = y.dtype.kind == "f" and plain.dtype.kind == "U"
    most = MOST_CLASSES if not is_fraction else _BINS * 10
    if y.dtype.kind in "iuf" and len(found) > min(most, max(len(y) / 2, 2)):
        raise DataError(
            f"target {target!r} of {origin} must be a class to be classified, got {len(found):,} distinct numbers; "
            "is a regression (tabular-regression) meant?",
            field="target",
        )
    if len(found) > len(y) / 2 and len(found) > _BINS:
        raise DataError(
            f"target {target!r} of {origin} must repeat its classes to be learned, got {len(found):,} of them in "
            f"{len(y):,} rows; name another column with --target.",
            field="target",
        )
    return tuple(found.tolist()), codes.reshape(-1).astype(np.int64)


def _plain_labels(y: Array) -> Array:
    """Labels as an array of int64 or of text."""
    if y.dtype.kind == "b":
        return np.where(y, "true", "false")
    if y.dtype.kind in "iu":
        return y.astype(np.int64) if y.dtype != np.uint64 or y.max() < 2**63 else y.astype(str)
    if y.dtype.kind == "f":
        # Frames with a gap hold whole numbers as floats.
        whole = np.abs(y).max() < 2**53 and np.all(y == np.floor(y))
        return y.astype(np.int64) if whole else y.astype(str)
    if y.dtype.kind == "S":
        return np.array([each.decode("utf-8", "replace") for each in y.tolist()])
    values = y.tolist()
    if all(type(value) is int and abs(value) < 2**63 for value in values):
        return np.array(values, dtype=np.int64)
    return np.array([str(value).lower() if isinstance(value, bool) else str(value) for value in values])


def class_output(labels: tuple[str | int, ...], codes: Array, parts: Partition, *, origin: str) -> ClassOutput:
    """The output of a classification.

    Raises:
        DataError: if a class stands in valid or test but not in train.
    """
    trained = np.bincount(codes[parts.train], minlength=len(labels))
    for name, rows in (("valid", parts.valid), ("test", parts.test)):
        for code in np.unique(codes[rows]):
            if not trained[code]:
                count = int(np.count_nonzero(codes == code))
                raise DataError(
                    f"class {labels[code]!r} of {origin} must have rows to train on, but its {count} "
                    f"{'row stands' if count == 1 else 'rows stand'} elsewhere (in {name}); "
                    "add rows of it to train or drop the class.",
                    field="target",
                )
    if np.count_nonzero(trained) < 2:
        raise DataError(
            f"train of {origin} must hold at least two classes, got one; mend the splits.",
            field="target",
        )
    return ClassOutput(labels)


def values(y: Array, *, target: str, origin: str) -> Array:
    """Regression targets as float64 (n,).

    Args:
        y: raw values (n,), none missing.
        target: their column, for messages.
        origin: the file's name, for messages.

    Raises:
        DataError: if one is no number, infinite, or beyond float32.
    """
    found = numbers(y if y.dtype.kind != "O" else as_array(y.tolist()), name=target)
    wrong = np.flatnonzero(np.isnan(found))
    if len(wrong):
        raise DataError(
            f"target {target!r} of {origin} must hold numbers for a regression, got {y[wrong[0]]!s:.40} in row "
            f"{wrong[0] + 1}; is a classification meant?",
            field="target",
        )
    return found


def value_output(y: Array, parts: Partition) -> ValueOutput:
    """The output of a regression: mean and standard deviation of the training targets (1 where they are all equal)."""
    train = y[parts.train]
    return ValueOutput(mean=float(train.mean()), std=float(train.std()) or 1.0)


def bins(y: Array) -> Array:
    """Ten bins of equal count, (n,): what the splits of a regression are balanced by."""
    ranks = np.empty(len(y), dtype=np.int64)
    ranks[np.argsort(y, kind="stable")] = np.arange(len(y))
    return ranks * _BINS // max(len(y), 1)
