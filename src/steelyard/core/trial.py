"""What a trial ends in: a measurement, a failure, or a training that was stopped as hopeless."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from steelyard.core.candidate import Candidate
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain

STAGES = ("propose", "train", "export", "compress", "parity", "evaluate", "measure")
"""The stages of a candidate's life at which it can fail."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A candidate that ended without a measurement: at which stage, and one sentence why."""

    stage: str
    message: str

    def to_json(self) -> Plain:
        """The plain form."""
        return {"stage": self.stage, "message": self.message}


@dataclass(frozen=True, slots=True)
class Stopped:
    """A candidate whose training was stopped as hopeless: it has no model, and no quality to be compared by.

    Attributes:
        epoch: after which it was stopped.
        metric: the quality that was watched.
        quality: the best it had reached by then.
        needed: the least that it would have needed by then.
        reach: the quality that it could have come to at best, as far as the finished trainings tell.
        why: what it could no longer become, "front" or "goal": better than every cheaper candidate, or near the goal.
        curve: what it did, by epoch.
    """

    epoch: int
    metric: str
    quality: float
    needed: float
    reach: float
    why: str
    curve: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Measurement:
    """A confirmed candidate: its figures by name, its artifact, and notes on how it came to be.

    `metrics` holds the validation quality, quality on train where trained, and every cost (names of the JSON
    contract). `artifact` is the SHA-256 of the model file. `notes` is plain JSON: training curve, parity, diagnosis.
    """

    metrics: Mapping[str, Quantity]
    artifact: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "metrics": {name: quantity.to_json() for name, quantity in self.metrics.items()},
            "artifact": self.artifact,
            "notes": dict(self.notes),
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        metrics = {name: Quantity.from_json(quantity) for name, quantity in plain["metrics"].items()}
        return cls(metrics=metrics, artifact=plain["artifact"], notes=plain["notes"])


_ENDS: Mapping[str, type] = {"measurement": Measurement, "failure": Failure, "stopped": Stopped}
"""What a trial can end in, by the name in its plain form."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished candidate: its number in the study, what came of it, and the seconds it took by stage."""

    number: int
    candidate: Candidate
    outcome: Measurement | Failure | Stopped
    seconds: Mapping[str, float] = field(default_factory=dict)
    trained: bool = False

    @property
    def key(self) -> str:
        """The candidate's key."""
        return self.candidate.key

    def to_json(self) -> Plain:
        """The plain form."""
        end = next(name for name, kind in _ENDS.items() if isinstance(self.outcome, kind))
        return {
            "number": self.number,
            "candidate": self.candidate.to_json(),
            end: self.outcome.to_json(),
            "seconds": dict(self.seconds),
            "trained": self.trained,
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        outcome: Measurement | Failure | Stopped
        if "measurement" in plain:
            outcome = Measurement.from_json(plain["measurement"])
        else:
            outcome = Stopped(**plain["stopped"]) if "stopped" in plain else Failure(**plain["failure"])
        return cls(
            number=plain["number"],
            candidate=Candidate.from_json(plain["candidate"]),
            outcome=outcome,
            seconds=plain["seconds"],
            trained=plain["trained"],
        )
