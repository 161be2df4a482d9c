"""Confirms what promises most: estimates of shared weights where there are any, expected gain of hypervolume always."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.core.candidate import Candidate, Setting, Space, StepSetting
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial
from steelyard.strategies.features import features_of
from steelyard.strategies.promising import most_promising
from steelyard.strategies.shrink import SHRINK
from steelyard.strategies.slim import propose_structure
from steelyard.strategies.surrogate import predict
from steelyard.strategies.uniform import random_order

Array = NDArray[np.float64]
MOST_CANDIDATES = 4_000
"""Candidates that are weighed; of a larger space a sample, with those that are known or explored."""
WORST_SHARE = 0.25
"""A model that has lost this part of what there is to learn, between the baseline and the best, is of no use."""
LEAST_LOOKS, MOST_LOOKS = 8, 300
"""Candidates whose cost was looked at from which those of others are forecast, and how many are used for it."""
Form = tuple[tuple[StepSetting, ...], tuple[tuple[str, Setting], ...]]
"""What one scale is tried as: its steps, and the options it is loaded with."""
PLAIN: Form = ((), ())
NOTHING = (math.nan, math.nan)
"""What is known where no look was taken: no loss, no cost."""
SLACK = math.log(1.2)
"""Beyond the largest model's cost, in logarithms: what costs more is of no use either."""


@dataclass(frozen=True, slots=True)
class Elastic:
    """Proposes the candidate whose confirmation is expected to add most hypervolume of (loss of quality, cost).

    Where an elastic model has been explored, its estimates are the first guess: their observed error against what is
    confirmed decides how far they are believed. The cost is the one that the goal minimises. Of a model that is given,
    `slim` proposes the structures that were explored; where none were, `shrink` walks the pipelines.
    """

    name: str = "elastic"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The next candidate; None when all are finished or pending."""
        if len(space.families) == 1 and not space.families[0].knobs:
            # One model as it is given: its structures where they were explored, else its pipelines.
            if any(each.steps for each in problem.explored()):
                return propose_structure(space, finished, pending, problem)
            return SHRINK.propose(space, finished, pending, problem)
        failed = {trial.key for trial in finished if problem.score(trial) is None}
        weighed = [each for each in weighed_of(space, finished, pending, problem) if each.key not in failed]
        place = {candidate.key: at for at, candidate in enumerate(weighed)}
        barred = [place[each.key] for each in pending if each.key in place]
        scores = {place[trial.key]: problem.score(trial) for trial in finished if trial.key in place}
        told = {at: (score[0], score[problem.minimized]) for at, score in scores.items() if score is not None}
        if len(told) + len(barred) >= len(weighed):
            return None
        known = np.array(sorted(told), np.int64)
        objectives = np.array([told[at] for at in known], np.float64).reshape(-1, 2)
        features = features_of(space, weighed)
        estimates, costs = estimates_of(weighed, features, known, objectives, problem)
        chosen = most_promising(
            features,
            known,
            objectives,
            costs=costs,
            estimates=estimates,
            reference=_reference(finished, objectives, estimates, costs, problem),
            pending=barred,
            seed=problem.seed,
        )
        return weighed[chosen]


def weighed_of(
    space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
) -> tuple[Candidate, ...]:
    """The candidates that are weighed: all of a small space, else what is known or explored, and a sample."""
    if space.size <= MOST_CANDIDATES:
        return tuple(space.candidates())
    begun = [each for each in (*(trial.candidate for trial in finished), *pending) if each in space]
    explored = [
        Candidate(each.family, each.scale, steps, space.runtime, options)
        for each in problem.explored()
        if each.is_plain
        for steps, options in space.forms(space.family(each.family))
    ]
    found = dict.fromkeys((*begun, *explored[:MOST_CANDIDATES]))
    for candidate in random_order(space, problem.seed):
        if len(found) >= MOST_CANDIDATES:
            break
        found.setdefault(candidate)
    return tuple(found)


def estimates_of(
    weighed: Sequence[Candidate], features: Array, known: NDArray[np.int64], objectives: Array, problem: Problem
) -> tuple[Array | None, Array | None]:
    """Losses by shared weights, NaN where there is none, and costs (n, 1); None where too little is known."""
    guesses = [problem.estimate(candidate.uncompressed) for candidate in weighed]
    if all(guess is None for guess in guesses):
        return None, None
    losses = np.array([math.nan if guess is None else guess[0] for guess in guesses])
    costs = np.array([math.nan if guess is None else guess[1] for guess in guesses])
    seen = np.flatnonzero(np.isfinite(costs))
    missing = np.flatnonzero(~np.isfinite(costs))
    forms = [(candidate.steps, candidate.options) for candidate in weighed]
    looks = np.array(
        [
            (None if form == PLAIN else problem.estimate(each)) or NOTHING
            for each, form in zip(weighed, forms, strict=True)
        ]
    )
    if len(seen) < LEAST_LOOKS:
        return _moved(losses, looks[:, 0], forms), None
    if len(missing):
        # A scale that no look was taken at costs about what those like it do.
        some = seen[:: max(1, len(seen) // MOST_LOOKS)]
        costs[missing] = predict(features[some], costs[some][:, None], features[missing]).means[:, 0]
    losses, costs = _moved(losses, looks[:, 0], forms), _moved(costs, looks[:, 1], forms)
    # What is confirmed of a form tells how its cost relates to what looks say of it.
    gaps: dict[Form, list[float]] = {}
    for at, (_, cost) in zip(known, objectives, strict=True):
        gaps.setdefault(forms[at], []).append(float(cost - costs[at]))
    plain = float(np.median(gaps.get(PLAIN, [0.0])))
    costs = costs + np.array([float(np.median(gaps[form])) if form in gaps else plain for form in forms])
    costs[known] = objectives[:, 1]
    return losses, costs[:, None]


def _moved(values: Array, looks: Array, forms: Sequence[Form]) -> Array:
    """What a look at a form itself found; of others the uncompressed scale's, moved as that form moved others.

    Args:
        values: (n,) losses or costs of the uncompressed scale of each candidate.
        looks: (n,) what looks found of the candidate itself, NaN where there was none.
        forms: n, the steps and options of each.
    """
    moves: dict[Form, list[float]] = {}
    for at in np.flatnonzero(np.isfinite(looks) & np.isfinite(values)).tolist():
        moves.setdefault(forms[at], []).append(float(looks[at] - values[at]))
    middle = {form: float(np.median(each)) for form, each in moves.items()}
    moved = values + np.array([middle.get(form, 0.0) for form in forms])
    return np.where(np.isfinite(looks), looks, moved)


def _reference(
    finished: Sequence[Trial], objectives: Array, estimates: Array | None, costs: Array | None, problem: Problem
) -> Array:
    """The worst corner: a quarter of the way from the best loss to the baseline's, and beyond the dearest cost.

    Without a baseline it is the worst loss that is known or estimated. While nothing is confirmed yet, because the
    reference is still measured, what is estimated takes its place.
    """
    losses = objectives[:, 0] if estimates is None else np.append(estimates, objectives[:, 0])
    if len(objectives):
        best, dearest = float(objectives[:, 0].min()), float(objectives[:, 1].max())
    elif estimates is not None and costs is not None:
        best, dearest = float(np.nanmin(estimates)), float(costs.max())
    else:
        return np.array([np.inf, np.inf])
    baseline = [
        score[0] for trial in finished if trial.candidate.family == "baseline" and (score := problem.score(trial))
    ]
    worst = float(np.nanmax(losses))
    if baseline and baseline[0] > best:
        worst = best + WORST_SHARE * (baseline[0] - best)
    return np.array([max(worst, best + 1e-9), dearest + SLACK])


ELASTIC = Elastic()
"""The entry of the registry."""
