"""The vote of a front's best members as one more candidate: one file, judged, measured and proved like any other."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from steelyard.core.candidate import Candidate, Scale
from steelyard.core.errors import SteelyardError
from steelyard.core.events import Event, Listener
from steelyard.core.protocols import Metric
from steelyard.core.quantity import Quantity
from steelyard.core.task import Array, ClassOutput, Rows
from steelyard.core.trial import Failure, Measurement, Trial
from steelyard.engine.busy import BusyClock
from steelyard.engine.certify import VOTE
from steelyard.engine.evaluating import outputs_of
from steelyard.engine.lane import Lane
from steelyard.engine.plan import Plan
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.graph.voting import vote_of
from steelyard.select.pareto import non_dominated
from steelyard.select.quality import loss, quality_interval
from steelyard.store.study import Study

TRAIN_ROWS = 5_000
"""Training rows whose quality is reported beside the validation split's."""
MEMBERS = "members"
"""The knob that says how many vote; `of` says who: the first characters of their keys."""
KEY_DIGITS = 6


def members_of(plan: Plan, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Who votes: of the front in quality, latency and size the members of the best quality, each of its own training.

    The validation rows say which, as they order everything; of equals the one made first votes.
    """
    if plan.members < 2:
        return ()
    found = [
        each
        for each in trials
        if isinstance(each.outcome, Measurement) and each.candidate.family not in (VOTE, "baseline")
    ]
    if not found:
        return ()
    rows = [[_loss(plan, each), _figure(each, "latency_p50_s"), _figure(each, "size_bytes")] for each in found]
    front = [each for each, is_kept in zip(found, non_dominated(np.array(rows)), strict=True) if is_kept]
    best: dict[str, Trial] = {}
    for each in sorted(front, key=lambda trial: (_loss(plan, trial), trial.number)):
        best.setdefault(each.candidate.uncompressed.key, each)
    return tuple(best.values())[: plan.members]


def candidate_of(plan: Plan, members: Sequence[Trial]) -> Candidate:
    """The vote as a candidate: its scale says how many and who."""
    who = "+".join(each.key[:KEY_DIGITS] for each in members)
    return Candidate(VOTE, Scale(((MEMBERS, len(members)), ("of", who))), (), plan.space.runtime)


def voted(plan: Plan, study: Study, lane: Lane, listen: Listener, busy: BusyClock) -> None:
    """Have members of the front vote, where that is asked for and not done yet."""
    if plan.members < 2 or plan.measured is not None:
        return
    with busy.working():
        short = vote(plan, study, lane, listen)
    if short is not None:
        listen(Event("notice", short))
        study.put("notices", [*study.get("notices", []), short])


def vote(plan: Plan, study: Study, lane: Lane, listen: Listener) -> str | None:
    """Make, judge and measure the vote, and write its trial, unless the study has it; a sentence where none can be."""
    trials = study.trials()
    members = members_of(plan, trials)
    if len(members) < 2:
        return f"no vote: the front has {len(members)} model{'s' * (len(members) != 1)} of its own training, not two"
    candidate = candidate_of(plan, members)
    if any(each.key == candidate.key for each in trials):
        return None
    listen(Event("stage", f"measuring the vote of {len(members)} models", len(trials)))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=plan.out / "work") as folder:
        path = Path(folder) / f"{VOTE}{lane.runtime.suffix}"
        try:
            figures = _made(plan, study, members, path, lane)
            digest = study.artifacts.keep(path)
            made_s = time.perf_counter() - began
            costs = lane.measure([lane.subject(candidate, study.artifacts.path(digest, lane.runtime.suffix))])
            found = costs[candidate.key]
        except SteelyardError as error:
            study.add(Trial(len(trials), candidate, Failure("compress", error.message), {}, trained=False))
            return f"no vote: {error.message}"
    seconds = {"evaluate": made_s, "measure": lane.rounds[-1][1]}
    told = {"members": [each.key for each in members]}
    outcome = (
        found
        if isinstance(found, Failure)
        else Measurement({**figures, **found.metrics}, digest, {**found.notes, **told})
    )
    study.add(Trial(len(trials), candidate, outcome, seconds, trained=False))
    return f"no vote: {outcome.message}" if isinstance(outcome, Failure) else None


def _made(plan: Plan, study: Study, members: Sequence[Trial], path: Path, lane: Lane) -> dict[str, Quantity]:
    """Write the vote's file; what it is worth on validation and training rows, and what it holds."""
    files = [study.artifacts.path(_outcome(each).artifact, lane.runtime.suffix) for each in members]
    models = [read_model(each) for each in files]
    path.write_bytes(vote_of(models, decides=isinstance(plan.task.output, ClassOutput)).SerializeToString())
    session = lane.runtime.load(path, threads=1, trust=True)
    figures: dict[str, Quantity] = {}
    train = _sample(plan.task.train, plan.seed)
    for suffix, rows in (("", plan.task.valid), ("_train", train)):
        outputs = outputs_of(session.run, rows)
        for name, metric in plan.metrics.items():
            figures[name + suffix] = _quality(metric, outputs, rows.y, plan.seed)
    counts = count(read_model(path))
    figures["parameters"] = Quantity.exact(counts.parameters)
    figures["macs"] = Quantity.exact(counts.macs)
    figures["size_bytes"] = Quantity.exact(path.stat().st_size, "B")
    # What its members took is what it takes to have it.
    figures["train_s"] = Quantity.exact(sum(_figure(each, "train_s") for each in members), "s")
    return figures


def _quality(metric: Metric, outputs: Array, targets: Array, seed: int) -> Quantity:
    return quality_interval(metric, outputs, targets, seed=seed)


def _sample(rows: Rows, seed: int) -> Rows:
    if len(rows) <= TRAIN_ROWS:
        return rows
    index = np.sort(np.random.default_rng(seed).choice(len(rows), TRAIN_ROWS, replace=False))
    return Rows(rows.x[index], rows.y[index])


def _outcome(trial: Trial) -> Measurement:
    assert isinstance(trial.outcome, Measurement)  # noqa: S101  members are; narrows the type
    return trial.outcome


def _figure(trial: Trial, name: str) -> float:
    return _outcome(trial).metrics[name].value


def _loss(plan: Plan, trial: Trial) -> float:
    return loss(plan.metric, _figure(trial, plan.goal_metric))
