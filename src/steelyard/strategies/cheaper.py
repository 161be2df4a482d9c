"""Confirms what shared weights promise to be a cheaper answer to one goal than anything confirmed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from steelyard.core.candidate import Candidate, Space
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial
from steelyard.strategies.elastic import estimates_of, weighed_of
from steelyard.strategies.features import features_of
from steelyard.strategies.forecast import Evidence, error_of_estimates, forecast

LEAST_CHANCE = 0.5
"""Candidates that are less likely than this to keep within the permitted loss are not tried."""
LEAST_SAVING = 0.05
"""Logarithm of the cost that a candidate has to save: under 5 % is not worth a training."""


@dataclass(frozen=True, slots=True)
class Cheaper:
    """Proposes the candidate with the largest expected saving; None as soon as none is likely to save anything.

    The saving is the logarithm of the cheapest good answer's cost over the candidate's, times the chance that its loss
    keeps within `allowed`, by the estimates of shared weights and their observed error.

    Attributes:
        allowed: the largest loss of quality that the goal permits, as `Problem.score` tells losses.
    """

    allowed: float
    name: str = "cheaper"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The next candidate; None where nothing good is confirmed, nothing is explored or nothing is to be saved."""
        scores = {trial.key: score for trial in finished if (score := problem.score(trial)) is not None}
        good = [
            scores[trial.key] for trial in finished if trial.key in scores and self._is_good(trial, finished, problem)
        ]
        if not good:
            return None
        least = min(score[problem.minimized] for score in good)
        begun = {trial.key for trial in finished} | {each.key for each in pending}
        weighed = [
            each
            for each in weighed_of(space, finished, pending, problem)
            if each.key in scores or each.key not in begun
        ]
        known = np.array([at for at, each in enumerate(weighed) if each.key in scores], np.int64)
        rows = np.array([at for at, each in enumerate(weighed) if each.key not in begun], np.int64)
        found = [(scores[weighed[at].key][0], scores[weighed[at].key][problem.minimized]) for at in known]
        objectives = np.array(found, np.float64).reshape(-1, 2)
        features = features_of(space, weighed)
        estimates, costs = estimates_of(weighed, features, known, objectives, problem)
        if estimates is None or costs is None or not len(rows):
            return None
        worth = self._worth(features, known, objectives, estimates, costs, rows, least)
        best = int(worth.argmax())
        return weighed[rows[best]] if worth[best] > 0 else None

    def _worth(  # noqa: PLR0917  what is known of the candidates, column by column
        self,
        features: NDArray[np.float64],
        known: NDArray[np.int64],
        objectives: NDArray[np.float64],
        estimates: NDArray[np.float64],
        costs: NDArray[np.float64],
        rows: NDArray[np.int64],
        least: float,
    ) -> NDArray[np.float64]:
        """(rows,) expected savings; 0 where the chance or the saving is too small."""
        error = error_of_estimates(estimates[known], objectives[:, 0], float(np.nanstd(estimates)))
        corner = np.array([math.inf, math.inf])
        told = forecast(Evidence(features, known, objectives, costs, estimates, corner, error), rows)
        spread = np.maximum(told.deviations[:, 0], 1e-12)
        chance = ndtr((self.allowed - told.means[:, 0]) / spread)
        saving = least - told.means[:, 1]
        return np.where((chance >= LEAST_CHANCE) & (saving >= LEAST_SAVING), chance * saving, 0.0)

    @staticmethod
    def _is_good(trial: Trial, finished: Sequence[Trial], problem: Problem) -> bool:
        return trial.candidate.family != "baseline" and problem.is_good_enough(trial, finished)
