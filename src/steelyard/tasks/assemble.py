"""From raw rows to a prepared task: drop what has no target, split, fit on train, encode, describe."""

from collections.abc import Mapping

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, Fact, InputSpec, OutputSpec, Rows, TaskKind
from steelyard.core.wire import Plain
from steelyard.tasks.clustering import prepare_clustering
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.facts import describe
from steelyard.tasks.images import fit_images, image_array, layout_of
from steelyard.tasks.metrics import DEFAULT_METRICS
from steelyard.tasks.preprocess import encode
from steelyard.tasks.ratings import prepare_ratings
from steelyard.tasks.sequences import SEQUENCE_KINDS, fit_sequences
from steelyard.tasks.source import Source
from steelyard.tasks.splits import DEFAULT_SHARES, Partition, partition
from steelyard.tasks.table import fit_table
from steelyard.tasks.targets import bins, class_output, is_missing, label_codes, value_output, values

_FAMILIES: dict[TaskKind, list[str]] = {
    "image-classification": ["cnn"],
    "tabular-classification": ["mlp", "trees"],
    "tabular-regression": ["mlp", "trees"],
    "series-classification": ["cnn1d"],
    "text-classification": ["linear", "cnn1d"],
    "audio-classification": ["cnn1d"],
}


def prepare(
    source: Source,
    kind: TaskKind,
    *,
    name: str,
    seed: int,
    shares: tuple[float, float, float] = DEFAULT_SHARES,
    defaults: Mapping[str, Plain] | None = None,
) -> PreparedTask:
    """A task from raw rows.

    Args:
        source: raw rows of all splits.
        kind: of the task.
        name: of the task.
        seed: of the splits that are made.
        shares: of train, valid and test, where all three are made.
        defaults: of the search; by default the family that suits the kind.

    Raises:
        DataError: one sentence on what the data lack.
    """
    if kind == "clustering":
        return prepare_clustering(source, name=name, seed=seed, shares=shares, defaults=defaults)
    source = _with_targets(source)
    if kind == "recommendation":
        return prepare_ratings(source, name=name, seed=seed, shares=shares, defaults=defaults)
    labels: tuple[str | int, ...] = ()
    if kind == "tabular-regression":
        y = values(source.y, target=source.target, origin=source.origin)
        strata = bins(y)
    else:
        labels, y = label_codes(source.y, target=source.target, origin=source.origin)
        strata = y
    parts = partition(
        strata,
        origin=source.origin,
        seed=seed,
        given=source.split,
        groups=source.groups,
        order=source.order,
        shares=shares,
    )
    output: OutputSpec
    output = class_output(labels, y, parts, origin=source.origin) if labels else value_output(y, parts)
    y = y if labels else y.astype(np.float32)
    spec, x, notes = _inputs(source, kind, parts)
    splits = [_rows(x, y, source.groups, index) for index in (parts.train, parts.valid, parts.test)]
    return PreparedTask(
        name=name,
        kind=kind,
        input=spec,
        output=output,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        split_how=parts.how,
        data_hash=hash_rows(spec, output, *splits),
        facts=describe(kind, spec, output, splits, (*source.notes, *notes)),
        metric=DEFAULT_METRICS[kind],
        defaults={"families": _FAMILIES[kind]} if defaults is None else defaults,
    )


def _with_targets(source: Source) -> Source:
    """The rows that have a target; how many had none is noted.

    Raises:
        DataError: if no row has one.
    """
    if source.y.ndim == 2 and source.y.shape[1] == 1:
        raise DataError(f"target {source.target!r} of {source.origin} must be flat, got {source.y.shape}.")
    missing = is_missing(source.y)
    count = int(np.count_nonzero(missing))
    if count == len(source.y):
        raise DataError(
            f"target {source.target!r} of {source.origin} must hold values, got none in {count:,} rows; "
            "name another column with --target.",
            field="target",
        )
    if not count:
        return source
    note = Fact("no target", count, f"{count:,} rows without a target were left out")
    return source.kept(np.flatnonzero(~missing), note)


def _inputs(source: Source, kind: TaskKind, parts: Partition) -> tuple[InputSpec, Array, tuple[Fact, ...]]:
    """The input's specification, all rows encoded, and notes."""
    if kind in SEQUENCE_KINDS:
        return fit_sequences(source, kind, parts.train)
    if isinstance(source.x, Mapping):
        if kind == "image-classification":
            raise DataError(f"{source.origin} must hold images for {kind}, got a table.", field="data")
        table, notes = fit_table(source.x, parts.train, origin=source.origin)
        return table, encode(table, {column.name: source.x[column.name] for column in table.columns}), notes
    if kind != "image-classification":
        raise DataError(f"{source.origin} must hold a table for {kind}, got images.", field="data")
    images = image_array(source.x, origin=source.origin)
    layout = layout_of(images.shape[1:], origin=source.origin)
    return fit_images(_take(images, parts.train), layout), images, ()


def _rows(x: Array, y: Array, groups: Array | None, index: Array) -> Rows:
    """One split."""
    return Rows(_take(x, index), _take(y, index), None if groups is None else _take(groups, index))


def _take(array: Array, index: Array) -> Array:
    """The rows of that index, without a copy where they stand together and may be written to."""
    first = int(index[0]) if len(index) else 0
    if array.flags.writeable and np.array_equal(index, np.arange(first, first + len(index))):
        return array[first : first + len(index)]
    return array[index]
