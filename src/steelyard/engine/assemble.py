"""From trials and a verdict to the outcome: points with reasons, the front, counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from steelyard.core.environment import Environment
from steelyard.core.outcome import Deciding, FailedTrial, Miss, Outcome, Point, StoppedTrial
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure, Measurement, Trial
from steelyard.core.wire import content_key
from steelyard.engine import exploring, halving
from steelyard.engine.certify import Metrics, Verdict
from steelyard.engine.contest import contest
from steelyard.engine.explaining import explanation
from steelyard.engine.gate import dropped
from steelyard.engine.plan import Plan
from steelyard.engine.scaling import scalings
from steelyard.select.deciding import PROOF, Contender, asked_of, deciding
from steelyard.select.diagnosis import diagnose
from steelyard.select.explain import Standing, reason
from steelyard.select.limits import misses
from steelyard.select.pareto import non_dominated
from steelyard.select.quality import loss
from steelyard.select.scores import Scored, columns
from steelyard.store.study import Study

SHOWN_CURVES = 40
"""Points whose training curve is kept in the outcome; the study has them all."""


def assemble(  # noqa: PLR0917  what the pipeline hands over
    plan: Plan,
    study: Study,
    verdict: Verdict,
    trials: Sequence[Trial],
    environment: Environment,
    spent: Mapping[str, float],
) -> Outcome:
    """The outcome of a goal, without the paths of a bundle."""
    confirmed = [trial for trial in trials if isinstance(trial.outcome, Measurement)]
    front = _front(plan, verdict, confirmed)
    points = {point.key: point for point in _points(plan, study, verdict, confirmed)}
    failures = [
        FailedTrial(trial.key, trial.outcome.stage, trial.outcome.message, str(trial.candidate))
        for trial in trials
        if isinstance(trial.outcome, Failure)
    ]
    stopped = tuple(
        StoppedTrial(trial.key, end.epoch, end.quality, end.needed, end.why, str(trial.candidate))
        for trial, end in halving.stopped_trials(trials)
    )
    scaling, untold = scalings(plan, verdict.metrics, confirmed)
    won = contest(plan.metric, verdict.metrics, confirmed)
    outcome = Outcome(
        study=content_key(plan.identity),
        task=plan.task.name,
        status=verdict.status,
        goal=plan.goal,
        chosen=points[verdict.chosen.key],
        reference=points[verdict.reference.key],
        front=tuple(points[key] for key in front),
        points=tuple(points.values()),
        misses=verdict.misses,
        drop=verdict.drop,
        counts=_counts(trials, exploring.explored_keys(study)),
        failures=tuple(failures),
        stopped=stopped,
        splits={**plan.rows, "how": plan.task.split_how},
        spent={name: seconds for name, seconds in spent.items() if name != "wall_s"},
        wall_s=spent["wall_s"],
        bundle=plan.out.resolve(),
        environment=environment,
        facts=plan.task.facts,
        notices=(
            *study.get("notices", []),
            *halving.told(trials, plan),
            *verdict.notices,
            *untold,
            *([won] if won else ()),
        ),
        scaling=scaling,
        exploring=exploring.told(study, trials, plan.metric),
        decided=_decided(plan, verdict, confirmed),
        scenario=plan.scenario,
    )
    if plan.given is None:
        return outcome
    told = explanation(outcome.points, outcome.chosen, metric=plan.goal_metric, flips=verdict.flips)
    return replace(outcome, gate=verdict.gate, explanation=told)


def _decided(plan: Plan, verdict: Verdict, confirmed: Sequence[Trial]) -> tuple[Deciding, ...]:
    """Which limits the choice hung on."""
    contenders = []
    for trial in confirmed:
        cost = verdict.metrics[trial.key].get(plan.goal.cost_metric)
        if trial.candidate.family == "baseline" or cost is None or trial.key in dropped(verdict.gate):
            continue
        missed = {each.limit for each in _missed(plan, verdict, trial)}
        if (
            verdict.status == "certified"
            and verdict.certified is not None
            and not missed
            and trial.key not in (*verdict.certified.rejected, verdict.reference.key)
        ):
            missed = {PROOF}
        contenders.append(Contender(trial.key, str(trial.candidate), cost.value, frozenset(missed)))
    return deciding(contenders, verdict.chosen.key, asked_of(plan.goal))


def _missed(plan: Plan, verdict: Verdict, trial: Trial) -> tuple[Miss, ...]:
    if trial.key == verdict.chosen.key:
        return verdict.misses
    metrics = verdict.metrics[trial.key]
    return misses(
        plan.goal,
        metrics,
        drop=verdict.valid_drops[trial.key],
        quality=metrics[plan.goal_metric].value,
        higher_is_better=plan.metric.higher_is_better,
    )


def _counts(trials: Sequence[Trial], explored: set[str]) -> dict[str, int]:
    """Explored: quality was computed at all; trained: own weights trained; measured: confirmed; failed: ended so."""
    measured = sum(isinstance(trial.outcome, Measurement) for trial in trials)
    late = sum(isinstance(trial.outcome, Failure) and trial.outcome.stage == "measure" for trial in trials)
    stopped = {trial.key for trial, _ in halving.stopped_trials(trials)}
    known = {
        trial.key
        for trial in trials
        if isinstance(trial.outcome, Measurement)
        or (isinstance(trial.outcome, Failure) and trial.outcome.stage == "measure")
    }
    counts = {
        "explored": measured + late + len((explored | stopped) - known),
        "trained": sum(trial.trained for trial in trials),
        "measured": measured,
        "failed": len(trials) - measured - len(stopped),
    }
    return {**counts, "stopped": len(stopped)} if stopped else counts


def _front(plan: Plan, verdict: Verdict, confirmed: Sequence[Trial]) -> list[str]:
    """Keys not dominated in quality, latency, size and any limited or minimised cost, by latency; and the chosen."""
    names = _cost_names(plan)
    rows = [
        [loss(plan.metric, verdict.metrics[trial.key][plan.goal_metric].value)]
        + [_value(verdict.metrics[trial.key].get(name)) for name in names]
        for trial in confirmed
    ]
    mask = non_dominated(np.array(rows, dtype=np.float64))
    kept = [trial.key for trial, on_front in zip(confirmed, mask, strict=True) if on_front]
    if verdict.chosen.key not in kept:
        kept.append(verdict.chosen.key)
    return sorted(kept, key=lambda key: verdict.metrics[key]["latency_p50_s"].value)


def _cost_names(plan: Plan) -> list[str]:
    asked = {plan.goal.cost_metric, *(limit.metric for limit in plan.goal.limits)}
    return ["latency_p50_s", "size_bytes", *sorted(asked - {"latency_p50_s", "size_bytes"})]


def _value(quantity: Quantity | None) -> float:
    return float("nan") if quantity is None else quantity.value


def _points(plan: Plan, study: Study, verdict: Verdict, confirmed: Sequence[Trial]) -> list[Point]:
    scores = columns([_scored(plan, trial, verdict.metrics[trial.key]) for trial in confirmed])
    qualities = [verdict.metrics[trial.key][plan.goal_metric].value for trial in confirmed]
    best = min(qualities, key=lambda value: loss(plan.metric, value))
    floor = study.get("latency_floor_s")
    points = []
    for trial in confirmed:
        metrics = dict(verdict.metrics[trial.key])
        if floor is not None:
            metrics["latency_floor_s"] = Quantity.from_json(floor)
        points.append(
            Point(
                candidate=trial.candidate,
                artifact="",
                metrics=metrics,
                reason=_reason(plan, verdict, trial, confirmed),
                scores=scores[trial.key],
                notes=_notes(plan, verdict, trial, best),
            )
        )
    return points


def _scored(plan: Plan, trial: Trial, metrics: Metrics) -> Scored:
    return Scored(
        key=trial.key,
        loss=loss(plan.metric, metrics[plan.goal_metric].value),
        latency_s=metrics["latency_p50_s"].value,
        size_bytes=metrics["size_bytes"].value,
        parameters=metrics["parameters"].value,
        macs=metrics["macs"].value,
        train_s=metrics["train_s"].value,
        speed_per_s=metrics["throughput_per_s"].value,
    )


def _notes(plan: Plan, verdict: Verdict, trial: Trial, best: float) -> dict[str, object]:
    """What is told of a point beside its figures."""
    if not isinstance(trial.outcome, Measurement):
        return {}
    kept = dict(trial.outcome.notes)
    if trial.number >= SHOWN_CURVES and trial.key not in (verdict.chosen.key, verdict.reference.key):
        kept.pop("curve", None)
    name = plan.goal_metric
    metrics = verdict.metrics[trial.key]
    if plan.given is None and not plan.task.environment:
        # How a model fits that somebody else has trained is no question of its size; what plays has no training rows.
        found = diagnose(metrics[f"{name}_train"], metrics[name], best, plan.metric)
        kept["diagnosis"] = found.verdict
        kept["diagnosis_text"] = found.sentence
    kept["valid_drop"] = verdict.valid_drops[trial.key]
    if trial.key in verdict.proofs:
        kept["proof"] = verdict.proofs[trial.key]
    if trial.key == verdict.chosen.key and verdict.ratio is not None:
        kept["times_faster"] = verdict.ratio.to_json()
    return kept


def _reason(plan: Plan, verdict: Verdict, trial: Trial, confirmed: Sequence[Trial]) -> str:
    metrics, cost = verdict.metrics[trial.key], plan.goal.cost_metric
    chosen = verdict.metrics[verdict.chosen.key]
    drop = verdict.valid_drops[trial.key]
    standing = Standing(
        key=trial.key,
        is_reference=trial.key == verdict.reference.key,
        is_baseline=trial.candidate.family == "baseline",
        misses=verdict.misses if trial.key == verdict.chosen.key else misses(plan.goal, metrics, drop=drop),
        dominated_by=_dominator(plan, verdict, trial, confirmed),
        drop=drop,
        dearer_by=_value(metrics.get(cost)) / chosen[cost].value - 1 if chosen[cost].value > 0 else None,
        stopped_by=dropped(verdict.gate).get(trial.key),
    )
    return reason(
        standing,
        chosen=verdict.chosen.key,
        status=verdict.status,
        certified=verdict.certified,
        epsilon=plan.goal.max_drop,
        cost=plan.goal.minimize,
    )


def _dominator(plan: Plan, verdict: Verdict, trial: Trial, confirmed: Sequence[Trial]) -> str | None:
    """A candidate that is no worse in quality and in the minimised cost, and better in one."""
    mine = _pair(plan, verdict, trial)
    for other in confirmed:
        if other.key in (trial.key, verdict.reference.key):
            continue
        theirs = _pair(plan, verdict, other)
        if theirs != mine and all(a <= b for a, b in zip(theirs, mine, strict=True)):
            return str(other.candidate)
    return None


def _pair(plan: Plan, verdict: Verdict, trial: Trial) -> tuple[float, float]:
    metrics = verdict.metrics[trial.key]
    return loss(plan.metric, metrics[plan.goal_metric].value), _value(metrics.get(plan.goal.cost_metric))
