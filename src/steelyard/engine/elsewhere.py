"""The choice again, by costs that a kit measured on another machine. Quality and proofs stay: they are of the files.

Pure: no model is run and no test row is looked at. Fixed-sequence testing proves all its rejected candidates jointly,
so the cheapest of them may be picked by whatever costs are asked about (design, section 7).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steelyard.core.errors import InputError, StudyError
from steelyard.core.goal import Goal, Limit
from steelyard.core.measured import UNITS, Measured
from steelyard.core.outcome import Miss, Outcome, Point, Status
from steelyard.core.quantity import Quantity
from steelyard.engine.certify import REFERENCE_IS_CHEAPER, REFERENCE_IS_ENOUGH, cost_notices
from steelyard.engine.evidence import drop_of, is_proved
from steelyard.engine.explaining import explained_anew
from steelyard.select.choose import Estimated, Option, choose, estimate
from steelyard.select.explain import Standing, reason
from steelyard.select.limits import misses, nearest
from steelyard.select.order import Certified
from steelyard.select.pareto import non_dominated
from steelyard.select.proof import Proof
from steelyard.select.scores import Scored, columns
from steelyard.tasks.metrics import METRICS

NAMED = 5
"""Points that a notice names; of the rest it says how many."""
_STALE = ("latency",)
"""Notes of a point that are about its costs, next to the figures themselves."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """What was chosen, among what, and what could not be judged."""

    goal: Goal
    judged: Goal
    unjudged: tuple[Limit, ...]
    points: Mapping[str, Point]
    reference: Point
    status: Status
    key: str
    missed: tuple[Miss, ...]


def check_belongs(measured: Measured, study: str, checksums: Mapping[str, str]) -> None:
    """Refuse figures of other models than these.

    Args:
        measured: what the kit measured.
        study: the study that is asked about.
        checksums: SHA-256 of its model files by key.

    Raises:
        StudyError: if the kit is of another study.
        InputError: if a figure is of a file that the study does not have.
    """
    check_study(measured, study)
    for key, point in measured.points.items():
        if key not in checksums:
            raise InputError(
                f"'measured' has figures of a point {key} that is not here; measure with a kit of this bundle.",
                field="measured",
            )
        if point.sha256 != checksums[key]:
            raise InputError(
                f"'measured' has figures of another file than {key} is here (its sha256 begins with "
                f"{point.sha256[:12]!r}, not {checksums[key][:12]!r}); the kit was changed, so make it anew.",
                field="measured",
            )


def check_study(measured: Measured, study: str) -> None:
    """Refuse figures of another study.

    Raises:
        StudyError: naming both.
    """
    if measured.study != study:
        raise StudyError(
            f"'measured' is of study {measured.study}, and this is study {study}; measure with a kit of this one.",
            field="measured",
        )


def check_minimized(measured: Measured, goal: Goal) -> None:
    """Refuse to minimise what the other machine has not measured.

    Raises:
        InputError: naming the cost.
    """
    name = goal.cost_metric
    if name in UNITS and not measured.has(name):
        why = measured.absent.get(name, "no figure").rstrip(".")
        raise InputError(
            f"'minimize' {goal.minimize} needs {name}, which 'measured' lacks ({why}); minimise another cost.",
            field="minimize",
        )


def choose_elsewhere(old: Outcome, measured: Measured, goal: Goal, checksums: Mapping[str, str]) -> Outcome:
    """The answer to a goal by another machine's costs.

    Certified is only a point whose own test proved it. Where no proved point meets the limits, the one of the smallest
    validation drop that does is estimated. Points without figures from there are no candidates, and are named. A limit
    on a cost that the machine could not give is not judged: it stands among the misses, and the answer is no more than
    estimated.

    Args:
        old: the answer by this machine's costs; its metric, permitted drop and confidence stay.
        measured: the costs that count.
        goal: the minimised cost and the limits.
        checksums: SHA-256 of the model files by key.

    Raises:
        StudyError: if the kit is of another study.
        InputError: if the figures are of other files, or the minimised cost is not among them, or no candidate is.
    """
    check_belongs(measured, old.study, checksums)
    check_minimized(measured, goal)
    choice = _choice(old, measured, goal)
    points = _explained(old, measured, choice)
    front = _front(choice)
    return replace(
        old,
        status=choice.status,
        goal=goal,
        chosen=points[choice.key],
        reference=points[old.reference.key],
        front=tuple(points[key] for key in front),
        points=tuple(points.values()),
        misses=choice.missed,
        drop=drop_of(old, points[choice.key]),
        environment=measured.environment,
        notices=_notices(old, measured, choice),
        # The gate judged by costs from here.
        gate=(),
        explanation=explained_anew(old, tuple(points.values()), points[choice.key]),
    )


def _choice(old: Outcome, measured: Measured, goal: Goal) -> _Choice:
    every = {point.key: point for point in (*old.points, *old.front, old.reference, old.chosen)}
    points = {key: _with_costs(point, measured) for key, point in every.items() if key in measured.points}
    candidates = {key: point for key, point in points.items() if key != old.reference.key}
    if not candidates:
        raise InputError("'measured' has figures of the reference alone, so nothing can be chosen.", field="measured")
    reference = _with_costs(every[old.reference.key], measured)
    unjudged = tuple(limit for limit in goal.limits if limit.metric in UNITS and not measured.has(limit.metric))
    judged = goal.without([limit.metric for limit in unjudged])
    status, key = _chosen(judged, measured, candidates, higher_is_better=_is_higher_better(old, every))
    missed: tuple[Miss, ...] = ()
    if status == "infeasible":
        missed = _misses(judged, candidates[key], higher_is_better=_is_higher_better(old, every))
    missed += tuple(Miss(limit.option, limit.at_most, None, limit.unit, is_judged=False) for limit in unjudged)
    if status == "certified" and unjudged:
        status = "estimated"
    return _Choice(goal, judged, unjudged, points, reference, status, key, missed)


def _with_costs(point: Point, measured: Measured) -> Point:
    """The point with the other machine's costs in place of this one's; without any where there are none."""
    found = measured.points.get(point.key)
    kept = {name: quantity for name, quantity in point.metrics.items() if name not in UNITS}
    notes = {name: note for name, note in point.notes.items() if name not in (*_STALE, "times_faster")}
    if found is None:
        return replace(point, metrics=kept, notes=notes)
    said = {"kit": measured.kit, "processor": measured.environment.processor}
    return replace(point, metrics={**kept, **found.metrics}, notes={**notes, **found.notes, "measured": said})


def _chosen(
    goal: Goal, measured: Measured, candidates: Mapping[str, Point], *, higher_is_better: bool
) -> tuple[Status, str]:
    """The status and the key, by the limits that can be judged."""
    ratio = measured.ratio if goal.minimize == "latency" else None
    feasible = {
        key: point
        for key, point in candidates.items()
        if not misses(goal, point.metrics) and goal.cost_metric in point.metrics
    }
    proved = [_option(goal, point) for point in feasible.values() if is_proved(point)]
    if proved:
        return "certified", choose(proved, ratio)
    # Without the outputs no standard error is known: none is safe, and the smallest drop is picked.
    entries = [Estimated(_option(goal, point), _valid_drop(point), math.inf) for point in feasible.values()]
    key = estimate(entries, epsilon=goal.max_drop, test_drop=lambda each: _test_drop(candidates[each]), ratio=ratio)
    if key is not None and not _misses(goal, candidates[key], higher_is_better=higher_is_better):
        return "estimated", key
    missed = {
        each: _misses(goal, point, higher_is_better=higher_is_better)
        for each, point in candidates.items()
        if goal.cost_metric in point.metrics
    }
    return "infeasible", nearest(missed)


def _option(goal: Goal, point: Point) -> Option:
    metrics = point.metrics
    return Option(point.key, metrics[goal.cost_metric], metrics["size_bytes"].value, metrics["parameters"].value)


def _valid_drop(point: Point) -> float:
    drop = point.notes.get("valid_drop")
    return float(drop) if isinstance(drop, int | float) else math.inf


def _test_drop(point: Point) -> float:
    """The drop on the test rows where it was tested; no reason to doubt where it was not."""
    value = (point.notes.get("proof") or {}).get("value")
    return -math.inf if value is None else float(value)


def _misses(goal: Goal, point: Point, *, higher_is_better: bool) -> tuple[Miss, ...]:
    drop = max(_valid_drop(point), _test_drop(point))
    return misses(goal, point.metrics, drop=drop, quality=_quality(goal, point), higher_is_better=higher_is_better)


def _quality(goal: Goal, point: Point) -> float | None:
    """The quality on the test rows where it is known, else on the validation rows."""
    found = point.metrics.get(f"{goal.metric}_test") or point.metrics.get(goal.metric or "")
    return None if found is None else found.value


def _is_higher_better(old: Outcome, points: Mapping[str, Point]) -> bool:
    """Which way the metric points: ours say it; of a stranger's, a drop and the quality it goes with do."""
    name = old.drop.metric
    if name in METRICS:
        return METRICS[name].higher_is_better
    best = points[old.reference.key].metrics[name].value
    for point in points.values():
        lost = _valid_drop(point)
        if math.isfinite(lost) and lost and point.metrics[name].value != best:
            return (point.metrics[name].value < best) == (lost > 0)
    return True


def _front(choice: _Choice) -> list[str]:
    """Keys not dominated in quality and in what costs count, by latency; and the chosen one."""
    asked = {choice.judged.cost_metric, *(limit.metric for limit in choice.judged.limits)}
    names = ("latency_p50_s", "size_bytes", *sorted(asked - {"latency_p50_s", "size_bytes"}))
    points = list(choice.points.values())
    rows = [[_valid_drop(point), *(_value(point.metrics.get(name)) for name in names)] for point in points]
    mask = non_dominated(np.array(rows, dtype=np.float64))
    kept = {point.key for point, on_front in zip(points, mask, strict=True) if on_front} | {choice.key}
    return sorted(kept, key=lambda key: choice.points[key].metrics["latency_p50_s"].value)


def _value(quantity: Quantity | None) -> float:
    return math.nan if quantity is None else quantity.value


def _explained(old: Outcome, measured: Measured, choice: _Choice) -> dict[str, Point]:
    """The points with scores and reasons by their new costs; the reference too where it could not be measured."""
    scores = columns([_scored(point) for point in choice.points.values() if math.isfinite(_valid_drop(point))])
    unknown: dict[str, float | None] = {"knee": None, "weighted": None, "efficiency": None}
    certified = _certified(choice.points)
    ratio = measured.ratio(old.reference.key, choice.key)
    found = {}
    for key, point in {**choice.points, choice.reference.key: choice.reference}.items():
        notes = dict(point.notes)
        if key == choice.key and ratio is not None:
            notes["times_faster"] = ratio.to_json()
        why = reason(
            _standing(old, choice, point),
            chosen=choice.key,
            status="certified"
            if choice.status == "estimated" and is_proved(choice.points[choice.key])
            else choice.status,
            certified=certified,
            epsilon=choice.goal.max_drop,
            cost=choice.goal.minimize,
        )
        found[key] = replace(point, reason=why, scores=scores.get(key, unknown), notes=notes)
    return found


def _scored(point: Point) -> Scored:
    metrics = point.metrics
    names = {"parameters": "parameters", "macs": "macs", "train_s": "train_s", "speed_per_s": "throughput_per_s"}
    rest = {name: metrics[metric].value for name, metric in names.items() if metric in metrics}
    return Scored(point.key, _valid_drop(point), metrics["latency_p50_s"].value, metrics["size_bytes"].value, **rest)


def _standing(old: Outcome, choice: _Choice, point: Point) -> Standing:
    cost, chosen = choice.goal.cost_metric, choice.points[choice.key].metrics
    drop = _valid_drop(point)
    own = [miss for miss in choice.missed if miss.is_judged] if point.key == choice.key else None
    return Standing(
        key=point.key,
        is_reference=point.key == old.reference.key,
        is_baseline=point.family == "baseline",
        misses=misses(choice.judged, point.metrics, drop=drop) if own is None else own,
        dominated_by=_dominator(old, choice, point),
        drop=drop,
        dearer_by=point.metrics[cost].value / chosen[cost].value - 1
        if cost in point.metrics and chosen[cost].value > 0
        else None,
    )


def _dominator(old: Outcome, choice: _Choice, point: Point) -> str | None:
    """A candidate that is no worse in quality and in the minimised cost, and better in one."""
    mine = _pair(choice, point)
    for other in choice.points.values():
        theirs = _pair(choice, other)
        is_other = other.key not in (point.key, old.reference.key)
        if is_other and theirs != mine and all(a <= b for a, b in zip(theirs, mine, strict=True)):
            return str(other.candidate)
    return None


def _pair(choice: _Choice, point: Point) -> tuple[float, float]:
    return _valid_drop(point), _value(point.metrics.get(choice.goal.cost_metric))


def _certified(points: Mapping[str, Point]) -> Certified | None:
    """What testing proved, as far as the points tell: those proved, and the one it stopped at."""
    names = Proof.__dataclass_fields__
    told = {key: point.notes["proof"] for key, point in points.items() if point.notes.get("proof")}
    proofs = {key: Proof(**{name: plain[name] for name in names}) for key, plain in told.items()}
    rejected = tuple(key for key in proofs if is_proved(points[key]))
    stopped = next((key for key, proof in proofs.items() if not proof.rejected), None)
    order = (*rejected, *([stopped] if stopped else []))
    return Certified(order, proofs, rejected, stopped) if order else None


def _notices(old: Outcome, measured: Measured, choice: _Choice) -> tuple[str, ...]:
    """What the reader must know: where the costs are from, what was left out, what was not judged."""
    stale = (REFERENCE_IS_ENOUGH, REFERENCE_IS_CHEAPER.partition("{")[0])
    kept = [notice for notice in old.notices if not notice.startswith(stale)]
    chosen = choice.points[choice.key].metrics
    about = cost_notices(choice.judged, choice.status, chosen, choice.reference.metrics)
    return (*kept, _origin(old, measured), *_left_out(old, measured), *_not_judged(measured, choice), *about)


def _origin(old: Outcome, measured: Measured) -> str:
    how = measured.how
    rows = "real rows" if how.get("inputs") == "samples" else "random inputs"
    threads = "1 thread" if how["threads"] == 1 else f"{how['threads']} threads"
    return (
        f"latency and memory were measured on {measured.environment.processor} by a kit ({measured.kit}, batch "
        f"{how['batch']}, {threads}, {how['processes']} processes, {rows}), not here; quality and training times are "
        f"from {old.environment.processor}"
    )


def _left_out(old: Outcome, measured: Measured) -> Sequence[str]:
    """Points that are no candidates, because nothing is known of what they cost there."""
    said = [f"{key} could not be measured there: {why.rstrip('.')}" for key, why in measured.failures.items()]
    rest = [p for p in old.points if p.key not in measured.points and p.key not in measured.failures]
    if rest:
        names = "; ".join(str(point.candidate) for point in rest[:NAMED])
        more = f"; and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
        said.append(f"not measured by the kit, so no candidates: {names}{more}")
    twin = measured.how.get("twin")
    if isinstance(twin, Mapping) and twin.get("is_different"):
        said.append(
            "one file seemed to differ from itself on that machine: its figures are noisier than their intervals"
        )
    return said


def _not_judged(measured: Measured, choice: _Choice) -> list[str]:
    return [
        f"the limit {limit.option} was not judged: {limit.metric} was not measured there "
        f"({measured.absent.get(limit.metric, 'no figure').rstrip('.')}), and figures from here say nothing of it"
        for limit in choice.unjudged
    ]
