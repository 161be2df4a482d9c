"""The engine's side of looks at forms: which forms of explored scales a worker looks at before one is confirmed."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import ClassVar

from steelyard.core.candidate import Candidate, Space
from steelyard.core.errors import WorkerError
from steelyard.core.explored import Explored
from steelyard.core.trial import Failure, Trial
from steelyard.core.wire import Plain
from steelyard.engine.exploring import LOOKED, Explorations, explored_by
from steelyard.engine.forms import INT8, Steps
from steelyard.engine.messages import FormLooks, Made
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem
from steelyard.engine.workers import LocalWorkers
from steelyard.select.quality import drop
from steelyard.store.study import Study

SHARE = 0.1
"""The part of the time left after exploring that all looks at forms may take."""
UNTIMED_S = 60.0
"""The same where no time is set."""
AHEAD, FIRST_AHEAD = 3, 8
"""Scales that a round looks at: those of the next proposals, as far as they can be told; the first round of more."""
ROUND_SHARE = 0.34
"""The part of the time for looks that one round may take."""
LOSES = 0.25
"""The part of the permitted drop that int8 alone may lose before mixed precision is looked at."""
LEAST_REFUSALS = 3
"""Scales that must refuse a pipeline, none taking it, before it leaves the space."""
GRACE_S = 60.0
"""Seconds after its limit at which a round counts as hung, beside the same time again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a search stands when a candidate is proposed; `left_s` is None where no time is set."""

    finished: Sequence[Trial]
    pending: Sequence[Candidate]
    problem: StudyProblem
    left_s: float | None


@dataclass(slots=True)
class LookRounds:
    """Looks at forms, before what is proposed is confirmed.

    A proposal of a scale whose forms nobody has looked at starts a round: a worker makes the forms of that scale, and
    of those that would be proposed next, from the shared weights without training, and judges them. What was found is
    a fact of the study.
    """

    NAME: ClassVar[str] = "compressed forms of explored scales"

    plan: Plan
    study: Study
    explorations: Explorations
    is_running: bool = False
    left_s: float | None = None
    tried: set[str] = field(default_factory=set)
    _asked: tuple[Candidate, ...] = ()

    def space(self) -> Space:
        """The space as the strategy is to see it: without forms that can't be made, or that nothing speaks for yet."""
        whole = self.plan.space
        refused = self._refused()
        kept = tuple(
            each for each in whole.pipelines if each not in refused and (each not in self.plan.added or self._lossy())
        )
        return whole if len(kept) == len(whole.pipelines) else replace(whole, pipelines=kept)

    def begin(
        self,
        candidate: Candidate,
        standing: Standing,
        workers: LocalWorkers,
        listener: Callable[[str], Callable[[str], None]],
    ) -> "Future[Made] | None":
        """Have the forms around a proposal looked at; None where there is nothing to look at, or no time."""
        if self.is_running or candidate in self.plan.firsts or not self._unseen(candidate.uncompressed):
            return None
        if self.left_s is None:
            self.left_s = UNTIMED_S if standing.left_s is None else SHARE * standing.left_s
        if self.left_s <= 0:
            return None
        ahead = AHEAD if self.tried else FIRST_AHEAD
        forms = self._forms(candidate, standing, ahead)
        limit_s = max(1.0, ROUND_SHARE * self.left_s)
        self._asked, self.is_running = forms, True
        space = self.plan.space.family(candidate.family)
        asked = FormLooks(space, forms, limit_s, self.plan.batch, self.plan.threads)
        return workers.submit(asked, 2 * limit_s + GRACE_S, listener(self.NAME))

    def end(self, future: "Future[Made]") -> Iterator[str]:
        """Take what a round found; yields facts for the user."""
        self.is_running = False
        try:
            made = future.result()
        except WorkerError as error:
            self.left_s = 0.0
            yield f"forms are not looked at any more: {error.message}"
            return
        took = float(made.seconds.get("look", 0.0))
        self.left_s = max(0.0, (self.left_s or 0.0) - took)
        found = explored_by(made.notes, self.plan.goal_metric)
        self.explorations.known.update({each.candidate.key: each for each in found})
        facts: dict[str, Plain] = self.study.get(LOOKED, {})
        family = self._asked[0].family
        facts[family] = _together(facts.get(family), made.notes, took)
        self.study.put(LOOKED, facts)
        # What the round had no time for may be looked at later.
        self.tried |= {each.key for each in self._barred()} | {each.candidate.key for each in found}
        yield f"{family}: {len(found)} forms looked at, {took:.0f} s"

    def _forms(self, candidate: Candidate, standing: Standing, ahead: int) -> tuple[Candidate, ...]:
        """Unseen forms of the scale of a proposal, and of those that would come next; each scale's together."""
        space, chosen = self.space(), [candidate]
        while len({each.scale for each in chosen}) < ahead and len(chosen) < 2 * ahead:
            coming = self.plan.strategy.propose(
                space, [*standing.finished, *self.failed()], [*standing.pending, *chosen], standing.problem
            )
            if coming is None:
                break
            chosen.append(coming)
        own = dict.fromkeys(each.uncompressed for each in chosen if each.family == candidate.family)
        return tuple(form for plain in own for form in self._unseen(plain))

    def _unseen(self, plain: Candidate) -> list[Candidate]:
        """Forms of an explored scale that nobody has looked at; mixed precision only where int8 loses too much."""
        known = self.explorations.known
        if plain.key not in known:
            return []
        space = self.space()
        forms = [
            replace(plain, steps=steps, options=options)
            for steps, options in space.forms(space.family(plain.family))
            if (steps or options) and (steps not in self.plan.added or self._loses(plain))
        ]
        return [each for each in forms if each.key not in known and each.key not in self.tried]

    def _loses(self, plain: Candidate) -> bool:
        """Whether a scale loses too much in int8, by looks."""
        known = self.explorations.known
        whole, rounded = known.get(plain.key), known.get(replace(plain, steps=(INT8,)).key)
        return (
            whole is not None and rounded is not None and self._lost(whole, rounded) > LOSES * self.plan.goal.max_drop
        )

    def _lost(self, whole: Explored, rounded: Explored) -> float:
        metric, goal = self.plan.metric, self.plan.goal
        relative = goal.is_relative(metric_in_unit_range=metric.in_unit_range)
        return drop(metric, whole.quality, rounded.quality, relative=relative, floor=0.0)

    def _lossy(self) -> bool:
        """Whether any scale that was looked at loses too much in int8."""
        return any(
            self._loses(each.candidate.uncompressed)
            for each in self.explorations.known.values()
            if each.candidate.steps == (INT8,)
        )

    def failed(self) -> list[Trial]:
        """Forms that can't be made, as the strategy is to hear of them: like candidates that failed."""
        return [Trial(0, each, Failure("look", "its steps can't be applied.")) for each in self._barred()]

    def _barred(self) -> list[Candidate]:
        facts: dict[str, Plain] = self.study.get(LOOKED, {})
        return [Candidate.from_json(each) for found in facts.values() for each in found["barred"]]

    def _refused(self) -> set[Steps]:
        """Pipelines that none of the scales could take that they were looked at for."""
        counts = Counter(each.steps for each in self._barred())
        made = {each.candidate.steps for each in self.explorations.known.values()}
        return {steps for steps, count in counts.items() if count >= LEAST_REFUSALS and steps not in made}


def _together(before: Plain | None, notes: Mapping[str, Plain], took: float) -> Plain:
    """What rounds found, with those before."""
    earlier = before or {"explored": [], "refused": {}, "barred": [], "seconds": {"look": 0.0}}
    if earlier.get("metric", notes["metric"]) != notes["metric"]:
        earlier = {**earlier, "explored": []}
    return {
        "metric": notes["metric"],
        "explored": [*earlier["explored"], *notes["explored"]],
        "refused": {**earlier["refused"], **notes["refused"]},
        "barred": [*earlier["barred"], *notes["barred"]],
        "seconds": {"look": earlier["seconds"]["look"] + took},
    }
