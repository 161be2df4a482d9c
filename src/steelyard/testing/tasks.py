"""The contract of `steelyard.core.protocols.Task`."""

from typing import Any, get_args

import numpy as np

from steelyard.core.protocols import Task
from steelyard.core.sequence import SeriesInput, SoundInput, TextInput
from steelyard.core.task import (
    ClassOutput,
    Fact,
    ImageInput,
    InputSpec,
    OutputSpec,
    PairInput,
    Rows,
    TableInput,
    TaskKind,
    TensorInput,
    TensorOutput,
    ValueOutput,
    input_from_json,
    input_to_json,
    output_from_json,
    output_to_json,
)
from steelyard.testing.contract import attempt, require, require_name, require_plain

_INPUTS: dict[TaskKind, Any] = {
    "image-classification": ImageInput,
    "tabular-classification": TableInput,
    "tabular-regression": TableInput,
    "recommendation": PairInput,
    "series-classification": SeriesInput,
    "text-classification": TextInput,
    "audio-classification": SoundInput,
    "language-modelling": (TensorInput, TextInput),
    "reinforcement-learning": TableInput,
    "clustering": TableInput,
}
_OUTPUTS: dict[TaskKind, Any] = {
    "image-classification": ClassOutput,
    "tabular-classification": ClassOutput,
    "tabular-regression": ValueOutput,
    "recommendation": ValueOutput,
    "series-classification": ClassOutput,
    "text-classification": ClassOutput,
    "audio-classification": ClassOutput,
    "reinforcement-learning": ClassOutput,
    "classification": ClassOutput,
    "regression": ValueOutput,
    "language-modelling": TensorOutput,
    "clustering": ClassOutput,
    "label-free": (ClassOutput, TensorOutput),
}


def check_task(task: Task) -> None:
    """Check that a task says what it is, and that its rows are what it says.

    Raises:
        ContractError: one sentence on the first thing that does not hold.
    """
    require_name(task.name, "the task")
    require(task.kind in get_args(TaskKind), f"'kind' must be one of {get_args(TaskKind)}, got {task.kind!r}.")
    require(
        isinstance(task.output, _OUTPUTS[task.kind]),
        f"'output' must fit the kind {task.kind}, got {type(task.output).__name__}.",
    )
    require(
        isinstance(task.input, _INPUTS.get(task.kind, TensorInput)),
        f"'input' must fit the kind {task.kind}, got {type(task.input).__name__}.",
    )
    _check_specifications(task)
    for name, rows in _splits(task):
        _check_inputs(name, rows, task.input)
        _check_targets(name, rows, task.kind, task.output)
    _check_groups(task)
    _check_words(task)


def _splits(task: Task) -> tuple[tuple[str, Rows], ...]:
    return (("train", task.train), ("valid", task.valid), ("test", task.test))


def _check_specifications(task: Task) -> None:
    plain_input, plain_output = input_to_json(task.input), output_to_json(task.output)
    require_plain(plain_input, "the plain form of 'input'")
    require_plain(plain_output, "the plain form of 'output'")
    require(input_from_json(plain_input) == task.input, "'input' must come back from its plain form unchanged.")
    require(output_from_json(plain_output) == task.output, "'output' must come back from its plain form unchanged.")
    if isinstance(task.input, ImageInput):
        stds = list(task.input.std)
        require(
            len(task.input.mean) == len(stds) == task.input.channels,
            f"'mean' and 'std' must hold one value a channel, got {len(task.input.mean)} and {len(stds)}.",
        )
    elif isinstance(task.input, SeriesInput | SoundInput):
        stds, wanted = list(task.input.std), getattr(task.input, "channels", getattr(task.input, "mels", 0))
        require(
            len(task.input.mean) == len(stds) == wanted,
            f"'mean' and 'std' must hold {wanted} values each, got {len(task.input.mean)} and {len(stds)}.",
        )
    elif isinstance(task.input, TextInput):
        stds = []
        require(bool(task.input.tokens), "'tokens' must name at least one kind, got none.")
    elif isinstance(task.input, TensorInput):
        stds = []
        require(bool(task.input.ports), "'ports' must name at least one input, got none.")
    else:
        stds = [column.std for column in task.input.columns if column.kind == "number"]
    if isinstance(task.output, ValueOutput):
        stds.append(task.output.std)
    elif isinstance(task.output, ClassOutput):
        labels = task.output.labels
        require(
            len(labels) > 1 and len(set(labels)) == len(labels),
            f"'labels' must name two or more classes, each once, got {labels!r}.",
        )
    require(all(std > 0 for std in stds), f"every 'std' must be positive, got {stds!r}.")


def _check_inputs(name: str, rows: Rows, spec: InputSpec) -> None:
    require(len(rows) > 0, f"'{name}' must hold at least one row, got none.")
    require(
        rows.x.shape == (len(rows.y), *spec.shape),
        f"'{name}' must hold inputs of shape {(len(rows.y), *spec.shape)}, got {rows.x.shape}.",
    )
    if isinstance(spec, TensorInput):
        named = rows.x.dtype.names or ()
        require(
            named == tuple(port.name for port in spec.ports),
            f"inputs of '{name}' must be the fields {[port.name for port in spec.ports]}, got {list(named)}.",
        )
        return
    if isinstance(spec, TextInput):
        for tokens in spec.tokens:
            ids = rows.x[:, spec.place(tokens.kind)]
            are_ids = rows.x.dtype.kind in "ui" and int(ids.min()) >= 0 and int(ids.max()) < tokens.size
            require(are_ids, f"ids of {tokens.kind} of '{name}' must be whole numbers from 0 to {tokens.size - 1}.")
        return
    require(rows.x.dtype in (np.float32, np.uint8), f"inputs of '{name}' must be float32 or uint8, got {rows.x.dtype}.")
    require(not np.isinf(rows.x).any(), f"inputs of '{name}' must not be infinite.")
    if isinstance(spec, ImageInput):
        require(not np.isnan(rows.x).any(), f"images of '{name}' must be finite, got NaN.")
        return
    if isinstance(spec, SoundInput):
        require(not np.isnan(rows.x).any(), f"sounds of '{name}' must be finite, got NaN.")
        return
    if isinstance(spec, SeriesInput):
        is_missing = bool(np.isnan(rows.x).all(axis=1).any())
        require(
            name != "train" or is_missing == spec.has_padding, f"'has_padding' must be {is_missing}, as in 'train'."
        )
        return
    for index, column in enumerate(spec.columns):
        values = rows.x[:, index]
        if column.kind == "category":
            fits = np.isin(values, np.arange(len(column.categories) + 1)).all()
            require(fits, f"column {column.name!r} of '{name}' must hold codes 0 to {len(column.categories)}.")
        elif name == "train":
            has_missing = bool(np.isnan(values).any())
            require(
                has_missing == column.has_missing,
                f"'has_missing' of column {column.name!r} must be {has_missing}, as in 'train'.",
            )


def _check_targets(name: str, rows: Rows, kind: TaskKind, output: OutputSpec) -> None:
    if kind in ("label-free", "language-modelling"):
        require(rows.y.ndim >= 2, f"targets of '{name}' must be outputs (n, width), got shape {rows.y.shape}.")
        return
    if kind == "reinforcement-learning" and name != "train":
        seeds = rows.y.reshape(-1)
        fits = rows.y.shape == (len(rows), 1) and rows.y.dtype == np.int64 and len(np.unique(seeds)) == len(seeds)
        require(fits, f"targets of '{name}' must be seeds (n, 1) int64, each once, got {rows.y.shape} {rows.y.dtype}.")
        return
    if kind == "clustering":
        fits = rows.y.ndim == 2 and rows.y.shape[1] > 1 and bool(np.isfinite(rows.y).all())
        require(fits, f"targets of '{name}' must be a cluster and finite features a row, got shape {rows.y.shape}.")
        return
    require(rows.y.ndim == 1, f"targets of '{name}' must have one axis, got shape {rows.y.shape}.")
    if isinstance(output, ClassOutput):
        require(rows.y.dtype == np.int64, f"targets of '{name}' must be int64, got {rows.y.dtype}.")
        lowest, highest = int(rows.y.min()), int(rows.y.max())
        fits = lowest >= 0 and highest < output.width
        require(fits, f"targets of '{name}' must lie in 0 to {output.width - 1}, got {lowest} to {highest}.")
    else:
        require(rows.y.dtype == np.float32, f"targets of '{name}' must be float32, got {rows.y.dtype}.")
        require(np.isfinite(rows.y).all(), f"targets of '{name}' must be finite, got NaN or infinity.")


def _check_groups(task: Task) -> None:
    seen: dict[int, str] = {}
    for name, rows in _splits(task):
        if rows.groups is None:
            continue
        shape = rows.groups.shape
        require(shape == rows.y.shape, f"'groups' of '{name}' must hold one number a row, got shape {shape}.")
        for group in np.unique(rows.groups).tolist():
            first = seen.setdefault(group, name)
            require(first == name, f"group {group} must lie in one split, got '{first}' and '{name}'.")


def _check_words(task: Task) -> None:
    require(bool(task.split_how.strip()), "'split_how' must say where the splits come from, got nothing.")
    require(
        isinstance(task.data_hash, str) and len(task.data_hash) >= 12,
        f"'data_hash' must be a hash of all rows, got {task.data_hash!r}.",
    )
    require(isinstance(task.metric, str) and task.metric, f"'metric' must name a metric, got {task.metric!r}.")
    require_plain(attempt(lambda: dict(task.defaults), "'defaults'"), "'defaults'")
    for fact in task.facts:
        require(isinstance(fact, Fact) and fact.text, f"'facts' must hold facts with a sentence each, got {fact!r}.")
        require_plain(fact.value, f"the value of the fact {fact.name!r}")
