"""A study read without touching it: from a copy, so that nothing of the original is locked, mended or written."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna

from steelyard.core.errors import StudyError
from steelyard.core.trial import Trial
from steelyard.core.wire import Plain
from steelyard.store.study import DB_NAME, IDENTITY, STUDY_NAME

_COMPANIONS = ("", "-journal", "-wal")
"""Suffixes of the database and of what a process that was killed within a transaction leaves beside it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a study was when it was read: its home, its identity, its finished trials in their order."""

    directory: Path
    identity: Plain
    trials: tuple[Trial, ...]


def read_study(directory: Path, *, field: str) -> Snapshot:
    """The study in a directory.

    Args:
        directory: the `--out` of an earlier search that kept its study there.
        field: the option that names it, for messages.

    Raises:
        StudyError: if there is none, or it can't be read.
    """
    path = directory / DB_NAME
    if not path.is_file():
        raise StudyError(f"'{field}' {directory} holds no study; name the --out of an earlier search.", field=field)
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        try:
            for suffix in _COMPANIONS:
                source = path.with_name(path.name + suffix)
                if source.is_file():
                    shutil.copyfile(source, Path(folder) / source.name)
            return _read(Path(folder) / DB_NAME, directory, field)
        except (OSError, sqlite3.Error) as error:
            raise _unreadable(path, error, field) from error


def _read(copy: Path, directory: Path, field: str) -> Snapshot:
    # Opening it rolls back what a killed process left half done.
    with closing(sqlite3.connect(copy)) as connection:
        verdict = str(connection.execute("PRAGMA quick_check").fetchone()[0])
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict.splitlines()[0])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        raw = optuna.load_study(study_name=STUDY_NAME, storage=f"sqlite:///{copy}")
        frozen = raw.get_trials(deepcopy=False)
        identity = raw.user_attrs.get(IDENTITY)
    except KeyError:
        identity, frozen = None, []
    except Exception as error:
        raise _unreadable(directory / DB_NAME, error, field) from error
    if identity is None:
        raise StudyError(f"'{field}' {directory} holds no study; name the --out of an earlier search.", field=field)
    return Snapshot(
        directory,
        identity,
        tuple(Trial.from_json(each.user_attrs["trial"]) for each in frozen if "trial" in each.user_attrs),
    )


def _unreadable(path: Path, error: Exception, field: str) -> StudyError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return StudyError(
        f"'{field}' {path} can't be read ({reason}); end the run that works on it, or name another study.", field=field
    )
