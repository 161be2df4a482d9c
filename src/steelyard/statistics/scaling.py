"""How quality grows with the logarithm of each knob, and the way to grow all of them that gains most for the cost.

The logarithm of the loss is a sum over knobs, each a mixture of power laws with weights of at least 0: so it falls, by
ever less, and the best way to spend a doubling of the cost is a convex problem with one answer.

References:
    M. Tan and Q. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019 (the
    constraint and the search of its grid).
    J. Rosenfeld et al., A constructive prediction of the generalization error across scales, ICLR 2020 (power laws in
    depth and width).
    C. Lawson and R. Hanson, Solving least squares problems, Prentice-Hall 1974, chapter 23 (weights of at least 0).
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Floats = NDArray[np.float64]

PUBLISHED = {"depth": 1.0, "width": 2.0, "resolution": 2.0}
"""Knobs that can grow together, and how often the cost doubles when one is doubled: α β² γ² = 2 (Tan and Le, 2019)."""
POWERS = (0.0, 0.5, 1.0, 2.0)
"""Exponents of the power laws that are mixed; 0 is the limit, a line in the logarithm."""
LEAST = 8
"""Distinct scales that a fit needs: a level, three knobs with a slope and a bend each, and one to spare."""
CHEAPEST = 0.5
"""The least exponent of a cost that was measured: what is next to free would else grow far beyond what was measured."""
STEPS = 50
"""Steps of the grid of shares that a doubling is divided by."""
DRAWS = 300
"""Bootstrap draws: enough for the ends of a 95 % interval of a factor that is read to two digits."""
LITTLE = 0.02
"""A share of a doubling below which a knob counts as not growing."""


@dataclass(frozen=True, slots=True)
class Response:
    """How a loss is turned into what the law adds up: its logarithm where the losses are errors.

    Losses that are all positive are errors; all in [-1, 0] they are shares that are right, whose complement is the
    error; of others the law adds up the loss itself.
    """

    is_log: bool
    shift: float = 0.0
    floor: float = 0.0

    @classmethod
    def of(cls, losses: Floats) -> "Response":
        """The response for losses (n,), lower is better. No error counts as half of the least above 0."""
        shift = 1.0 if bool(np.all((losses >= -1.0) & (losses <= 0.0))) else 0.0
        errors = losses + shift
        above = errors[errors > 0]
        if not len(above) or np.any(errors < 0):
            return cls(is_log=False)
        return cls(is_log=True, shift=shift, floor=float(above.min()) / 2)

    def forward(self, losses: Floats) -> Floats:
        """The response (n,) of losses (n,)."""
        return np.log(np.maximum(losses + self.shift, self.floor)) if self.is_log else losses

    def backward(self, responses: Floats) -> Floats:
        """The losses (n,) of responses (n,)."""
        return np.exp(responses) - self.shift if self.is_log else responses

    def spread(self, losses: Floats, errors: Floats) -> Floats:
        """Standard errors (n,) of the response from those of the losses, by the delta method."""
        return errors / np.maximum(losses + self.shift, self.floor) if self.is_log else errors


@dataclass(frozen=True, slots=True)
class Law:
    """The response as a function of log2 settings: `level` − Σ over knobs and powers of weight × growth.

    Attributes:
        level: the response at the centre.
        weights: (knobs, powers), at least 0.
        centre: (knobs,) log2 settings that growth is counted from.
    """

    level: float
    weights: Floats
    centre: Floats

    def parts(self, at: Floats) -> Floats:
        """What each knob takes off the response (n, knobs) at log2 settings (n, knobs); 0 at the centre."""
        parts: Floats = (_growth(at - self.centre) * self.weights).sum(axis=-1)
        return parts

    def __call__(self, at: Floats) -> Floats:
        """The response (n,) at log2 settings (n, knobs)."""
        return np.asarray(self.level - self.parts(at).sum(axis=-1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Fit:
    """A law with what it was fitted to.

    `levels` (1 + groups,) has the law's own and the shift of each group; `fitted` and `deviations` (n,) are the
    response by the law and the standard deviation of each point from it; `r_squared` is the share of the scatter
    explained.
    """

    law: Law
    levels: Floats
    fitted: Floats
    deviations: Floats
    r_squared: float


def fit(at: Floats, responses: Floats, spreads: Floats | None, others: Floats) -> Fit:
    """Fit the law by weighted least squares, weights of at least 0.

    Args:
        at: (n, knobs) log2 settings.
        responses: (n,).
        spreads: (n,) standard errors, positive; None where not known. They say how much each point counts; how far
            points lie from the law says how much they scatter (the ratio of Birge, Physical Review 1932).
        others: (n, groups) of 0 and 1, settings of further knobs that shift the level; may have no column.

    Returns:
        The fit; the level of its law is where `others` are 0.
    """
    weigh = np.ones(len(responses)) if spreads is None else 1 / spreads
    centre = at.mean(axis=0)
    columns = _growth(at - centre).reshape(len(at), -1)
    shifts = np.column_stack([np.ones(len(at)), others]) * weigh[:, None]
    inverse = np.linalg.pinv(shifts)
    inner, target = columns * weigh[:, None], responses * weigh
    # What further knobs explain is taken out of both sides first (Frisch and Waugh, Econometrica 1933).
    weights, _ = optimize.nnls(shifts @ (inverse @ inner) - inner, target - shifts @ (inverse @ target))
    levels = inverse @ (target + inner @ weights)
    fitted = (shifts @ levels - inner @ weights) / weigh
    spare = len(at) - np.linalg.matrix_rank(shifts) - np.count_nonzero(weights)
    ratio = math.sqrt(float((((responses - fitted) * weigh) ** 2).sum()) / max(1, spare))
    law = Law(float(levels[0]), weights.reshape(at.shape[1], len(POWERS)), centre)
    base = target - shifts @ (inverse @ target)
    total = float((base**2).sum())
    left = float((((responses - fitted) * weigh) ** 2).sum())
    return Fit(law, levels, fitted, ratio / weigh, 1 - left / total if total > 0 else 1.0)


def shares(law: Law, base: Floats, exponents: Floats) -> Floats:
    """The shares (knobs,) of a doubling of the cost, summing to 1, that lower the response most from `base`.

    Searched on a grid as published. A share s of a knob multiplies it by 2^(s / exponent), so the cost doubles whatever
    the shares are.

    Args:
        law: the law.
        base: (knobs,) log2 settings.
        exponents: (knobs,) how often the cost doubles when a knob is doubled.
    """
    knobs = len(base)
    steps = np.arange(STEPS + 1) / STEPS
    gains = law.parts(base + steps[:, None] / exponents) - law.parts(base[None, :])
    grid = _simplex(knobs)
    total = gains[grid, np.arange(knobs)].sum(axis=1)
    # Of equals the most even is taken: rounding must not decide which.
    best = np.flatnonzero(total >= total.max() - 1e-12 * max(1.0, abs(float(total.max()))))
    evenest = best[np.argmin((grid[best].astype(np.float64) ** 2).sum(axis=1))]
    return np.asarray(grid[evenest] / STEPS, dtype=np.float64)


def resampled(
    found: Fit, at: Floats, others: Floats, spreads: Floats | None, *, seed: int, draws: int = DRAWS
) -> list[Law]:
    """Laws fitted to what might have been observed: the fit plus normal noise of each point's deviation.

    References:
        B. Efron and R. Tibshirani, An introduction to the bootstrap, 1993, section 6.5 (the parametric bootstrap).
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(draws, len(at))) * found.deviations
    return [fit(at, found.fitted + each, spreads, others).law for each in noise]


def mean_of(laws: Sequence[Law]) -> Law:
    """The mean of resampled laws, by which quality is told and growth is chosen.

    The best direction of one law jumps from knob to knob with the noise of single points; the mean bends more evenly.

    References:
        L. Breiman, Bagging predictors, Machine Learning, 1996.
    """
    level = float(np.mean([law.level for law in laws]))
    return Law(level, np.mean([law.weights for law in laws], axis=0), laws[0].centre)


def growth_of(law: Law, base: Floats, exponents: Floats) -> Floats:
    """By how many doublings (knobs,) each knob grows when the cost doubles: log2 of α, β, γ.

    Σ exponent × growth is 1, the constraint.
    """
    return np.asarray(shares(law, base, exponents) / exponents, dtype=np.float64)


def elasticities(at: Floats, costs: Floats, others: Floats) -> Floats:
    """How often a cost (n,) doubles when a knob is doubled (knobs,), by least squares in logarithms."""
    columns = np.column_stack([at - at.mean(axis=0), np.ones(len(at)), others])
    return np.asarray(np.linalg.lstsq(columns, np.log2(costs), rcond=None)[0][: at.shape[1]], dtype=np.float64)


def is_told_apart(at: Floats, others: Floats) -> bool:
    """Whether no knob moves in step with the others, so that what each one does can be told."""
    shifts = np.column_stack([np.ones(len(at)), others])
    both = np.column_stack([shifts, at - at.mean(axis=0)])
    return bool(np.linalg.matrix_rank(both, tol=1e-6) == np.linalg.matrix_rank(shifts, tol=1e-6) + at.shape[1])


@dataclass(frozen=True, slots=True)
class Way:
    """A way of scaling from a base within ranges, all in doublings (knobs,): each step of 1 doubles the cost.

    `parts` are the shares of a doubling that knobs take. A knob at its end leaves its share to those that grow, and
    once they are all at their ends, in equal parts to the rest, unless `is_alone`.
    """

    base: Floats
    low: Floats
    high: Floats
    parts: Floats
    exponents: Floats
    is_alone: bool = False

    def walk(self, *, up: bool, step: float = 1.0) -> Iterator[Floats]:
        """Settings (knobs,) after each step from the base, up or down, until the ways end."""
        at, sign = self.base, 1.0 if up else -1.0
        while True:
            room = (self.high - at if up else at - self.low) > 1e-9
            parts = self.parts * room
            if parts.sum() < LITTLE:
                if self.is_alone or not room.any():
                    return
                parts = room.astype(np.float64)
            move = sign * step * parts / parts.sum() / self.exponents
            at = np.minimum(np.maximum(at + move, self.low), self.high)
            yield at


def ladder(
    choices: Sequence[Sequence[float]], base: Sequence[float], parts: Sequence[float], exponents: Sequence[float]
) -> dict[int, tuple[int, ...]]:
    """Rungs along the compound line: φ to the places of the settings among their choices, 0 at the base.

    Each φ doubles the cost, as `Way` goes; settings are rounded in logarithms to the nearest choice. Rungs that round
    to the same settings are told once, by the φ nearest to 0.

    Args:
        choices: of each knob, positive and rising.
        base: setting of each knob, one of its choices.
        parts: the share of a doubling that each knob takes, summing to 1.
        exponents: how often the cost doubles when a knob is doubled.

    Returns:
        By rising φ; no setting falls from one rung to the next.
    """
    logs = [np.log2(np.asarray(each, dtype=np.float64)) for each in choices]
    low, high = (np.array([each[end] for each in logs]) for end in (0, -1))
    way = Way(np.log2(np.asarray(base, dtype=np.float64)), low, high, np.asarray(parts), np.asarray(exponents))
    rungs: dict[int, tuple[int, ...]] = {}
    for up in (True, False):
        for phi, at in enumerate(itertools.chain([way.base], way.walk(up=up))):
            places = tuple(int(np.argmin(np.abs(each - value))) for each, value in zip(logs, at, strict=True))
            if places not in rungs.values():
                rungs[phi if up else -phi] = places
    return dict(sorted(rungs.items()))


def _growth(distance: Floats) -> Floats:
    """What each power law takes off (..., powers) at a distance (...) in doublings: slope 1 at the centre."""
    powers = np.asarray(POWERS) * math.log(2)
    scaled = distance[..., None] * powers
    bent = -np.expm1(-scaled) / np.where(powers > 0, powers, 1.0)
    return np.where(powers > 0, bent, distance[..., None])


@functools.cache
def _simplex(knobs: int) -> NDArray[np.int64]:
    """Every division (rows, knobs) of `STEPS` steps among knobs."""
    if knobs == 1:
        return np.array([[STEPS]])
    mesh = np.meshgrid(*[np.arange(STEPS + 1)] * (knobs - 1), indexing="ij")
    free = np.stack([each.ravel() for each in mesh], axis=1)
    free = free[free.sum(axis=1) <= STEPS]
    return np.column_stack([free, STEPS - free.sum(axis=1)])
