"""A warm start: the front of an earlier study is proposed first, and what it trained alike is taken over."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from steelyard.core.candidate import Candidate, Knob, Scale, Setting, Space
from steelyard.core.errors import InputError, StudyError
from steelyard.core.events import Event, Listener
from steelyard.core.goal import is_number
from steelyard.core.trial import Measurement, Trial
from steelyard.core.wire import Plain, dumps, file_sha256, write_text
from steelyard.engine.messages import EARLIER_NOTES, EARLIER_WEIGHTS, WEIGHTS
from steelyard.engine.plan import Plan, WarmStart
from steelyard.engine.problem import StudyProblem
from steelyard.select.pareto import non_dominated
from steelyard.select.quality import loss
from steelyard.store.snapshot import Snapshot, read_study
from steelyard.store.study import differences

FIELD = "warm_start"
TRAINED_BY = ("seed", "splits", "training", "files")
"""Parts of a study's identity that decide what its trainings end in, beside the data and the scale."""


def warm_start(plan: Plan, directory: Path) -> WarmStart:
    """What an earlier study has to offer to this plan. Nothing is written.

    Raises:
        StudyError: if there is no study, it is this one, or it is about other data.
        InputError: if nothing of its front lies in the plan's space.
    """
    if directory.resolve() == plan.out.resolve():
        raise StudyError(
            f"'{FIELD}' must be another study than 'out', got {directory} for both; "
            "the same command goes on with its own study anyway.",
            field=FIELD,
        )
    earlier = read_study(directory, field=FIELD)
    _check_data(plan, earlier)
    proposals = _proposals(plan, earlier.trials)
    if not proposals:
        had = ", ".join(dict.fromkeys(each["family"] for each in earlier.identity["space"])) or "no family"
        families = ", ".join(each.family for each in plan.space.families)
        raise InputError(
            f"'{FIELD}' {directory} has nothing to propose: it searched {had}, this search is of {families}; "
            "name one of its families as --model, or leave the warm start out.",
            field=FIELD,
        )
    was, now = ({name: each.get(name) for name in TRAINED_BY} for each in (earlier.identity, plan.identity))
    changes = tuple(differences(was, now))
    models = () if changes else tuple(_models(plan.space, earlier))
    return WarmStart(directory, proposals, models, changes)


def _check_data(plan: Plan, earlier: Snapshot) -> None:
    """Refuse figures of other data.

    Raises:
        StudyError: naming what differs.
    """
    names = ("task", "data")
    was, now = ({name: each.get(name) for name in names} for each in (earlier.identity, plan.identity))
    if was["data"] != now["data"]:
        changes = "; ".join(differences(was, now))
        raise StudyError(
            f"'{FIELD}' {earlier.directory} is a study of other data ({changes}); "
            "name a study of the same task and data, or leave it out.",
            field=FIELD,
        )


def _proposals(plan: Plan, trials: Sequence[Trial]) -> tuple[Candidate, ...]:
    """The earlier front as candidates of the present space, in the order of the goal: good enough first, then cheap."""
    found = [each for each in trials if _is_confirmed(each)]
    names = [plan.goal_metric, plan.task.metric]
    name = next((each for each in names if all(each in _metrics(trial) for trial in found)), None)
    if not found or name is None:
        return ()
    metric = plan.metrics[name]
    problem = StudyProblem(plan.goal, metric, plan.seed)
    costs = ["latency_p50_s", "size_bytes", plan.goal.cost_metric]
    rows = [[loss(metric, _value(each, name)), *(_value(each, cost) for cost in costs)] for each in found]
    front = [each for each, is_kept in zip(found, non_dominated(np.array(rows)), strict=True) if is_kept]

    def rank(trial: Trial) -> tuple[bool, float]:
        is_good = problem.is_good_enough(trial, found)
        return not is_good, _value(trial, plan.goal.cost_metric) if is_good else loss(metric, _value(trial, name))

    nearest = (nearest_candidate(plan.space, each.candidate) for each in sorted(front, key=rank))
    return tuple(dict.fromkeys(each for each in nearest if each is not None))


def nearest_candidate(space: Space, candidate: Candidate) -> Candidate | None:
    """The candidate of a space that is most like one of another space; None where the space lacks its family.

    A choice that a knob does not have becomes the nearest that it has, and the largest where the two can't be compared
    or the knob is new; steps or options that the space does not try are left out.
    """
    family = next((each for each in space.families if each.family == candidate.family), None)
    if family is None:
        return None
    had = candidate.scale.to_json()
    scale = Scale(tuple((knob.name, _nearest(knob, had.get(knob.name))) for knob in family.knobs))
    steps = candidate.steps if candidate.steps in space.pipelines_of(family) else ()
    options = candidate.options if candidate.options in space.options else ()
    return Candidate(family.family, scale, steps, space.runtime, options)


def _nearest(knob: Knob, setting: Setting | None) -> Setting:
    if setting is not None and setting in knob.choices:
        return setting
    if setting is None or not all(is_number(each) for each in (setting, *knob.choices)):
        return knob.choices[-1]
    wanted = float(setting)
    return min(knob.choices, key=lambda each: abs(float(each) - wanted))


def _models(space: Space, earlier: Snapshot) -> Iterator[tuple[str, Path, str]]:
    """Trained models that the present space holds too: the new key, the folder, and the hash of the weights."""
    seen = set()
    for trial in earlier.trials:
        if not isinstance(trial.outcome, Measurement):
            continue
        now = Candidate(trial.candidate.family, trial.candidate.scale, (), space.runtime)
        folder = earlier.directory / "artifacts" / "fits" / trial.candidate.uncompressed.key
        digest = trial.outcome.notes.get("weights")
        if now in space and now.key not in seen and isinstance(digest, str) and (folder / WEIGHTS).is_file():
            seen.add(now.key)
            yield now.key, folder, digest


def take_over(plan: Plan, listen: Listener) -> None:
    """Put the earlier study's weights where this one trains, and say what was taken over and what not."""
    warm = plan.warm
    if warm is None:
        return
    count = sum(_take(folder, plan.out / "artifacts" / "fits" / key, digest) for key, folder, digest in warm.models)
    told = f"{len(warm.proposals)} candidate{'s' * (len(warm.proposals) != 1)}"
    listen(Event("fact", f"an earlier front comes first ({told}); trained models taken over: {count}"))
    if warm.changes:
        listen(Event("notice", f"nothing trained is taken over from the earlier study: {'; '.join(warm.changes)}"))


def _take(folder: Path, home: Path, digest: str) -> bool:
    """Take one model's weights over, by another name of the same file where the file system allows; False if not.

    What was changed since it was trained is not: its hash is another one then.
    """
    if (home / EARLIER_NOTES).is_file() or (home / "fit.json").is_file():
        return True
    try:
        notes: Plain = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        if file_sha256(folder / WEIGHTS) != digest:
            return False
        home.mkdir(parents=True, exist_ok=True)
        _link(folder / WEIGHTS, home / EARLIER_WEIGHTS)
        # The notes come last: where they are, the weights are.
        write_text(home / EARLIER_NOTES, dumps(notes))
    except (OSError, ValueError):
        return False
    return True


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _is_confirmed(trial: Trial) -> bool:
    return isinstance(trial.outcome, Measurement) and trial.candidate.family != "baseline"


def _metrics(trial: Trial) -> dict[str, float]:
    if not isinstance(trial.outcome, Measurement):
        return {}
    return {name: quantity.value for name, quantity in trial.outcome.metrics.items()}


def _value(trial: Trial, name: str) -> float:
    return _metrics(trial).get(name, math.nan)
