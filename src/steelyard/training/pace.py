"""How the learning rate goes over a recovery: by the time where that ends first, by the steps otherwise."""

import math
import time
from dataclasses import dataclass, field

WARM_STEPS = 10
"""Steps over which the rate grows to its full size, at most a tenth of all: AdamW's first estimates are rough."""
LEAST = 0.01
"""The part of the rate that is left at the end."""


@dataclass(slots=True)
class Pace:
    """Progress through a recovery of `limit_s` seconds and of `steps` steps, whichever end first.

    References:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017: the cosine.
    """

    limit_s: float
    steps: int
    start: float = field(default_factory=time.perf_counter)
    hurried: tuple[int, float, int] | None = None

    def progress(self, step: int) -> float:
        """From 0 at the start to 1 at the end."""
        used_s = time.perf_counter() - self.start
        done = 1.0 if self.limit_s <= 0 else max(used_s / self.limit_s, step / self.steps)
        if self.hurried is not None:
            since, reached, span = self.hurried
            done = max(done, reached + (1 - reached) * (step - since) / span)
        return min(1.0, done)

    def factor(self, step: int) -> float:
        """What the full rate is multiplied with: a short warm-up, then a cosine to nearly nothing."""
        warm = max(1, min(WARM_STEPS, self.steps // 10))
        return min(1.0, (step + 1) / warm) * max(LEAST, 0.5 + 0.5 * math.cos(math.pi * self.progress(step)))

    def is_over(self, step: int) -> bool:
        """Whether no further step fits."""
        return self.progress(step) >= 1

    def hurry(self, step: int, span: int) -> None:
        """End within `span` further steps; the rate falls from where it is."""
        self.hurried = (step, self.progress(step), span)

    def why_over(self) -> str:
        """What ended it: "time limit", "no longer improving" where it was hurried, or "epochs"."""
        if time.perf_counter() - self.start >= self.limit_s:
            return "time limit"
        return "no longer improving" if self.is_hurried else "epochs"

    @property
    def is_hurried(self) -> bool:
        """Whether it has been told to end."""
        return self.hurried is not None
