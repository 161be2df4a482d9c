"""The error tree. Every error is one sentence: what, where, and what to do.

SteelyardError
├── InputError (ValueError)           the user's input; exit status 2
│   ├── UnknownNameError              a name that no registry holds
│   ├── DataError                     the user's data
│   ├── ConfigError                   a config file
│   ├── StudyError                    a study that is not ours, corrupt, or another one
│   ├── StudyBusyError                another process holds the study
│   └── BundleError                   a bundle that is missing, changed or foreign
├── MissingExtraError (ImportError)   an optional library; exit status 2
├── MeasurementError (RuntimeError)   a model could not be measured
├── RuntimeFailureError (RuntimeError) a runtime refused a model
└── WorkerError (RuntimeError)        a worker died, hung or refused
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SteelyardError(Exception):
    """Root of every error that steelyard raises on purpose."""

    kind = "fault"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        """Keep the message and the name of the field that is at fault, where there is one."""
        super().__init__(message)
        self.message = message
        self.field = field


class InputError(SteelyardError, ValueError):
    """The user's input can't be used as it is."""

    kind = "input"


class UnknownNameError(InputError):
    """A name that is not known; the nearest known name is suggested."""

    kind = "unknown-name"

    def __init__(self, what: str, name: str, known: Iterable[str], *, field: str | None = None) -> None:
        """Build the sentence from the kind of thing, the name given and the names known."""
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}."
        super().__init__(f"{what} {name!r} is not known; {remedy}", field=field)


class DataError(InputError):
    """The user's data can't be used as they are."""

    kind = "data"


class ConfigError(InputError):
    """A config file can't be used as it is."""

    kind = "config"


class StudyError(InputError):
    """A study directory is foreign, corrupt, or holds another study."""

    kind = "study"


class StudyBusyError(StudyError):
    """Another process works on the study."""

    kind = "study-busy"


class BundleError(InputError):
    """A bundle is missing, changed or foreign."""

    kind = "bundle"


class MissingExtraError(SteelyardError, ImportError):
    """An optional library is not installed; the message says the install line."""

    kind = "missing-extra"


class MeasurementError(SteelyardError, RuntimeError):
    """A model could not be measured."""

    kind = "measurement"


class RuntimeFailureError(SteelyardError, RuntimeError):
    """A runtime could not load or run a model."""

    kind = "runtime"


class WorkerError(SteelyardError, RuntimeError):
    """A worker process died, hung past its limit, or reported a failure at `stage`."""

    kind = "worker"

    def __init__(self, message: str, *, stage: str) -> None:
        """Keep the stage of the candidate's life at which it ended."""
        super().__init__(message)
        self.stage = stage
