"""The engine's side of shared weights: which families are explored, for how long, and what is known of them then."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from steelyard.core.candidate import FamilySpace
from steelyard.core.errors import WorkerError
from steelyard.core.explored import Explored
from steelyard.core.protocols import Metric
from steelyard.core.trial import Measurement, Trial
from steelyard.core.wire import Plain
from steelyard.engine.messages import Exploration, Made
from steelyard.engine.plan import Plan
from steelyard.engine.workers import LocalWorkers
from steelyard.store.study import Study

FACT = "explored"
"""The fact of the study that holds what exploring found, by family."""
LOOKED = "looked"
"""The fact of the study that holds what looks at forms of explored scales found, by family."""
SHARE = 0.3
"""The part of the search's time that exploring all families may take."""
LEAST_SCALES = 6
"""Fewer scales than this are trained alone sooner than shared weights are."""
REFERENCE_LESSON, LESSON = 1 / 6, 1 / 8
"""Parts of the time that exploring leaves for which the reference and any other may learn; most take less."""
RECOVERIES = 6
"""A given model's structures learn for the time by this, the given model for twice as long; some learn once more."""
LEAST_PAIRS = 4
"""Pairs of estimate and truth below which their agreement is not told."""
LEAST_S = 5.0
"""Less time than this is not worth an exploration."""
WITHOUT = "is cut step by step, without shared weights"
"""What happens to a given model whose structures can't be explored."""
GRACE_S = 60.0
"""Seconds after its limit at which an exploration counts as hung, beside the same time again."""


@dataclass(slots=True)
class Explorations:
    """Families to be explored one after the other, and what is known.

    What a run found is a fact of the study, so a resumed one goes on from it. Where a family can't share weights, or
    need not, its candidates are trained from scratch, and a sentence says so.
    """

    NAME: ClassVar[str] = "models of every scale"

    plan: Plan
    study: Study
    todo: list[FamilySpace]
    known: dict[str, Explored] = field(default_factory=dict)
    is_running: bool = False
    left_s: float = math.inf
    _family: str = ""

    @classmethod
    def of(cls, plan: Plan, study: Study) -> Self | None:
        """The explorations of a plan; None where its models are not to share weights."""
        if plan.sharing == "never" or plan.warm is not None:
            return None
        facts: dict[str, Plain] = study.get(FACT, {})
        known = [
            each for found in (*facts.values(), *looked_of(study)) for each in explored_by(found, plan.goal_metric)
        ]
        # What was cheaper to train alone within an earlier budget is shared all the same where that is asked for.
        settled = {name for name, found in facts.items() if "explored" in found or plan.sharing != "always"}
        least = LEAST_SCALES if plan.given is None else 1
        able = [each for each in plan.space.families if each.is_module and each.size >= least]
        todo = [each for each in able if each.family not in settled]
        if plan.given is not None and structures_refused(plan):
            todo = []
        return cls(plan, study, todo, {each.candidate.key: each for each in known})

    def begin(
        self, workers: LocalWorkers, left_s: float | None, listener: Callable[[str], Callable[[str], None]]
    ) -> "Future[Made] | None":
        """Have the next family explored; None when there is none."""
        if not self.todo:
            return None
        space = self.todo.pop(0)
        self._family, self.is_running = space.family, True
        plan = self.plan
        left_s = plan.trial_limit_s if left_s is None else left_s
        limit_s = SHARE * left_s / (len(self.todo) + 1)
        if limit_s < LEAST_S:
            self.todo, self.is_running = [], False
            return None
        asked = Exploration(
            space,
            plan.space.runtime,
            limit_s,
            left_s,
            most=min(space.size, plan.budget.trials or space.size),
            workers=plan.workers,
            batch=plan.batch,
            threads=plan.threads,
            forced=plan.sharing == "always",
            **({} if plan.given is None else _aimed(plan)),
        )
        return workers.submit(asked, 2 * limit_s + min(GRACE_S, left_s), listener(self.NAME))

    def lesson_s(self, *, is_reference: bool) -> float:
        """Seconds that a candidate may learn for from shared weights."""
        if self.plan.given is not None:
            return self.left_s / RECOVERIES * (2 if is_reference else 1)
        return self.left_s * (REFERENCE_LESSON if is_reference else LESSON)

    def end(self, future: "Future[Made]") -> Iterator[tuple[str, str]]:
        """Take what an exploration found; yields sentences for the user, each a fact or a notice."""
        self.is_running = False
        try:
            made = future.result()
        except WorkerError as error:
            facts = {**self.study.get(FACT, {}), self._family: {"refused": error.message}}
            self.study.put(FACT, facts)
            instead = "is trained from scratch, scale by scale" if self.plan.given is None else WITHOUT
            yield self._sort, f"{self._family} {instead}: {error.message}"
            return
        notes = {**made.notes, "seconds": dict(made.seconds)}
        found = explored_by(notes, self.plan.goal_metric)
        self.known.update({each.candidate.key: each for each in found})
        self.study.put(FACT, {**self.study.get(FACT, {}), self._family: notes})
        trained = notes["trained"]
        what = "scales" if self.plan.given is None else "structures"
        yield (
            "fact",
            f"{self._family}: {len(notes['explored'])} {what} explored by shared weights, "
            f"trained {trained['train_s']:.0f} s",
        )

    def shares(self, family: str) -> bool:
        """Whether candidates of a family start from shared weights."""
        return any(each.candidate.family == family for each in self.known.values())

    def untold(self) -> Iterator[str]:
        """Sentences on families that are not explored although that was asked for."""
        if self.plan.given is not None:
            refused = structures_refused(self.plan)
            if refused and self.plan.sharing == "always":
                yield f"{self.plan.given.name} {WITHOUT}: {refused}"
            return
        for each in self.plan.space.families if self.plan.sharing == "always" else ():
            if not each.is_module:
                yield f"{each.family} learns by itself and shares no weights: each scale is trained from scratch"
            elif each.size < LEAST_SCALES:
                yield f"{each.family} has {each.size} scales, too few to share weights: each is trained from scratch"

    @property
    def _sort(self) -> str:
        """Whoever asked for shared weights must hear that there are none; a default that does not apply is a fact."""
        return "notice" if self.plan.sharing == "always" else "fact"


def _aimed(plan: Plan) -> dict[str, Any]:
    """What structures of a given model are explored around."""
    is_relative = plan.goal.is_relative(metric_in_unit_range=plan.metric.in_unit_range)
    return {"max_drop": plan.goal.max_drop, "relative": is_relative, "minimize": plan.goal.minimize}


def structures_refused(plan: Plan) -> str:
    """Why the structures of a given model are not explored; empty where they are."""
    names = {step.name for steps in plan.space.pipelines for step in steps}
    if plan.given is not None and not plan.given.is_module:
        return "a file without training code has no weights to train."
    if not {"prune", "distill"} <= names:
        return "structures are explored where the steps prune and distill may be used."
    return ""


def explored_by(found: Plain, metric: str) -> list[Explored]:
    """What was found of a family, where it was judged by this metric; nothing else is comparable."""
    if found.get("metric") != metric:
        return []
    return [Explored.from_json(each) for each in found["explored"]]


def looked_of(study: Study) -> list[Plain]:
    """What looks at forms of explored scales found, by family."""
    facts: dict[str, Plain] = study.get(LOOKED, {})
    return list(facts.values())


def explored_keys(study: Study) -> set[str]:
    """Keys of the candidates that shared weights have been judged at: sub-networks, and forms of theirs."""
    facts: dict[str, Plain] = study.get(FACT, {})
    found = (*facts.values(), *looked_of(study))
    return {Explored.from_json(each).candidate.key for one in found for each in one.get("explored", ())}


def seconds_of(study: Study) -> dict[str, float]:
    """Seconds that exploring took, as of training and of the rest of making."""
    facts: dict[str, Plain] = study.get(FACT, {})
    spent = [found.get("seconds", {}) for found in (*facts.values(), *looked_of(study))]
    return {
        "train": sum(each.get("share", 0.0) for each in spent),
        "export": sum(each.get("explore", 0.0) + each.get("look", 0.0) for each in spent),
    }


def told(study: Study, trials: Sequence[Trial], metric: Metric) -> dict[str, Plain]:
    """By family what exploring found, and how its estimates agree with what was confirmed of uncompressed candidates.

    `rank_correlation` is Spearman's, `error` the root mean square of estimate less confirmed quality; both are null
    below `LEAST_PAIRS` pairs. A family that could not share weights has the reason instead, as `refused`. `forms` tells
    the same of compressed forms that were looked at, absent without any.
    """
    facts: dict[str, Plain] = study.get(FACT, {})
    confirmed = {
        trial.key: trial.outcome.metrics[metric.name].value
        for trial in trials
        if isinstance(trial.outcome, Measurement) and metric.name in trial.outcome.metrics
    }
    looked: dict[str, Plain] = study.get(LOOKED, {})
    return {family: _told(found, looked.get(family), confirmed, metric.name) for family, found in facts.items()}


def _told(found: Plain, looked: Plain | None, confirmed: Mapping[str, float], metric: str) -> Plain:
    if "refused" in found:
        return {"refused": found["refused"]}
    told: Plain = {
        "explored": len(found["explored"]),
        "train_s": found["trained"]["train_s"],
        "shared": found["shared"],
        "files": found["files"],
        **_agreement(explored_by(found, metric), confirmed),
    }
    if looked is None:
        return told
    forms = {
        "explored": len(looked["explored"]),
        "look_s": looked["seconds"]["look"],
        "refused": dict(looked["refused"]),
        **_agreement(explored_by(looked, metric), confirmed),
    }
    return {**told, "forms": forms}


def _agreement(found: Sequence[Explored], confirmed: Mapping[str, float]) -> Plain:
    """How estimates of quality agree with what was confirmed."""
    pairs = [(each.quality, confirmed[each.candidate.key]) for each in found if each.candidate.key in confirmed]
    correlation, error = agreement(pairs)
    return {"pairs": len(pairs), "rank_correlation": correlation, "error": error}


def agreement(pairs: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Spearman's rank correlation of pairs of estimate and truth, and the root mean square of their differences.

    Both are None below `LEAST_PAIRS` pairs, the correlation also where either is all alike.
    """
    if len(pairs) < LEAST_PAIRS:
        return None, None
    from scipy.stats import rankdata  # noqa: PLC0415  half a second that no other search needs

    table = np.array(pairs)
    error = float(np.sqrt(np.mean((table[:, 0] - table[:, 1]) ** 2)))
    ranks = np.apply_along_axis(rankdata, 0, table)
    return (float(np.corrcoef(ranks.T)[0, 1]) if (ranks.std(axis=0) > 0).all() else None), error
