"""A plan: everything about a study resolved and checked, before anything is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steelyard.core.candidate import Candidate, Scale, Space, StepSetting
from steelyard.core.goal import Budget, Goal
from steelyard.core.measured import Measured
from steelyard.core.protocols import Metric, Strategy, Task
from steelyard.core.wire import Plain
from steelyard.engine.given import GivenModel

Sharing = Literal["never", "where it pays", "always"]
"""Whether the models of a family are explored by shared weights: where it pays is where training is costly."""


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What an earlier study of the same data has to offer.

    Attributes:
        directory: the earlier study's home.
        proposals: its front as candidates of the present space, in the order of the goal.
        models: what it trained that can be taken over: the key here, its folder there, the hash of its weights.
        changes: why nothing trained is taken over, where that is so: how its trainings differ from those of now.
    """

    directory: Path
    proposals: tuple[Candidate, ...]
    models: tuple[tuple[str, Path, str], ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study is (its identity) and what is asked of it this time (goal, budget, strategy, workers).

    `metrics` are computed for every point; `monitor` is the one that training watches; `goal_metric` the one the goal
    is about. `model` is the address of the user's own model function, or None. `registry` and `plugins` are addresses
    that worker processes resolve. `files` are the hashes of the user's own code files. `measured` are costs from
    another machine, which the choice is made by instead of this one's. `given` is the model to be compressed, where
    there is one. `sharing` says whether models of a family share weights before they are confirmed.
    `scale` is "compound" where the space is restricted to a ladder. `warm` is what an earlier
    study has to offer. `seeds` is with how many seeds the finalists are trained. `scenario` names where
    the goal is from. `halving` says whether hopeless trainings are stopped early. `added` are pipelines of the space
    that are only tried where estimates speak for them; they are no part of the identity.
    """

    task: Task
    space: Space
    goal: Goal
    budget: Budget
    strategy: Strategy
    recipe: Plain
    metrics: Mapping[str, Metric]
    metric_addresses: tuple[str, ...]
    monitor: str
    goal_metric: str
    out: Path
    seed: int = 0
    workers: int = 1
    batch: int = 1
    threads: int = 1
    storage: str | None = None
    registry: str = "steelyard.builtin:registry"
    plugins: tuple[str, ...] = ()
    model: str | None = None
    trial_limit_s: float = 600.0
    files: Mapping[str, str] = field(default_factory=dict)
    measured: Measured | None = None
    given: GivenModel | None = None
    sharing: Sharing = "never"
    scale: str = "free"
    warm: WarmStart | None = None
    seeds: int = 1
    added: tuple[tuple[StepSetting, ...], ...] = ()
    halving: bool = False
    scenario: str = ""

    @property
    def firsts(self) -> tuple[Candidate, ...]:
        """What is made first, whatever the strategy: the references, and where models are trained the baseline."""
        if self.given is not None:
            return self.space.references()
        return (*self.space.references(), Candidate("baseline", Scale(), (), self.space.runtime))

    @property
    def size(self) -> int:
        """How many candidates there are, without those of added pipelines."""
        return self.space.size - len(self.added) * self.space.scales * len(self.space.options)

    @property
    def earlier(self) -> tuple[Candidate, ...]:
        """What is made after those and before anything else: the front of an earlier study."""
        return () if self.warm is None else self.warm.proposals

    @property
    def metric(self) -> Metric:
        """The metric of the goal."""
        return self.metrics[self.goal_metric]

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split."""
        return {"train": len(self.task.train), "valid": len(self.task.valid), "test": len(self.task.test)}

    @property
    def identity(self) -> Plain:
        """What makes it this study: a change in any of these is another study."""
        # Studies from before there was a choice have no such field.
        restricted = {} if self.scale == "free" else {"scale": self.scale}
        return {
            "task": self.task.name,
            "data": self.task.data_hash,
            "splits": {
                "how": self.task.split_how,
                **{n: len(getattr(self.task, n)) for n in ("train", "valid", "test")},
            },
            "model": [each["family"] for each in self.space.to_json()["families"]],
            "space": self.space.to_json()["families"],
            "steps": [[step.to_json() for step in each] for each in self.space.pipelines if each not in self.added],
            "runtime": {"name": self.space.runtime, "batch": self.batch, "threads": self.threads},
            "seed": self.seed,
            "training": {**self.recipe, "monitor": self.monitor},
            "metrics": sorted(self.metric_addresses),
            "files": dict(self.files),
            **restricted,
        }
