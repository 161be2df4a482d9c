"""Measures what is within reach: workers make the ends of the space untrained, and the lane measures them at once."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.candidate import Candidate
from steelyard.core.errors import SteelyardError, WorkerError
from steelyard.core.events import Event, Listener
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement
from steelyard.engine.busy import BusyClock
from steelyard.engine.lane import Lane
from steelyard.engine.messages import Assignment, Made
from steelyard.engine.plan import Plan
from steelyard.engine.reach import FACT, Reach, beyond, ends, reach_of
from steelyard.engine.workers import LocalWorkers
from steelyard.store.study import Study

log = logging.getLogger(__name__)

Later = Callable[..., Callable[["Future[Any]"], None]]
"""Makes a future's callback of a function and its first arguments; the function runs in the engine's own thread."""
Found = tuple[dict[str, dict[str, Quantity]], Quantity | None]
"""Metrics by key of candidate, and the floor."""

LEAST_S = 15.0
"""Seconds that a search must have before it for the reach to be measured: shorter ones need them themselves."""
SHARE, MOST_S = 0.1, 20.0
"""Share of those seconds after which no further member is made, and seconds at most."""
FEW = 4
"""Scales of a space that a search shows by itself: its reach is measured before only where a limit may be beyond."""
HUNG_S = 60.0
"""Seconds after which one member counts as hung: building and exporting a large one takes some."""


@dataclass(slots=True)
class Survey:
    """One survey of a space, beside the start of a search. It is told and stored when it is done.

    No member is begun `most_s` seconds after the first one was.
    """

    plan: Plan
    study: Study
    lane: Lane
    listen: Listener
    busy: BusyClock
    most_s: float
    left: list[Candidate] = field(default_factory=list)
    made: dict[Candidate, Made] = field(default_factory=dict)
    is_busy: bool = True
    _making: int = 0
    _until: float = float("inf")
    _heard: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Begin with the smallest members: limits are judged by them."""
        self.left = list(ends(self.plan.space))

    def assign(self, workers: LocalWorkers, later: Later) -> None:
        """Give free workers the members that are not made yet; what is made is measured once no more is to come."""
        while self.left and workers.free:
            if time.monotonic() >= self._until:
                log.info("no time to measure %d members of the space before the search", len(self.left))
                self.left.clear()
                self._measure_once(later)
                return
            candidate = self.left.pop(0)
            self._making += 1
            future = workers.submit(Assignment(candidate, HUNG_S, untrained=True), HUNG_S, self._hear(candidate))
            future.add_done_callback(later(self._made, candidate, later))

    def _hear(self, candidate: Candidate) -> Callable[[str], None]:
        """Until its first word the worker was starting: no work on a member."""

        def heard(stage: str) -> None:
            del stage
            if candidate.key not in self._heard:
                if not self._heard:
                    self._until = time.monotonic() + self.most_s
                self._heard.add(candidate.key)
                self.busy.enter()

        return heard

    def _made(self, candidate: Candidate, later: Later, future: "Future[Made]") -> None:
        self._making -= 1
        if candidate.key in self._heard:
            self.busy.leave()
        try:
            self.made[candidate] = future.result()
        except WorkerError as error:
            log.info("%s can't be measured before the search: %s", candidate, error.message)
        self._measure_once(later)

    def _measure_once(self, later: Later) -> None:
        if self.left or self._making:
            return
        if not self.made:
            self.is_busy = False
            return
        future: Future[Found] = Future()
        future.add_done_callback(later(self._measured))
        self.listen(Event("stage", "measuring the smallest and the largest models, untrained"))

        def work() -> None:
            with self.busy.working():
                try:
                    future.set_result(self._costs())
                except BaseException as error:  # noqa: BLE001  it is raised again in the engine's thread
                    future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()

    def _costs(self) -> Found:
        subjects = [self.lane.subject(candidate, Path(made.path)) for candidate, made in self.made.items()]
        latency, floor = self.lane.glance(subjects, MOST_S)
        memory = self.lane.memory(subjects)
        costs = {}
        for candidate, made in self.made.items():
            key = candidate.key
            if key in latency.metrics and key in memory.peaks:
                size = Quantity.from_json(made.metrics["size_bytes"])
                peak = memory.peaks[key]["peak"]
                costs[key] = {**latency.metrics[key], "size_bytes": size, "peak_memory_bytes": peak}
        return costs, floor

    def _measured(self, future: "Future[Found]") -> None:
        self.is_busy = False
        for made in self.made.values():
            shutil.rmtree(Path(made.path).parent, ignore_errors=True)
        try:
            costs, floor = future.result()
        except SteelyardError as error:
            log.info("what is within reach can't be measured: %s", error.message)
            return
        reach = reach_of(self.plan.space, costs, floor)
        if reach.ranges:
            self.study.put(FACT, reach.to_json())
            tell(reach, self.plan, self.listen)


def is_worthwhile(plan: Plan, left_s: float) -> bool:
    """Whether the reach is to be measured before a search that has so many seconds.

    What learns by itself has no size before it has learned, so then the reach is not known.
    """
    if not all(family.is_module for family in plan.space.families):
        return False
    scales = sum(family.size for family in plan.space.families)
    return plan.given is None and left_s >= LEAST_S and (scales > FEW or bool(plan.goal.limits))


def known_reach(plan: Plan, study: Study) -> Reach | None:
    """What a study knows to be within reach: as a survey found, else by its trials; None where an end is missing.

    The range of a model that is given is not known: how small its steps can make it shows in trials alone.
    """
    plain = study.get(FACT)
    if plain is not None:
        return Reach.from_json(plain)
    wanted = {candidate.key for candidate in ends(plan.space)}
    costs = {
        trial.key: trial.outcome.metrics
        for trial in study.trials()
        if trial.key in wanted and isinstance(trial.outcome, Measurement)
    }
    if plan.given is not None or costs.keys() != wanted:
        return None
    return reach_of(plan.space, costs, None)


def tell(reach: Reach, plan: Plan, listen: Listener) -> None:
    """Say what is within reach, and which limits are not."""
    listen(Event("fact", str(reach)))
    for text in out_of_reach(reach, plan):
        listen(Event("notice", text))


def out_of_reach(reach: Reach | None, plan: Plan) -> tuple[str, ...]:
    """A sentence on each limit of the goal that nothing in the space can meet."""
    return () if reach is None else beyond(reach, plan.goal, plan.space, plan.threads)
