"""What the engine and its workers say to each other: one JSON object a line, never a pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from steelyard.core.candidate import Candidate, FamilySpace, Knob
from steelyard.core.wire import Plain

WEIGHTS = "weights.safetensors"
"""A trained model's weights, in the folder of its files."""
EARLIER_WEIGHTS, EARLIER_NOTES = "earlier.safetensors", "earlier.json"
"""Weights of an earlier study for a model that is not made here yet, and what was noted of their training."""
HOPELESS = "hopeless"
"""The note of a candidate whose training was stopped: after which epoch, with which quality, and its curve."""
SEED_FOLDER = "seed"
"""Beginning of the folders, among the trained models, of those with other seeds than the study's."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What a worker is told once, at its start.

    `task` is the folder of the prepared task without test rows; `fits` where trained models are kept; `registry` the
    address of the registry; `plugins` addresses of functions that extend it; `model` and `metric` addresses of the
    user's own, or None; `given` the plain form of the model to be compressed, or None; `cpus` the processors it may
    use.
    """

    task: str
    fits: str
    registry: str
    recipe: Plain
    seed: int
    metrics: tuple[str, ...]
    monitor: str
    goal_metric: str
    plugins: tuple[str, ...] = ()
    model: str | None = None
    given: Plain | None = None
    cpus: tuple[int, ...] = ()
    shares: bool = False

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        lists = ("metrics", "plugins", "cpus")
        fields: dict[str, Any] = {name: tuple(value) if name in lists else value for name, value in plain.items()}
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One candidate to make: train where needed, export, compress, check, evaluate.

    `untrained` asks for its file with fresh weights alone: what it costs, nobody knows yet what it can. `seed` asks for
    another start than the study's; its files stand apart. `needed` is by epoch the least quality, the best so far, with
    which a training from scratch goes on.
    """

    candidate: Candidate
    limit_s: float
    untrained: bool = False
    seed: int | None = None
    needed: tuple[tuple[int, float], ...] = ()

    def to_json(self) -> Plain:
        """The plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "candidate": self.candidate.to_json()}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        needed = tuple((epoch, quality) for epoch, quality in plain["needed"])
        return cls(**{**plain, "candidate": Candidate.from_json(plain["candidate"]), "needed": needed})


@dataclass(frozen=True, slots=True)
class Exploration:
    """One family whose models are to share weights: train them within `limit_s`, then judge its scales.

    `left_s` are the seconds that the search has: where `most` scales can be trained alone in half of them by `workers`
    processes, sharing is refused, unless it is `forced`. A quick look at latencies is taken with `batch` rows and
    `threads`. Structures of a given model are explored around the permitted drop, by the cost that is minimised.
    """

    space: FamilySpace
    runtime: str
    limit_s: float
    left_s: float
    most: int
    workers: int = 1
    batch: int = 1
    threads: int = 1
    forced: bool = False
    max_drop: float = 0.0
    relative: bool = False
    minimize: str = "latency"

    def to_json(self) -> Plain:
        """The plain form, told apart from an assignment's by its field `explore`."""
        knobs = [knob.to_json() for knob in self.space.knobs]
        rest = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "space"}
        return {"explore": {"family": self.space.family, "knobs": knobs}, **rest}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        rest = dict(plain)
        space = rest.pop("explore")
        knobs = tuple(Knob(each["name"], tuple(each["choices"])) for each in space["knobs"])
        return cls(FamilySpace(space["family"], knobs), **rest)


@dataclass(frozen=True, slots=True)
class FormLooks:
    """Forms of explored scales to be looked at within `limit_s`, without training; candidates of one family.

    Each look is taken with `batch` rows and `threads`, where the candidate's options name no others.
    """

    space: FamilySpace
    candidates: tuple[Candidate, ...]
    limit_s: float
    batch: int = 1
    threads: int = 1

    def to_json(self) -> Plain:
        """The plain form, told apart from others by its field `look`."""
        knobs = [knob.to_json() for knob in self.space.knobs]
        return {
            "look": [each.to_json() for each in self.candidates],
            "family": self.space.family,
            "knobs": knobs,
            "limit_s": self.limit_s,
            "batch": self.batch,
            "threads": self.threads,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        knobs = tuple(Knob(each["name"], tuple(each["choices"])) for each in plain["knobs"])
        candidates = tuple(Candidate.from_json(each) for each in plain["look"])
        space = FamilySpace(plain["family"], knobs)
        return cls(space, candidates, plain["limit_s"], plain["batch"], plain["threads"])


@dataclass(frozen=True, slots=True)
class Made:
    """A candidate that a worker made: its file, its figures in plain form, seconds by stage, and notes.

    One whose training was stopped as hopeless has no file and no figures; `HOPELESS` among its notes says when it was.
    """

    path: str
    metrics: Mapping[str, Plain]
    seconds: Mapping[str, float]
    trained: bool
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls(**plain)
