"""The user's own data: from a file or folder to a prepared task."""

from pathlib import Path
from typing import get_args

from steelyard.core.errors import DataError, UnknownNameError
from steelyard.core.task import TaskKind
from steelyard.tasks.arrays import source_of_npz
from steelyard.tasks.assemble import prepare
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.source import Source

KINDS: tuple[TaskKind, ...] = get_args(TaskKind)
"""The kinds of task that can be read from files."""

FORMS = ".npz, .csv, .parquet, .jsonl, .jsonl.gz, a folder or a .zip of class folders"
"""What can be read, for messages."""


def from_data(
    path: str | Path,
    kind: str,
    *,
    target: str | None = None,
    group: str | None = None,
    split_by: str | None = None,
    seed: int = 0,
    trust: bool = False,
) -> PreparedTask:
    """A task from the user's own data.

    Args:
        path: a file of any of the `FORMS`, or a folder of class folders.
        kind: of the task.
        target: column (or array) of the targets; by default `label`, else the last column.
        group: column whose equal values must never straddle splits.
        split_by: column with train, valid and test, or with an order (dates, numbers) that splits follow.
        seed: of the splits that are made.
        trust: lift the limits on unpacked size, for data the user made.

    Raises:
        UnknownNameError: for a kind or a column that is not known.
        DataError: one sentence on what the data lack.
    """
    checked = _kind(kind)
    source = _source(_existing(path), target=target, group=group, split_by=split_by, trust=trust)
    return prepare(source, checked, name=kind, seed=seed)


def _kind(kind: str) -> TaskKind:
    """The kind, if it is one."""
    for known in KINDS:
        if kind == known:
            return known
    raise UnknownNameError("task", kind, KINDS, field="task")


def _existing(path: str | Path) -> Path:
    """The path, if something is there.

    Raises:
        DataError: if nothing is, or it is empty.
    """
    found = Path(path)
    if not found.exists():
        raise DataError(
            f"'data' must be a file or folder that exists, got {str(path)!r}; check the path.", field="data"
        )
    if found.is_file() and not found.stat().st_size:
        raise DataError(f"{found} must hold data, got an empty file; was it written to the end?", field="data")
    return found


def _source(path: Path, *, target: str | None, group: str | None, split_by: str | None, trust: bool) -> Source:
    """Raw rows by the form of the file."""
    name = path.name.lower()
    if name.endswith(".npz"):
        return source_of_npz(path, target=target, group=group, split_by=split_by, trust=trust)
    raise DataError(f"'data' must be {FORMS}, got {path.name!r}; convert it to one of them.", field="data")
