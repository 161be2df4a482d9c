"""How depth, width and resolution should grow together: a fit over measured scales, and the growth that gains most.

References:
    M. Tan and Q. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.core.candidate import Setting
from steelyard.core.quantity import Quantity
from steelyard.core.scaling import COMPOUND, Growth, Line, Scaling
from steelyard.statistics.scaling import (
    CHEAPEST,
    LEAST,
    PUBLISHED,
    Fit,
    Floats,
    Law,
    Response,
    Way,
    elasticities,
    fit,
    growth_of,
    is_told_apart,
    mean_of,
    resampled,
)

STEP = 0.25
"""Doublings of the cost between points of a predicted curve."""


@dataclass(frozen=True, slots=True)
class Sized:
    """One uncompressed scale that was measured.

    `loss` is the quality turned so that lower is better, `error` its standard error where known. `costs` are positive
    figures by name.
    """

    key: str
    settings: Mapping[str, Setting]
    loss: float
    error: float | None
    costs: Mapping[str, float]


def why_untold(rows: Sequence[Sized]) -> str | None:
    """One sentence why these scales can't tell how knobs should grow together; None where they can."""
    knobs = growing(rows)
    if len(knobs) < 2:
        return f"growing together takes two of {', '.join(PUBLISHED)} with two settings or more, got {len(knobs)}"
    scales = {tuple(sorted(row.settings.items())) for row in rows}
    if len(scales) < LEAST:
        return f"a fit of how knobs should grow together needs {LEAST} measured scales, got {len(scales)}"
    if not is_told_apart(_logs(rows, knobs), _others(rows, knobs)):
        return f"the measured scales move {' and '.join(knobs)} in step, so that what each one does can't be told"
    found = _fitted(rows, knobs)[1]
    if not found.law.weights.any():
        return f"none of {', '.join(knobs)} improves the quality of the measured scales, so nothing says how to grow"
    return None


def growing(rows: Sequence[Sized]) -> tuple[str, ...]:
    """The knobs among depth, width and resolution that are numbers above 0 and take two settings or more."""
    return tuple(
        name
        for name in PUBLISHED
        if all(_is_positive(row.settings.get(name)) for row in rows) and len({row.settings[name] for row in rows}) > 1
    )


def scaling_of(family: str, rows: Sequence[Sized], *, higher_is_better: bool, seed: int = 0) -> Scaling:
    """How the knobs of a family should grow; the caller has made sure that `why_untold` has no objection.

    The constraint as published has only the knobs that there are: α β² = 2 for depth and width. Beside it stand the
    growths for each measured cost, whose exponents are fitted, if any knob moves it by half a doubling. All are told
    from the smallest settings and from the middle, the measured scale nearest to the middle of the logarithms' ranges.

    Args:
        family: its name.
        rows: distinct uncompressed scales of it.
        higher_is_better: of the quality.
        seed: of the bootstrap.
    """
    knobs = growing(rows)
    at, others = _logs(rows, knobs), _others(rows, knobs)
    response, found = _fitted(rows, knobs)
    laws = resampled(found, at, others, _spreads(rows, response), seed=seed)
    middle = _middle(rows, knobs)
    bases = (at.min(axis=0), at[middle])
    costs = [name for name in rows[0].costs if all(row.costs.get(name, 0) > 0 for row in rows)]
    exponents = {"published": np.array([PUBLISHED[knob] for knob in knobs])}
    for name in costs:
        found_exponents = elasticities(at, np.array([row.costs[name] for row in rows]), others)
        # A cost that hardly depends on any knob, such as the latency of tiny models, is doubled by none of them.
        if found_exponents.max() >= CHEAPEST:
            exponents[name] = np.maximum(found_exponents, CHEAPEST)
    sign = -1.0 if higher_is_better else 1.0
    terms = _Terms(knobs, response, sign, others[middle], found, mean_of(laws), laws)
    growths = tuple(_growth(terms, cost, base, each) for cost, each in exponents.items() for base in bases)
    lines = [
        line
        for cost in costs
        if cost in exponents
        for line in _lines(terms, rows, middle, cost, exponents[cost], _doublings(growths, cost, knobs))
    ]
    base = dict(rows[middle].settings)
    return Scaling(family, len(rows), base, growths, tuple(lines), round(found.r_squared, 6))


@dataclass(frozen=True, slots=True)
class _Terms:
    """What every figure is computed from: the knobs, the mean law and its draws, and the way back to a quality."""

    knobs: tuple[str, ...]
    response: Response
    sign: float
    shift: Floats
    found: Fit
    law: Law
    laws: Sequence[Law]

    def quality(self, law: Law, at: Floats) -> Floats:
        """The quality (n,) at log2 settings (n, knobs), further knobs as at the base."""
        level = self.found.levels[1:] @ self.shift if len(self.shift) else 0.0
        return self.sign * self.response.backward(law(at) + level)


def _growth(terms: _Terms, cost: str, base: Floats, exponents: Floats) -> Growth:
    mean = growth_of(terms.law, base, exponents)
    each = np.stack([growth_of(law, base, exponents) for law in terms.laws])
    gains = [_gain(terms, law, base, mean) for law in terms.laws]
    alone = {
        knob: _quantity(
            _gain(terms, terms.law, base, step), [_gain(terms, law, base, step) for law in terms.laws], terms
        )
        for knob, step in zip(terms.knobs, np.diag(1 / exponents), strict=True)
    }
    return Growth(
        cost=cost,
        base={knob: float(2**value) for knob, value in zip(terms.knobs, base, strict=True)},
        exponents={knob: float(value) for knob, value in zip(terms.knobs, exponents, strict=True)},
        factors={
            knob: _quantity(float(2 ** mean[place]), list(2 ** each[:, place]), terms)
            for place, knob in enumerate(terms.knobs)
        },
        gain=_quantity(_gain(terms, terms.law, base, mean), gains, terms),
        alone=alone,
    )


def _gain(terms: _Terms, law: Law, base: Floats, step: Floats) -> float:
    before, after = terms.quality(law, np.stack([base, base + step]))
    return float(after - before)


def _quantity(value: float, draws: Sequence[float], terms: _Terms) -> Quantity:
    low, high = np.percentile(draws, [2.5, 97.5])
    return Quantity(value, "1", min(float(low), value), max(float(high), value), len(terms.found.fitted))


def _doublings(growths: Sequence[Growth], cost: str, knobs: Sequence[str]) -> Floats:
    """The growth in doublings for a cost from the middle, which is told last."""
    last = [each for each in growths if each.cost == cost][-1]
    return np.log2([last.factors[knob].value for knob in knobs])


def _lines(  # noqa: PLR0917  what a line is made of
    terms: _Terms, rows: Sequence[Sized], middle: int, cost: str, exponents: Floats, growth: Floats
) -> list[Line]:
    """The compound line and that of each knob alone, through the middle, as far as settings were measured."""
    at = _logs(rows, terms.knobs)
    low, high = at.min(axis=0), at.max(axis=0)
    lines = []
    for name, parts in ((COMPOUND, growth * exponents), *zip(terms.knobs, np.eye(len(growth)), strict=True)):
        way = Way(at[middle], low, high, parts, exponents, is_alone=name != COMPOUND)
        down, up = (list(way.walk(up=each, step=STEP)) for each in (False, True))
        path = np.stack([*reversed(down), at[middle], *up])
        spent = rows[middle].costs[cost] * 2 ** ((path - at[middle]) @ exponents)
        curve = zip(spent.tolist(), terms.quality(terms.law, path).tolist(), strict=True)
        whole = [at[middle], *way.walk(up=True), *way.walk(up=False)]
        lines.append(Line(name, cost, tuple(dict(curve).items()), _on_line(terms, rows, middle, whole)))
    return lines


def _on_line(terms: _Terms, rows: Sequence[Sized], middle: int, path: Sequence[Floats]) -> tuple[str, ...]:
    """Keys of the scales that the path rounds to, further knobs as in the middle."""
    at, others = _logs(rows, terms.knobs), _others(rows, terms.knobs)
    settings = [np.unique(column) for column in at.T]
    rounded = {
        tuple(float(each[np.argmin(np.abs(each - value))]) for each, value in zip(settings, point, strict=True))
        for point in path
    }
    same = (others == others[middle]).all(axis=1)
    return tuple(row.key for row, place, fits in zip(rows, at, same, strict=True) if fits and tuple(place) in rounded)


def _fitted(rows: Sequence[Sized], knobs: Sequence[str]) -> tuple[Response, Fit]:
    losses = np.array([row.loss for row in rows])
    response = Response.of(losses)
    found = fit(_logs(rows, knobs), response.forward(losses), _spreads(rows, response), _others(rows, knobs))
    return response, found


def _spreads(rows: Sequence[Sized], response: Response) -> Floats | None:
    errors = [row.error for row in rows if row.error is not None and row.error > 0]
    if len(errors) < len(rows):
        return None
    return response.spread(np.array([row.loss for row in rows]), np.array(errors))


def _logs(rows: Sequence[Sized], knobs: Sequence[str]) -> Floats:
    return np.log2([[float(row.settings[knob]) for knob in knobs] for row in rows])


def _others(rows: Sequence[Sized], knobs: Sequence[str]) -> Floats:
    """0 and 1 (n, groups): which setting each further knob has, the most common of each left out."""
    columns = []
    for name in sorted({name for row in rows for name in row.settings} - set(knobs)):
        counts = Counter(row.settings.get(name) for row in rows)
        for setting in [each for each, _ in counts.most_common()][1:]:
            columns.append([float(row.settings.get(name) == setting) for row in rows])
    return np.array(columns, dtype=np.float64).reshape(len(columns), len(rows)).T


def _middle(rows: Sequence[Sized], knobs: Sequence[str]) -> int:
    """The row nearest to the middle of the settings' range in logarithms, among those with the most common others."""
    at, others = _logs(rows, knobs), _others(rows, knobs)
    far = np.abs(at - (at.min(axis=0) + at.max(axis=0)) / 2).sum(axis=1) + 1e6 * others.sum(axis=1)
    return int(np.argmin(far))


def _is_positive(setting: Setting | None) -> bool:
    return isinstance(setting, int | float) and not isinstance(setting, bool) and setting > 0
