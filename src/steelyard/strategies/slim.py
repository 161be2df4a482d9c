"""Which structure of a given model to confirm next, and what to finish it with, where shared weights were explored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.core.candidate import Candidate, Space
from steelyard.core.protocols import Problem
from steelyard.core.trial import Failure, Trial
from steelyard.strategies.promising import most_promising
from steelyard.strategies.shrink import EARLY, SAFE, SHRINK, Steps, children, finishes_of

Array = NDArray[np.float64]
WITHIN = 0.9
"""The share of the permitted drop at which a structure is worth nothing: the rest is for chance on test rows."""
MOST_BODIES = 4_000
"""Explored structures that are weighed."""
SAVED = 2.0
"""The share of the permitted drop up to which a structure that failed is worth a second recovery."""


@dataclass(frozen=True, slots=True)
class _Slim:
    """What is known of the structures, and of the finishes of files."""

    space: Space
    finished: Sequence[Trial]
    pending: Sequence[Candidate]
    problem: Problem

    def propose(self) -> Candidate | None:
        """What is left of quick finishes, second recoveries, promising structures, other finishes, and the walk."""
        begun = {each.key for each in (*(trial.candidate for trial in self.finished), *self.pending)}
        quick = (self.plain, *self._finished_early(), *self._again())
        for each in quick:
            if each.key not in begun:
                return each
        found = self._body(begun)
        if found is not None:
            return found
        left = (self._with(body.steps, finish) for body in self._good() for finish in self._finishes())
        found = next((each for each in left if each.key not in begun), None)
        return found or SHRINK.propose(self.space, self.finished, self.pending, self.problem)

    @property
    def plain(self) -> Candidate:
        """The model as it is."""
        return self.space.references()[0]

    def _with(self, body: Steps, finish: Steps) -> Candidate:
        return Candidate(self.plain.family, self.plain.scale, body + finish, self.plain.runtime)

    def _finishes(self) -> list[Steps]:
        """Finishes of a file, those first that did best on the model as it is."""
        found = list(finishes_of(children(self.space.pipelines), ()))
        costs = {}
        for trial in self.finished:
            score = self.problem.score(trial)
            if score is not None and trial.candidate.steps in found:
                is_good = self.problem.is_good_enough(trial, self.finished)
                costs[trial.candidate.steps] = score[self.problem.minimized] + (0.0 if is_good else math.inf)
        return sorted(found, key=lambda each: costs.get(each, math.inf))

    def _finished_early(self) -> list[Candidate]:
        """The likeliest finishes of the model as it is, and the best of every good structure, the cheapest first."""
        first = [self._with((), finish) for finish in finishes_of(children(self.space.pipelines), ())][:EARLY]
        good = self._good()
        best = self._finishes()[:EARLY]
        return [
            *first,
            *(self._with(body.steps, finish) for body in good for finish in best[:1]),
            *(self._with(body.steps, finish) for body in good[:1] for finish in best),
        ]

    def _good(self) -> list[Candidate]:
        """Confirmed structures within the permitted drop that no cheaper one beats in quality, the cheapest first."""
        found = []
        for trial in self.finished:
            score, spent = self.problem.score(trial), self.problem.spent(trial.candidate, self.finished)
            if score is not None and spent is not None and spent <= 1 and self._is_body(trial.candidate):
                found.append((score[self.problem.minimized], spent, trial.candidate))
        front: list[Candidate] = []
        least = math.inf
        for _, spent, candidate in sorted(found, key=lambda each: each[:2]):
            if spent < least:
                front.append(candidate)
                least = spent
        return front

    def _again(self) -> list[Candidate]:
        """Second recoveries of structures that nearly passed and are cheaper than all that did."""
        good = {each.key for each in self._good()}
        cheapest = min((self._cost(trial) for trial in self.finished if trial.key in good), default=math.inf)
        found = []
        for trial in self.finished:
            spent = self.problem.spent(trial.candidate, self.finished)
            steps = trial.candidate.steps
            is_near = spent is not None and SAFE < spent <= SAVED
            is_once = self._is_body(trial.candidate) and steps[-2:] != steps[-1:] * 2
            if is_near and is_once and (self._cost(trial) < cheapest or trial.key in good):
                found.append((self._cost(trial), self._with(steps, steps[-1:])))
        return [each for _, each in sorted(found, key=lambda each: each[0])]

    def _cost(self, trial: Trial) -> float:
        score = self.problem.score(trial)
        return math.inf if score is None else score[self.problem.minimized]

    @staticmethod
    def _is_body(candidate: Candidate) -> bool:
        steps = candidate.steps
        return bool(steps) and "sizes" in dict(steps[0].settings) and all(each == steps[1] for each in steps[1:])

    def _body(self, begun: set[str]) -> Candidate | None:
        """The structure expected to add most hypervolume of (permitted drop, cost below that of the best so far)."""
        bodies = list(self.problem.explored())[:MOST_BODIES]
        worst = self.problem.worst_loss(self.finished, WITHIN)
        failed = {each.key for each in self.finished if isinstance(each.outcome, Failure)}
        weighed = [each for each in bodies if each.key not in failed]
        place = {each.key: at for at, each in enumerate(weighed)}
        scores = {place[each.key]: self.problem.score(each) for each in self.finished if each.key in place}
        told = {at: (score[0], score[self.problem.minimized]) for at, score in scores.items() if score is not None}
        barred = [place[each.key] for each in self.pending if each.key in place]
        if worst is None or len(told) + len(barred) >= len(weighed):
            return None
        plain = next(each for each in self.finished if each.key == self.plain.key)
        known = np.array(sorted(told), np.int64)
        objectives = np.array([told[at] for at in known], np.float64).reshape(-1, 2)
        estimates, costs = self._estimated(weighed, known, objectives)
        chosen = most_promising(
            _features(weighed),
            known,
            objectives,
            costs=costs,
            estimates=estimates,
            reference=np.array([worst, self._bar(plain)]),
            pending=barred,
            seed=self.problem.seed,
        )
        return weighed[chosen] if weighed[chosen].key not in begun else None

    def _bar(self, plain: Trial) -> float:
        """The cost that a structure must stay below to be of use: of the cheapest safe one, or of the plain model."""
        spent = {each.key: self.problem.spent(each.candidate, self.finished) for each in self.finished}
        safe = [each for each in self.finished if self._is_body(each.candidate) and _is_safe(spent[each.key])]
        return min((self._cost(each) for each in safe), default=self._cost(plain))

    def _estimated(
        self, weighed: Sequence[Candidate], known: NDArray[np.int64], objectives: Array
    ) -> tuple[Array, Array | None]:
        """Losses by the shared weights, and costs (n, 1) by quick looks, moved to what is confirmed of some."""
        guesses = [self.problem.estimate(each) or (math.nan, math.nan) for each in weighed]
        losses, costs = np.array(guesses).T
        if not np.isfinite(costs).all():
            return losses, None
        if len(known):
            costs = costs + float(np.median(objectives[:, 1] - costs[known]))
            costs[known] = objectives[:, 1]
        return losses, costs[:, None]


def propose_structure(
    space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
) -> Candidate | None:
    """The next candidate of a given model whose structures were explored by shared weights; None when all is done.

    The model as it is comes first with its likeliest finishes; then structure after structure, the most promising
    first. A good one gets the finish that did best so far, one that nearly passed a second recovery. What is left is
    walked as by `shrink`.
    """
    return _Slim(space, finished, pending, problem).propose()


def _is_safe(spent: float | None) -> bool:
    return spent is not None and spent <= SAFE


def _features(weighed: Sequence[Candidate]) -> Array:
    """(n, units): logarithms of the sizes."""
    texts = [str(dict(each.steps[0].settings)["sizes"]) for each in weighed]
    return np.log([[float(size) for size in text.split("-")] for text in texts])
