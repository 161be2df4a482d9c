"""What a search returns: the chosen point, the reference, the front, the proof. The same as the JSON, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.environment import Environment
from steelyard.core.generation import Generation
from steelyard.core.goal import Goal
from steelyard.core.quantity import Quantity, Unit
from steelyard.core.scaling import Scaling
from steelyard.core.task import Fact
from steelyard.core.wire import Plain

Status = Literal["certified", "estimated", "infeasible"]
SCHEMA = 1
"""The schema number of the JSON that `find` prints and of the bundle's manifest."""


@dataclass(frozen=True, slots=True)
class Point:
    """A confirmed candidate as reported.

    `metrics` by the names of the JSON contract. `artifact` is the model file's path relative to the bundle, empty
    for a point that is in no bundle. `reason` says why it was chosen or not. `scores` are columns, never used to
    choose. `notes` is plain JSON: `curve` (training), `diagnosis`, `learning_rate`, `parity`, `raw`.
    """

    candidate: Candidate
    artifact: str
    metrics: Mapping[str, Quantity]
    reason: str
    scores: Mapping[str, float | None] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The candidate's key."""
        return self.candidate.key

    @property
    def family(self) -> str:
        """The candidate's family."""
        return self.candidate.family

    @property
    def scale(self) -> Scale:
        """The candidate's scale."""
        return self.candidate.scale

    @property
    def steps(self) -> tuple[StepSetting, ...]:
        """The candidate's compression steps."""
        return self.candidate.steps

    def to_json(self) -> Plain:
        """The plain form, POINT of the contract."""
        return {
            "key": self.key,
            **self.candidate.to_json(),
            "artifact": self.artifact,
            "metrics": {name: quantity.to_json() for name, quantity in self.metrics.items()},
            "reason": self.reason,
            "scores": dict(self.scores),
            "notes": dict(self.notes),
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls(
            candidate=Candidate.from_json(plain),
            artifact=plain["artifact"],
            metrics={name: Quantity.from_json(quantity) for name, quantity in plain["metrics"].items()},
            reason=plain["reason"],
            scores=plain.get("scores", {}),
            notes=plain.get("notes", {}),
        )


@dataclass(frozen=True, slots=True)
class Drop:
    """The loss of quality of the chosen point against the reference, on the test split, and how it was bounded.

    `value` and `high` are positive where the chosen point is worse, in the metric's unit, or a share of the
    reference where `relative`. `high` is the upper confidence limit at `confidence`. `exact` is whether the
    guarantee holds at every sample size. `samples_needed` is None where no sample size would do.
    """

    metric: str
    value: float | None
    high: float | None
    epsilon: float
    relative: bool
    confidence: float
    method: str
    exact: bool
    n: int
    samples_needed: int | None
    looks: int

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Miss:
    """A limit that the returned point does not meet: what was asked, what it got, in `unit`.

    `is_judged` is False where nobody knows: the machine that the costs are of could not give that figure.
    """

    limit: str
    asked: float
    got: float | None
    unit: Unit
    is_judged: bool = True

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Deciding:
    """A limit without which alone another candidate would have been chosen.

    Attributes:
        limit: `max_latency` and the like, `max_drop`, `min_quality`, or `proof`.
        asked: what was asked, in `unit`; of a proof the confidence.
        excluded: candidates that meet everything else, and are cheaper than the chosen one where that meets all.
        instead: the key of the cheapest of them, and `name` for people.
        times: how many times cheaper than the chosen one it is; None where that can't be said.
    """

    limit: str
    asked: float
    unit: Unit
    excluded: int
    instead: str
    name: str
    times: float | None

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class FailedTrial:
    """A candidate that ended in a failure."""

    key: str
    stage: str
    message: str
    name: str = ""

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class StoppedTrial:
    """A candidate whose training was stopped as hopeless, after `epoch`: its best quality by then, and what it needed.

    `why` is what it could not become any more: "front", better than every candidate that costs no more, or "goal", near
    the goal.
    """

    key: str
    epoch: int
    quality: float
    needed: float
    why: str
    name: str = ""

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Passage:
    """What the gate said of the last steps of a candidate: whether they made it smaller or faster than it was before.

    Attributes:
        key: of the candidate.
        steps: those beyond what it is compared with.
        against: the key of the candidate that has gone through all of its steps but these.
        passed: whether the steps are worth it; a candidate that did not pass is no candidate of the choice.
        smaller: how many times smaller the file got; below 1 it grew.
        faster: how many times faster it got, with its interval; None where a latency is not known.
        why: one sentence.
    """

    key: str
    steps: tuple[StepSetting, ...]
    against: str
    passed: bool
    smaller: float
    faster: Quantity | None
    why: str

    def to_json(self) -> Plain:
        """The plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        faster = None if self.faster is None else self.faster.to_json()
        return {**plain, "steps": [step.to_json() for step in self.steps], "faster": faster}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        faster = None if plain["faster"] is None else Quantity.from_json(plain["faster"])
        steps = tuple(StepSetting.from_json(step) for step in plain["steps"])
        return cls(**{**plain, "steps": steps, "faster": faster})


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer of a study to one goal.

    `points` holds every confirmed point, the reference and the baseline among them; `front` the non-dominated ones,
    with the chosen one. `counts` has explored, trained, measured, failed; `spent` the seconds by kind of work;
    `splits` train, valid, test and how. `notices` are sentences the user should read. `gate` and `explanation` are of
    `compress` alone: what each candidate's steps were worth, and what the chosen one's did, as plain JSON:
    `waterfall`, `flips` and `sensitivity`. `generations` are of a search by evolution alone.
    `scaling` says for each family with enough points how its knobs should grow. `reachable` is of `find` alone: by
    metric what its members cost from the cheapest to the dearest, `low`, `high` and `unit`; either end is None where it
    is not known. `exploring` says by family what shared weights were worth, where they were asked for. `decided`
    are the limits that the choice hung on; `scenario` is the name of the one that asked for them, empty where none did.
    `stopped` are the candidates whose training was stopped early; `counts` has their number where there are any.
    """

    study: str
    task: str
    status: Status
    goal: Goal
    chosen: Point
    reference: Point
    front: tuple[Point, ...]
    points: tuple[Point, ...]
    misses: tuple[Miss, ...]
    drop: Drop
    counts: Mapping[str, int]
    failures: tuple[FailedTrial, ...]
    splits: Mapping[str, int | str]
    spent: Mapping[str, float]
    wall_s: float
    bundle: Path
    environment: Environment
    facts: tuple[Fact, ...] = ()
    notices: tuple[str, ...] = ()
    gate: tuple[Passage, ...] = ()
    explanation: Mapping[str, Any] = field(default_factory=dict)
    generations: tuple[Generation, ...] = ()
    scaling: tuple[Scaling, ...] = ()
    reachable: Mapping[str, Any] = field(default_factory=dict)
    exploring: Mapping[str, Any] = field(default_factory=dict)
    stopped: tuple[StoppedTrial, ...] = ()
    decided: tuple[Deciding, ...] = ()
    scenario: str = ""

    def to_json(self) -> Plain:
        """The JSON of `find` and `compress`: schema 1. What only some of them tell is absent where there is none."""
        told: Plain = {
            "schema": SCHEMA,
            "study": self.study,
            "task": self.task,
            "status": self.status,
            "goal": {**self.goal.to_json(), "metric": self.drop.metric, "relative": self.drop.relative},
            "chosen": self.chosen.to_json(),
            "reference": self.reference.to_json(),
            "front": [point.to_json() for point in self.front],
            "points": [point.to_json() for point in self.points],
            "misses": [miss.to_json() for miss in self.misses],
            "drop": self.drop.to_json(),
            "trials": dict(self.counts),
            "failures": [failure.to_json() for failure in self.failures],
            "splits": dict(self.splits),
            "spent": dict(self.spent),
            "wall_s": self.wall_s,
            "bundle": str(self.bundle),
            "environment": self.environment.to_json(),
            "facts": [{"name": fact.name, "value": fact.value, "text": fact.text} for fact in self.facts],
            "notices": list(self.notices),
        }
        if self.scaling:
            told["scaling"] = [each.to_json() for each in self.scaling]
        if self.gate:
            told["gate"] = [passage.to_json() for passage in self.gate]
        if self.generations:
            told["generations"] = [each.to_json() for each in self.generations]
        if self.stopped:
            told["stopped"] = [each.to_json() for each in self.stopped]
        if self.exploring:
            told["exploring"] = dict(self.exploring)
        if self.decided:
            told["decided"] = [each.to_json() for each in self.decided]
        if self.scenario:
            told["scenario"] = self.scenario
        if self.reachable:
            told["reachable"] = dict(self.reachable)
        return {**told, "explanation": dict(self.explanation)} if self.explanation else told

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls(
            study=plain["study"],
            task=plain["task"],
            status=plain["status"],
            goal=Goal(**plain["goal"]),
            chosen=Point.from_json(plain["chosen"]),
            reference=Point.from_json(plain["reference"]),
            front=tuple(Point.from_json(point) for point in plain["front"]),
            points=tuple(Point.from_json(point) for point in plain["points"]),
            misses=tuple(Miss(**miss) for miss in plain["misses"]),
            drop=Drop(**plain["drop"]),
            counts=plain["trials"],
            failures=tuple(FailedTrial(**failure) for failure in plain["failures"]),
            splits=plain["splits"],
            spent=plain["spent"],
            wall_s=plain["wall_s"],
            bundle=Path(plain["bundle"]),
            environment=Environment.from_json(plain["environment"]),
            facts=tuple(Fact(**fact) for fact in plain["facts"]),
            notices=tuple(plain["notices"]),
            gate=tuple(Passage.from_json(passage) for passage in plain.get("gate", ())),
            explanation=plain.get("explanation", {}),
            generations=tuple(Generation.from_json(each) for each in plain.get("generations", ())),
            scaling=tuple(Scaling.from_json(each) for each in plain.get("scaling", ())),
            reachable=plain.get("reachable", {}),
            exploring=plain.get("exploring", {}),
            stopped=tuple(StoppedTrial(**each) for each in plain.get("stopped", ())),
            decided=tuple(Deciding(**each) for each in plain.get("decided", ())),
            scenario=plain.get("scenario", ""),
        )
