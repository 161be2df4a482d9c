"""Outputs of model files on splits, on the runtime that ships, computed when they are first asked for."""

from dataclasses import dataclass, field

from steelyard.core.candidate import loading_of
from steelyard.core.protocols import Runtime
from steelyard.core.task import Array, Rows
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.evaluating import outputs_of
from steelyard.store.artifacts import Artifacts


@dataclass(slots=True)
class Outputs:
    """Outputs by candidate and split; `threads` are those of candidates without their own.

    Where models play in an `environment`, outputs are the returns of episodes.
    """

    artifacts: Artifacts
    runtime: Runtime
    threads: int = 1
    environment: str = ""
    _known: dict[tuple[str, str], Array] = field(default_factory=dict, repr=False)

    def of(self, trial: Trial, split: str, rows: Rows) -> Array:
        """Outputs (n, width) of a confirmed trial's file on the rows of a split."""
        at = (trial.key, split)
        if at not in self._known:
            assert isinstance(trial.outcome, Measurement)  # noqa: S101  callers pass confirmed trials; narrows the type
            path = self.artifacts.path(trial.outcome.artifact, self.runtime.suffix)
            threads, options = loading_of(trial.candidate.options)
            # What this study wrote itself can be trusted.
            session = self.runtime.load(path, threads=threads or self.threads, trust=True, **options)
            self._known[at] = outputs_of(session.run, rows, self.environment)
        return self._known[at]
