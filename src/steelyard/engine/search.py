"""Explore and confirm: candidates are proposed, made by workers, measured in the lane, and written when finished."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from steelyard.core.candidate import Candidate
from steelyard.core.errors import SteelyardError, WorkerError
from steelyard.core.events import Event, Listener
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure, Measurement, Stopped, Trial
from steelyard.engine.busy import BusyClock
from steelyard.engine.exploring import Explorations
from steelyard.engine.halving import Halving, Need
from steelyard.engine.lane import Costs, Lane
from steelyard.engine.lookrounds import LookRounds, Standing
from steelyard.engine.messages import HOPELESS, Assignment, Made
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem
from steelyard.engine.survey import Survey
from steelyard.engine.workers import LocalWorkers
from steelyard.measure.process import Subject
from steelyard.store.study import Study

log = logging.getLogger(__name__)

BATCH = 6
"""Models that share one measuring round at most: more would make a finished one wait too long to be written."""
AHEAD = 6
"""Made candidates that may wait for the lane before training pauses."""
GRACE_S = 3.0
"""Seconds that the last round of the search may end after its time."""
HUNG_FACTOR, HUNG_S = 2.0, 60.0
"""A candidate that takes longer than its training's limit times this, plus the seconds to export it, hangs."""
REFERENCE_SHARE, CANDIDATE_SHARE, LESSON_SHARE = 0.35, 0.2, 0.12
"""Shares of the budget that one training may take: the reference's, any other's, and a recovery of a given model."""
VERBS = {
    "share": "training shared weights of",
    "explore": "exploring",
    "look": "looking at",
    "train": "training",
    "compress": "compressing",
    "export": "exporting",
    "evaluate": "evaluating",
}
"""What a worker does in each stage, for people."""


def nothing() -> None:
    """Prepares nothing."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    candidate: Candidate
    made: Made
    digest: str


@dataclass(slots=True)
class Search:
    """The loop of one run. Everything that must survive it is in the study."""

    plan: Plan
    study: Study
    workers: LocalWorkers
    lane: Lane
    problem: StudyProblem
    listen: Listener
    busy: BusyClock
    end: Callable[[list[Trial]], float]
    wall_s: Callable[[], float]
    takes_turns: bool = False
    prepare: Callable[[], object] = nothing
    explorations: Explorations | None = None
    looks: LookRounds | None = None
    survey: Survey | None = None
    halving: Halving | None = None
    finished: list[Trial] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    ended: str = ""
    _making: dict[str, Candidate] = field(default_factory=dict)
    _needs: dict[str, tuple[Need, ...]] = field(default_factory=dict)
    _waiting: list[_Waiting] = field(default_factory=list)
    _measuring: list[_Waiting] = field(default_factory=list)
    _active: set[str] = field(default_factory=set)
    _events: "queue.Queue[Callable[[], None]]" = field(default_factory=queue.Queue)

    def run(self) -> None:
        """Search until the budget, the trials or the space end; all that was made is measured and written."""
        self.finished = self.study.trials()
        self._note_time()
        for text in () if self.explorations is None else self.explorations.untold():
            self._say_once(text)
        self._assign()
        # The first candidate is in the making and the measuring lane idle: a good moment for what needs a core.
        self.prepare()
        while True:
            self._assign()
            self._measure()
            if not (self._making or self._measuring or self._is_surveying or self._is_exploring or self._is_looking):
                break
            self._wait()

    @property
    def deadline(self) -> float:
        """When searching ends; it moves with the latencies that certifying will have to measure again."""
        return self.end(self.finished)

    @property
    def _is_surveying(self) -> bool:
        """Whether the lane is promised to the ends of the space."""
        return self.survey is not None and self.survey.is_busy

    def _assign(self) -> None:
        """Give free workers their next candidates, as long as there is time; exploring comes before all of them."""
        if self.survey is not None:
            self.survey.assign(self.workers, self._later)
        is_held = self.takes_turns and (self._measuring or self._is_surveying)
        if not is_held:
            self._explore()
        if self._is_exploring:
            return
        # What is made next depends on what is looked at now; a round takes a few seconds.
        while self.workers.free and len(self._waiting) < AHEAD and not (is_held or self._is_looking):
            candidate = self._next()
            if candidate is None:
                return
            if self._looks_first(candidate):
                return
            if self._is_settled(candidate):
                continue
            limit_s = self._limit(candidate)
            self._making[candidate.key] = candidate
            needed = tuple((need.epoch, need.quality) for need in self._needs[candidate.key])
            assignment = Assignment(candidate, limit_s, needed=needed)
            future = self.workers.submit(assignment, self._hung_after(limit_s), self._stage_listener(candidate))
            future.add_done_callback(self._later(self._made, candidate))

    def _is_settled(self, candidate: Candidate) -> bool:
        """Note what a candidate must reach by when; whether it is known already to fall short, and ended with that."""
        if self.halving is None or (self.explorations is not None and self.explorations.shares(candidate.family)):
            self._needs[candidate.key] = ()
            return False
        needs = self._needs[candidate.key] = self.halving.needs(candidate, self.finished)
        end = self.halving.known_end(candidate, needs, self.finished)
        if end is not None:
            self._finish(candidate, end, {}, trained=False)
        return end is not None

    @property
    def _is_exploring(self) -> bool:
        return self.explorations is not None and (self.explorations.is_running or bool(self.explorations.todo))

    def _explore(self) -> None:
        """Have the next family share weights, where there is one; its candidates are made afterwards."""
        if self.explorations is None or self.explorations.is_running or not self.workers.free:
            return
        if not self.explorations.todo:
            return
        self.study.put("reached_s", self.wall_s())
        future = self.explorations.begin(self.workers, self._left(), self._stage_listener)
        if future is not None:
            future.add_done_callback(self._later(self._explored))

    @property
    def _is_looking(self) -> bool:
        return self.looks is not None and self.looks.is_running

    def _looks_first(self, candidate: Candidate) -> bool:
        """Whether a worker has begun to look at forms like this one, instead of making it."""
        if self.looks is None:
            return False
        standing = Standing(self.finished, self._pending, self._told(), self._left())
        future = self.looks.begin(candidate, standing, self.workers, self._stage_listener)
        if future is not None:
            future.add_done_callback(self._later(self._looked))
        return future is not None

    def _looked(self, future: "Future[Made]") -> None:
        if self.looks is not None:
            for text in self.looks.end(future):
                self.listen(Event("fact", text))
            self._leave(self.looks.NAME)

    @property
    def _pending(self) -> list[Candidate]:
        """What is being made, waits, or is being measured."""
        return [*self._making.values(), *(each.candidate for each in (*self._waiting, *self._measuring))]

    def _note_time(self) -> None:
        """Tell the explorations how much time there is for confirming."""
        if self.explorations is not None:
            left_s = self._left()
            self.explorations.left_s = math.inf if left_s is None else left_s

    def _explored(self, future: "Future[Made]") -> None:
        if self.explorations is not None:
            for sort, text in self.explorations.end(future):
                self._say_once(text) if sort == "notice" else self.listen(Event("fact", text))
            self._leave(self.explorations.NAME)
            self._note_time()

    def _next(self) -> Candidate | None:
        """References, the baseline, an earlier front, then what the strategy proposes; None when the search is over."""
        known = {trial.key for trial in self.finished}
        pending = self._pending
        begun = known | {candidate.key for candidate in pending}
        if self._has_minimum(len(begun)):
            if self._is_over(len(begun)):
                return None
        elif time.monotonic() >= self.deadline:
            always = "the reference" if self.plan.given is not None else "the reference, the baseline"
            self._say_once(f"the budget is too small: {always} and one candidate are always finished")
        candidate = next((each for each in (*self.plan.firsts, *self.plan.earlier) if each.key not in begun), None)
        if candidate is None and self._awaits_reference():
            return None
        if candidate is None:
            space, failed = self.plan.space, []
            if self.looks is not None:
                space, failed = self.looks.space(), self.looks.failed()
            candidate = self.plan.strategy.propose(space, [*self.finished, *failed], pending, self._told())
            if candidate is None and not pending:
                self.ended = "the strategy has nothing left to propose"
        return candidate

    def _awaits_reference(self) -> bool:
        """Whether a reference is in the making that candidates from shared weights learn from."""
        if self.explorations is None:
            return False
        begun = (each for each in self.plan.space.references() if each.key in self._making)
        return any(self.explorations.shares(each.family) for each in begun)

    def _told(self) -> StudyProblem:
        """The problem, with the qualities of what is made and not measured yet."""
        name = self.plan.goal_metric
        made = {
            each.candidate.key: Quantity.from_json(each.made.metrics[name]).value
            for each in (*self._waiting, *self._measuring)
        }
        known = {} if self.explorations is None else self.explorations.known
        return replace(self.problem, made=made, known=known)

    def _is_over(self, begun: int) -> bool:
        trials = self.plan.budget.trials
        if trials is not None and begun - self._failures() >= trials:
            self.ended = f"{trials} trials are confirmed"
            return True
        # What is made now still has to be measured after what waits and what is being measured.
        ahead = len(self._waiting) + len(self._making) + 1
        if time.monotonic() + self.lane.expected_s(ahead) >= self.deadline:
            self.ended = "the budget is used up"
            return True
        return False

    def _has_minimum(self, begun: int) -> bool:
        """The references, the baseline and one candidate are always finished: without them there is no answer."""
        return begun >= self._minimum

    @property
    def _minimum(self) -> int:
        return len(self.plan.firsts) + 1

    def _failures(self) -> int:
        return sum(isinstance(trial.outcome, Failure) for trial in self.finished)

    def _limit(self, candidate: Candidate) -> float:
        if self.plan.budget.wall_s is None:
            return self.plan.trial_limit_s
        is_reference = candidate in self.plan.space.references()
        if self.explorations is not None and self.explorations.shares(candidate.family):
            return max(1.0, min(self.explorations.lesson_s(is_reference=is_reference), self.plan.budget.wall_s))
        share = REFERENCE_SHARE if is_reference else CANDIDATE_SHARE if self.plan.given is None else LESSON_SHARE
        return max(1.0, share * self.plan.budget.wall_s)

    def _hung_after(self, limit_s: float) -> float:
        """Seconds after which a candidate counts as hung: our own loop ends at its limit, the user's need not."""
        if self.plan.recipe.get("loop"):
            return self.plan.trial_limit_s
        return min(self.plan.trial_limit_s, HUNG_FACTOR * limit_s + HUNG_S)

    def _measure(self) -> None:
        """Start a round for what waits, if the lane is free."""
        if (
            self._measuring
            or self._is_surveying
            or not self._waiting
            or (self.takes_turns and (self._making or self._is_looking))
        ):
            return
        if self._is_late(min(len(self._waiting), BATCH)):
            log.info("no time to measure %d candidates; the same command with a larger budget will", len(self._waiting))
            self.ended = "the budget is used up"
            self._waiting.clear()
            return
        self._measuring, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        batch = [self.lane.subject(each.candidate, self._path(each.digest)) for each in self._measuring]
        beside = self._companion({each.key for each in batch})
        future: Future[dict[str, Costs | Failure]] = Future()
        future.add_done_callback(self._later(self._measured))
        self._say_stage("measuring " + ", ".join(str(each.candidate) for each in self._measuring))

        def work() -> None:
            with self.busy.working():
                try:
                    future.set_result(self.lane.measure(batch, beside))
                except SteelyardError as error:
                    future.set_result({each.key: Failure("measure", error.message) for each in batch})
                except BaseException as error:  # noqa: BLE001  it is raised again in the engine's thread
                    future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()

    def _is_late(self, models: int) -> bool:
        """Whether a round would end after the deadline by more than a few seconds, and can be done without."""
        measured = sum(isinstance(trial.outcome, Measurement) for trial in self.finished)
        if measured < self._minimum:
            return False
        return time.monotonic() + self.lane.expected_s(models) > self.deadline + GRACE_S

    def _companion(self, batch: set[str]) -> list[Subject]:
        """The reference, measured in every round, once it is confirmed."""
        first = self.plan.space.references()[0]
        for trial in self.finished:
            if trial.key == first.key and isinstance(trial.outcome, Measurement) and first.key not in batch:
                return [self.lane.subject(first, self._path(trial.outcome.artifact))]
        return []

    def _wait(self) -> None:
        """Sleep until something happens; stop trainings that nobody waits for any more."""
        if self._may_stop():
            self._drop_trainings()
            return
        try:
            # The timeout lets Ctrl-C and the budget through while nothing else happens.
            handle = self._events.get(timeout=0.5)
        except queue.Empty:
            return
        handle()

    def _may_stop(self) -> bool:
        if not self._making or time.monotonic() < self.deadline or self._is_exploring:
            return False
        measured = sum(isinstance(trial.outcome, Measurement) for trial in self.finished)
        done = measured + len(self._waiting) + len(self._measuring)
        needed = {each.key for each in self.plan.space.references()} & set(self._making)
        return not needed and done >= self._minimum

    def _drop_trainings(self) -> None:
        log.info("the budget is used up; %d candidates are left unfinished", len(self._making))
        self.ended = "the budget is used up"
        self._making.clear()
        self.workers.close()
        for _ in range(len(self._active)):
            self.busy.leave()
        self._active.clear()

    def _made(self, candidate: Candidate, future: "Future[Made]") -> None:
        self._leave(candidate.key)
        if self._making.pop(candidate.key, None) is None:
            return
        try:
            made = future.result()
        except WorkerError as error:
            self._finish(candidate, Failure(error.stage, error.message), {}, trained=False)
            return
        if HOPELESS in made.notes and self.halving is not None:
            end = self.halving.stopped(self._needs[candidate.key], made.notes[HOPELESS])
            self._finish(candidate, end, dict(made.seconds), trained=False)
            return
        companions = self.lane.runtime.companions
        digest = self.study.artifacts.keep(_copy(Path(made.path), companions), companions)
        self._waiting.append(_Waiting(candidate, made, digest))

    def _leave(self, key: str) -> None:
        if key in self._active:
            self._active.remove(key)
            self.busy.leave()

    def _measured(self, future: "Future[dict[str, Costs | Failure]]") -> None:
        batch, self._measuring = self._measuring, []
        results = future.result()
        share = self.lane.rounds[-1][1] / max(1, len(batch))
        for each in batch:
            costs = results[each.candidate.key]
            seconds = {**each.made.seconds, "measure": share}
            if isinstance(costs, Failure):
                self._finish(each.candidate, costs, seconds, trained=each.made.trained)
                continue
            metrics = {name: Quantity.from_json(plain) for name, plain in each.made.metrics.items()}
            outcome = Measurement({**metrics, **costs.metrics}, each.digest, {**each.made.notes, **costs.notes})
            self._finish(each.candidate, outcome, seconds, trained=each.made.trained)

    def _finish(
        self,
        candidate: Candidate,
        outcome: Measurement | Failure | Stopped,
        seconds: dict[str, float],
        *,
        trained: bool,
    ) -> None:
        trial = Trial(len(self.finished), candidate, outcome, seconds, trained)
        self.study.add(trial)
        self.finished.append(trial)
        self.study.put("reached_s", self.wall_s())
        if isinstance(outcome, Measurement) and trained:
            self._notice(candidate, outcome)
        self.listen(
            Event("trial", describe(trial, self.plan.goal_metric), len(self.finished), self._total(), self._left())
        )

    def _notice(self, candidate: Candidate, outcome: Measurement) -> None:
        """Say what a user should know of how a model was trained."""
        # The training belongs to the uncompressed model, whichever of its forms was proposed first.
        model = candidate.uncompressed
        found = [f"{model} {cure}" for cure in outcome.notes.get("cures", ())]
        if outcome.notes.get("stopped") == "time limit":
            found.append(f"{model} was still improving when its share of the budget was used up")
        for text in found:
            self._say_once(text)

    def _say_once(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)
            self.listen(Event("notice", text))

    def _later(self, handle: Callable[..., None], *first: Any) -> Callable[["Future[Any]"], None]:
        """A callback that hands its future to `handle` in the engine's own thread."""
        return lambda future: self._events.put(lambda: handle(*first, future))

    def _stage_listener(self, what: Candidate | str) -> Callable[[str], None]:
        key = what if isinstance(what, str) else what.key

        def heard(stage: str) -> None:
            if key not in self._active:
                # Until its first word the worker was starting: the engine's own cost, no training's.
                self._active.add(key)
                self.busy.enter()
            if stage in VERBS:
                self._say_stage(f"{VERBS[stage]} {what}")

        return heard

    def _say_stage(self, text: str) -> None:
        self.listen(Event("stage", text, len(self.finished), self._total(), self._left()))

    def _total(self) -> int | None:
        trials, size = self.plan.budget.trials, self.plan.size + 1
        return min(trials, size) if trials is not None else size

    def _left(self) -> float | None:
        left = self.deadline - time.monotonic()
        return max(0.0, left) if left != float("inf") else None

    def _path(self, digest: str) -> Path:
        return self.study.artifacts.path(digest, self.lane.runtime.suffix)


def describe(trial: Trial, metric: str) -> str:
    """One line about a finished trial, for people."""
    if isinstance(trial.outcome, Failure):
        return f"{trial.candidate}: failed at {trial.outcome.stage}: {trial.outcome.message}"
    if isinstance(trial.outcome, Stopped):
        end = trial.outcome
        return (
            f"{trial.candidate}: stopped after {end.epoch} epochs: {end.metric} {end.quality:.4f} where "
            f"{end.needed:.4f} was needed"
        )
    metrics = trial.outcome.metrics
    return (
        f"{trial.candidate}: {metric} {metrics[metric].value:.4f}, "
        f"{metrics['latency_p50_s'].value * 1e6:.1f} µs, {metrics['size_bytes'].value / 1e3:.1f} kB"
    )


def _copy(path: Path, companions: tuple[str, ...]) -> Path:
    """A second name of a file and its companions: keeping it leaves the first where other candidates find it."""
    for suffix in (path.suffix, *companions):
        copy = path.with_name(f"{path.stem}.kept{suffix}")
        copy.unlink(missing_ok=True)
        copy.hardlink_to(path.with_suffix(suffix))
    return path.with_name(f"{path.stem}.kept{path.suffix}")
