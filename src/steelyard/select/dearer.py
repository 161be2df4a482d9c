"""Which measured candidates cost no more, for sure, than one that is not measured yet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Measured:
    """Candidates that were measured.

    Attributes:
        settings: (n, k) the places of their settings among the choices of k knobs, from small to large.
        forms: (n,) numbers; two candidates can be compared by their settings where the numbers are equal. Below 0 are
            those that no candidate can be compared with so, such as another family's.
        low: (n, m) lower ends of the intervals of m costs.
        high: (n, m) upper ends.
    """

    settings: NDArray[np.int64]
    forms: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def no_dearer(self, settings: NDArray[np.int64], form: int) -> NDArray[np.bool_]:
        """Which of them cost no more in anything than a candidate of these settings (k,) in this form.

        Larger settings are taken to cost as much or more, in every cost apart, unless measurements tell otherwise:
        where a smaller one was clearly dearer, the knobs in which that pair differs prove nothing about this cost. So
        a candidate costs at least what any smaller one was measured to, and others may be below that.

        Returns:
            (n,) mask. O(n² (k + m)).
        """
        below = (self.forms == form) & (self.settings <= settings).all(axis=1)
        differs = self.settings != settings
        mask = np.ones(len(self.forms), dtype=np.bool_)
        for cost, doubts in enumerate(self._doubts()):
            trusted = below & ~differs[:, doubts].any(axis=1)
            least = self.low[trusted, cost].max(initial=-np.inf)
            mask &= trusted | (self.high[:, cost] <= least)
        return mask

    def _doubts(self) -> list[NDArray[np.bool_]]:
        """By cost the knobs (k,) that may make a model cheaper: those of the pairs that say so, the closest pairs."""
        same = (self.forms[:, None] == self.forms[None, :]) & (self.forms >= 0)[:, None]
        ordered = same & (self.settings[:, None, :] <= self.settings[None, :, :]).all(axis=2)
        found = []
        for cost in range(self.low.shape[1]):
            first, second = np.nonzero(ordered & (self.low[:, None, cost] > self.high[None, :, cost]))
            pairs = {
                frozenset(np.flatnonzero(self.settings[i] != self.settings[j]).tolist())
                for i, j in zip(first, second, strict=True)
            }
            closest = [each for each in pairs if not any(other < each for other in pairs)]
            doubts = np.zeros(self.settings.shape[1], dtype=np.bool_)
            doubts[sorted({knob for each in closest for knob in each})] = True
            found.append(doubts)
        return found
