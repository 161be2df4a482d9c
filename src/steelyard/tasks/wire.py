"""A prepared task as files: arrays as .npy, the rest as JSON. Workers get it without the libraries that read it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import (
    Array,
    ClassOutput,
    Fact,
    InputSpec,
    OutputSpec,
    Rows,
    input_from_json,
    input_to_json,
    output_from_json,
    output_to_json,
)
from steelyard.core.wire import Plain, dumps, write_text
from steelyard.tasks.dataset import PreparedTask

SCHEMA = 1
"""Number of the form of the files."""

_PLAIN_FIELDS = ("name", "kind", "split_how", "data_hash", "metric")


def save(task: PreparedTask, directory: Path, *, with_test: bool) -> None:
    """Write the task into a directory; `task.json` last, so that a directory without it is unfinished.

    Args:
        task: to be written.
        directory: made where it is missing.
        with_test: write the test rows too. Without, a loaded task has none: workers must never see them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    splits = {"train": task.train, "valid": task.valid, **({"test": task.test} if with_test else {})}
    for name, rows in splits.items():
        for part, array in (("x", rows.x), ("y", rows.y), ("groups", rows.groups)):
            if array is not None:
                np.save(directory / f"{part}_{name}.npy", array, allow_pickle=False)
    plain = {
        "schema": SCHEMA,
        **{name: getattr(task, name) for name in _PLAIN_FIELDS},
        "input": input_to_json(task.input),
        "output": output_to_json(task.output),
        "splits": {name: {"grouped": rows.groups is not None} for name, rows in splits.items()},
        "facts": [{"name": fact.name, "value": fact.value, "text": fact.text} for fact in task.facts],
        "defaults": dict(task.defaults),
        "environment": task.environment,
    }
    write_text(directory / "task.json", dumps(plain))


def load(directory: Path) -> PreparedTask:
    """The task that `save` wrote; arrays stay on disk until they are read, and nothing is unpickled.

    Raises:
        DataError: if a file is missing or damaged.
    """
    try:
        plain = json.loads((directory / "task.json").read_text(encoding="utf-8"))
        if plain["schema"] != SCHEMA:
            raise DataError(f"{directory} must hold a task of schema {SCHEMA}, got {plain['schema']!r}; save it anew.")
        spec, output = input_from_json(plain["input"]), output_from_json(plain["output"])
        fields: dict[str, Any] = {name: plain[name] for name in _PLAIN_FIELDS}
        for name in ("train", "valid", "test"):
            fields[name] = _load_rows(directory, name, plain["splits"].get(name), spec, output)
        facts = tuple(Fact(**fact) for fact in plain["facts"])
        fields["environment"] = plain.get("environment", "")
        return PreparedTask(**fields, input=spec, output=output, facts=facts, defaults=plain["defaults"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{directory} must hold a saved task, but it can't be read ({error}); save it anew.") from error


def _load_rows(directory: Path, name: str, said: Plain, spec: InputSpec, output: OutputSpec) -> Rows:
    """One split, or an empty one where none was written."""
    if said is None:
        dtype = np.int64 if isinstance(output, ClassOutput) else np.float32
        return Rows(np.zeros((0, *spec.shape), dtype=np.float32), np.zeros(0, dtype=dtype))
    groups = _load_array(directory / f"groups_{name}.npy") if said["grouped"] else None
    return Rows(_load_array(directory / f"x_{name}.npy"), _load_array(directory / f"y_{name}.npy"), groups)


def _load_array(path: Path) -> Array:
    """An array, read as it is needed. Written to, it changes in memory only (torch asks for arrays that can be)."""
    array: Array = np.load(path, mmap_mode="c", allow_pickle=False)
    return array
