"""The finalists trained again with other seeds: how much of a quality is the luck of its start.

Only the validation rows are looked at, and files of other seeds are no candidates: the certificate stays about the
files that are shipped.
"""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.errors import WorkerError
from steelyard.core.events import Event, Listener
from steelyard.core.quantity import Quantity, Unit
from steelyard.core.trial import Measurement, Trial
from steelyard.core.wire import Plain
from steelyard.engine.messages import SEED_FOLDER, Assignment, Made
from steelyard.engine.plan import Plan
from steelyard.engine.workers import LocalWorkers
from steelyard.statistics.spread import spread
from steelyard.store.study import Study

log = logging.getLogger(__name__)

FACT = "seeds"
"""The fact of the study that holds, by candidate and seed, the quality that was reached and the seconds it took."""
SHARE = 0.4
"""Share of the budget that other seeds may take from the search at most."""
START_S = 5.0
"""Seconds that new worker processes take to import."""
AGAIN = 1.25
"""How many times its first seconds a training is expected to take: another start may need more epochs."""
_CUT = "time limit"


@dataclass(slots=True)
class Reseeding:
    """Trains finalists with the seeds after the study's own, as long as there is time; each training is stored."""

    plan: Plan
    study: Study
    workers: LocalWorkers
    listen: Listener
    deadline: float
    _running: dict["Future[Made]", tuple[Trial, int]] = field(default_factory=dict)

    def run(self, finalists: Sequence[Trial]) -> None:
        """Train what is missing, seed by seed, so that all finalists reach the same number of them."""
        jobs = [(trial, seed) for seed in self._seeds for trial in finalists if not self._is_known(trial, seed)]
        begun = False
        try:
            while jobs or self._running:
                while jobs and self.workers.free:
                    if not self._fits(jobs[0][0], 0.0 if begun else START_S):
                        jobs.clear()
                        break
                    self._begin(*jobs.pop(0))
                    begun = True
                done, _ = wait(self._running, return_when=FIRST_COMPLETED) if self._running else ((), ())
                for future in done:
                    self._end(future)
        finally:
            for seed in self._seeds:
                shutil.rmtree(self._folder(seed), ignore_errors=True)

    @property
    def _seeds(self) -> range:
        return range(self.plan.seed + 1, self.plan.seed + self.plan.seeds)

    def _folder(self, seed: int) -> Path:
        return self.plan.out / "artifacts" / "fits" / f"{SEED_FOLDER}{seed}"

    def _is_known(self, trial: Trial, seed: int) -> bool:
        return str(seed) in self.study.get(FACT, {}).get(trial.key, {})

    def _fits(self, trial: Trial, start_s: float) -> bool:
        return time.monotonic() + start_s + AGAIN * seconds_to_make(trial) <= self.deadline

    def _begin(self, trial: Trial, seed: int) -> None:
        self.listen(Event("stage", f"training {trial.candidate} again, with seed {seed}"))
        limit_s = self.plan.trial_limit_s
        if _was_cut(trial):
            # Another seed gets the time that this one had.
            limit_s = _figure(trial, "train_s")
        elif self.deadline != float("inf"):
            limit_s = max(1.0, self.deadline - time.monotonic())
        assignment = Assignment(trial.candidate, limit_s, seed=seed)
        future = self.workers.submit(assignment, min(self.plan.trial_limit_s, 2 * limit_s + 60.0))
        self._running[future] = trial, seed

    def _end(self, future: "Future[Made]") -> None:
        trial, seed = self._running.pop(future)
        try:
            made = future.result()
        except WorkerError as error:
            found: Plain = {"failed": error.message, "seconds": {}}
        else:
            if made.notes.get("stopped") == _CUT and not _was_cut(trial):
                log.info("%s with seed %d was not trained to its end", trial.candidate, seed)
                return
            value = Quantity.from_json(made.metrics[self.plan.goal_metric]).value
            found = {"value": value, "seconds": dict(made.seconds)}
        known = self.study.get(FACT, {})
        self.study.put(FACT, {**known, trial.key: {**known.get(trial.key, {}), str(seed): found}})


def seconds_to_make(trial: Trial) -> float:
    """Seconds that a trial's model takes to be trained and made, whoever shared its training."""
    others = sum(seconds for stage, seconds in trial.seconds.items() if stage not in ("train", "measure"))
    return _figure(trial, "train_s") + others


def reserve_s(plan: Plan, trials: Sequence[Trial]) -> float:
    """Seconds of the budget to keep back for other seeds, from the trainings so far; 0 before the first.

    Two finalists are expected: the reference, and one that takes as long as the trainings do in the mean.
    """
    if plan.seeds < 2 or plan.budget.wall_s is None:
        return 0.0
    firsts = {each.key for each in plan.space.references()}
    made = [each for each in trials if isinstance(each.outcome, Measurement) and each.candidate.family != "baseline"]
    if not made:
        return 0.0
    mean_s = sum(map(seconds_to_make, made)) / len(made)
    reference_s = max((seconds_to_make(each) for each in made if each.key in firsts), default=mean_s)
    needed = START_S + AGAIN * (plan.seeds - 1) * (reference_s + mean_s) / min(plan.workers, 2)
    return min(SHARE * plan.budget.wall_s, needed)


def seconds_spent(study: Study) -> Iterator[dict[str, float]]:
    """Seconds by stage of each training with another seed."""
    for seeds in study.get(FACT, {}).values():
        for found in seeds.values():
            yield found["seconds"]


def seed_figures(plan: Plan, study: Study, trial: Trial) -> dict[str, Quantity]:
    """`NAME_seed_mean` and `NAME_seed_sd` of the goal's metric over the seeds that were trained; empty below two."""
    name = plan.goal_metric
    values = [_figure(trial, name), *_values(plan, study, trial)]
    if len(values) < 2:
        return {}
    found = spread(values)
    unit: Unit = plan.metric.unit
    return {
        f"{name}_seed_mean": Quantity(found.mean, unit, low=found.mean_low, high=found.mean_high, n=found.n),
        f"{name}_seed_sd": Quantity(found.sd, unit, low=found.sd_low, high=found.sd_high, n=found.n),
    }


def shortage(plan: Plan, study: Study, finalists: Sequence[Trial]) -> str | None:
    """A sentence where a finalist reached fewer seeds than were asked for; None where all did."""
    reached = min(1 + len(_values(plan, study, trial)) for trial in finalists)
    if reached >= plan.seeds:
        return None
    wanted = {str(seed) for seed in range(plan.seed + 1, plan.seed + plan.seeds)}
    known = study.get(FACT, {})
    failures = [
        each["failed"]
        for trial in finalists
        for seed, each in known.get(trial.key, {}).items()
        if seed in wanted and "failed" in each
    ]
    why = f"a training failed: {failures[0].rstrip('.')}" if failures else "a larger --budget gives them time"
    return f"the finalists were trained with {reached} of {plan.seeds} seeds; {why}"


def _values(plan: Plan, study: Study, trial: Trial) -> list[float]:
    known: dict[str, Any] = study.get(FACT, {}).get(trial.key, {})
    wanted = (str(seed) for seed in range(plan.seed + 1, plan.seed + plan.seeds))
    return [known[seed]["value"] for seed in wanted if "value" in known.get(seed, {})]


def _was_cut(trial: Trial) -> bool:
    return isinstance(trial.outcome, Measurement) and trial.outcome.notes.get("stopped") == _CUT


def _figure(trial: Trial, name: str) -> float:
    assert isinstance(trial.outcome, Measurement)  # noqa: S101  finalists are; narrows the type
    return trial.outcome.metrics[name].value
