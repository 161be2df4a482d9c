"""The study: finished trials and facts about them, in an Optuna storage (SQLite inside the directory by default).

Only finished trials are written, each in one transaction, so a process killed at any moment loses none and repeats
none. optuna-dashboard opens the file.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState
from sqlalchemy import URL

from steelyard.core.errors import StudyError
from steelyard.core.protocols import Metric
from steelyard.core.trial import Failure, Measurement, Stopped, Trial
from steelyard.core.wire import Plain
from steelyard.store.artifacts import Artifacts
from steelyard.store.lock import LOCK_NAME, StudyLock

DB_NAME = "study.db"
STUDY_NAME = "steelyard"
_STATES = {Measurement: TrialState.COMPLETE, Failure: TrialState.FAIL, Stopped: TrialState.PRUNED}
"""How a trial's end is called by Optuna."""
IDENTITY = "identity"
"""The attribute of the storage that holds the identity."""


@dataclass(frozen=True, slots=True)
class Study:
    """An open study. Close it to let go of its lock."""

    directory: Path
    artifacts: Artifacts
    metric: str
    quality_is_higher_better: bool
    raw: Any
    lock: StudyLock

    def trials(self) -> list[Trial]:
        """Every finished trial, in the order they finished."""
        frozen = self.raw.get_trials(deepcopy=False)
        return [Trial.from_json(each.user_attrs["trial"]) for each in frozen if "trial" in each.user_attrs]

    def add(self, trial: Trial) -> None:
        """Write a finished trial; when this returns it is on disk."""
        params, distributions = _params(trial)
        values = self._values(trial)
        self.raw.add_trial(
            optuna.trial.create_trial(
                state=_STATES[type(trial.outcome)],
                values=values,
                params=params,
                distributions=distributions,
                user_attrs={"trial": trial.to_json(), "key": trial.key, "candidate": str(trial.candidate)},
            )
        )

    def get(self, name: str, default: Plain = None) -> Plain:
        """A fact of the study by name."""
        return self.raw.user_attrs.get(name, default)

    def put(self, name: str, value: Plain) -> None:
        """Write a fact of the study; when this returns it is on disk."""
        self.raw.set_user_attr(name, value)

    def close(self) -> None:
        """Let go of the lock."""
        self.lock.release()

    def _values(self, trial: Trial) -> list[float] | None:
        if not isinstance(trial.outcome, Measurement):
            return None
        metrics = trial.outcome.metrics
        quality = metrics[self.metric].value
        return [
            -quality if self.quality_is_higher_better else quality,
            metrics["latency_p50_s"].value,
            metrics["size_bytes"].value,
        ]


def check_directory(directory: Path) -> None:
    """Refuse a directory that can't hold a study, before anything is written.

    Raises:
        StudyError: if it is a file, not writable, or holds something that is not ours.
    """
    if directory.exists() and not directory.is_dir():
        raise StudyError(f"'out' must be a directory, got the file {directory}; name another --out.", field="out")
    if directory.is_dir():
        entries = {entry.name for entry in directory.iterdir()} - {LOCK_NAME}
        if entries and DB_NAME not in entries:
            raise StudyError(
                f"'out' {directory} is not empty and holds no study; name an empty or new directory.", field="out"
            )
        if (directory / DB_NAME).exists():
            _check_database(directory / DB_NAME)


def _check_database(path: Path) -> None:
    """Refuse a file that is damaged, or a database that no Optuna made; an empty file is a new study.

    Raises:
        StudyError: naming the file.
    """
    try:
        # Opened to write, since a process killed within a transaction leaves a journal that must be rolled back.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=0.5)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check").fetchone()[0])
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return  # another process is writing: the lock, taken next, says which
        verdict, tables = str(error), set()
    if verdict != "ok":
        first = verdict.splitlines()[0]
        raise StudyError(
            f"{path} is corrupt ({first}); restore it from a copy, or name another --out to start anew.", field="out"
        )
    if tables and "studies" not in tables:
        raise StudyError(f"{path} holds no study of steelyard; name another --out.", field="out")


def open_study(directory: Path, identity: Plain, metric: Metric, *, storage: str | None = None) -> Study:
    """Open the study in a directory, or start one.

    Args:
        directory: the study's home; made if missing.
        identity: what makes it this study; plain JSON, compared field by field.
        metric: whose value trials are ranked by in the storage.
        storage: an Optuna storage URL; None is SQLite inside the directory.

    Raises:
        StudyError: if the directory is foreign, not writable, corrupt, or holds another study.
        StudyBusyError: if another process works on it.
    """
    check_directory(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = StudyLock(directory)
    except OSError as error:
        raise StudyError(
            f"'out' {directory} can't be written ({error.strerror or error}); name another --out.", field="out"
        ) from error
    try:
        raw = _open_raw(directory, storage)
        _match(raw, identity, directory)
    except BaseException:
        lock.release()
        raise
    return Study(directory, Artifacts(directory / "artifacts"), metric.name, metric.higher_is_better, raw, lock)


def _open_raw(directory: Path, storage: str | None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Written by SQLAlchemy, because a question mark or a percent sign in the path would be read as part of the address.
    home = URL.create("sqlite", database=str((directory / DB_NAME).resolve()))
    url = storage or home.render_as_string(hide_password=False)
    try:
        return optuna.create_study(
            storage=url,
            study_name=STUDY_NAME if storage is None else f"{STUDY_NAME}-{directory.resolve().name}",
            directions=["minimize"] * 3,
            load_if_exists=True,
        )
    except OSError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StudyError(
            f"the study's storage {url} can't be opened ({text}); check --storage, or name another --out.",
            field="storage" if storage else "out",
        ) from error


def _match(raw: optuna.Study, identity: Plain, directory: Path) -> None:
    stored = raw.user_attrs.get(IDENTITY)
    if stored is None:
        raw.set_user_attr(IDENTITY, identity)
        return
    changes = differences(stored, identity)
    if changes:
        raise StudyError(
            f"'out' {directory} holds another study ({'; '.join(changes)}); ask the same again, or name another --out.",
            field="out",
        )


def differences(stored: Mapping[str, Plain], asked: Mapping[str, Plain]) -> list[str]:
    """Sentences on the values in which two identities differ, each with the way to it, sorted by field."""
    changed = []
    for name in sorted(set(stored) | set(asked)):
        was, now = stored.get(name), asked.get(name)
        if was == now:
            continue
        one, other = _named(was), _named(now)
        if one is None or other is None:
            changed.append(f"{name} was {_short(was)}, now {_short(now)}")
        else:
            changed += [f"{name} {each}" for each in differences(one, other)]
    return changed


def _named(value: Plain) -> Mapping[str, Plain] | None:
    """A mapping, or a list of objects by their family or name; None for anything else."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, Mapping) for each in value):
        return None
    return {str(each.get("family", each.get("name", at))): each for at, each in enumerate(value)}


def _short(value: Plain) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _params(trial: Trial) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The numeric knobs as Optuna's parameters, for its dashboard; the whole candidate stands in the attributes."""
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for name, value in trial.candidate.scale.settings:
        if isinstance(value, int | float) and not isinstance(value, bool):
            full = f"{trial.candidate.family}.{name}"
            params[full] = float(value)
            distributions[full] = FloatDistribution(-1e12, 1e12)
    return params, distributions
