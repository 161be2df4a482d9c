"""How depth, width and resolution should grow together, as a table, sentences and rows of charts. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from steelyard.core.candidate import Scale
from steelyard.core.outcome import Outcome
from steelyard.core.quantity import Quantity
from steelyard.core.scaling import COMPOUND, Growth, Line, Scaling
from steelyard.report import answer
from steelyard.report.formatting import PERCENT_METRICS, cleaned, significant
from steelyard.report.tables import NOTHING, Cell, Column, Row, Table

GREEK = {"depth": "α", "width": "β", "resolution": "γ"}
"""Letters of the factors, as published."""
POWERS = {1.0: "", 2.0: "²"}
PUBLISHED = "published"


def scaling_table(outcome: Outcome) -> Table:
    """A row for each family, cost and base: the factors, and what a doubling gains together and in one knob alone."""
    knobs = [knob for knob in GREEK if any(knob in each.factors for _, each in _growths(outcome))]
    points = ", points" if outcome.drop.metric in PERCENT_METRICS else ""
    columns = (
        Column("name", "family", "left", 0),
        Column("cost", "what doubles", "left", 1),
        Column("base", "from", "left", 3),
        *(Column(knob, f"{GREEK[knob]} ({knob})", priority=2) for knob in knobs),
        Column("gain", f"gain together{points}", priority=4),
        *(Column(f"{knob}_alone", f"{knob} alone{points}", priority=5) for knob in knobs),
    )
    rows = tuple(_row(outcome, scaling, growth, knobs) for scaling, growth in _growths(outcome))
    return Table("How depth, width and resolution should grow", columns, rows)


def constraint(growth: Growth) -> str:
    """What the factors keep to: `α β² γ² = 2`, or that a measured cost doubles, with its fitted exponents."""
    if growth.cost == PUBLISHED:
        return " ".join(f"{GREEK[knob]}{POWERS.get(power, '')}" for knob, power in growth.exponents.items()) + " = 2"
    powers = " ".join(f"{GREEK[knob]}^{power:.2f}" for knob, power in growth.exponents.items())
    return f"{answer.metric_title(growth.cost)}: {powers} = 2"


def scaling_sentences(outcome: Outcome) -> tuple[str, ...]:
    """One sentence a family: the published factors from the middle, with intervals and the scales behind them."""
    told = []
    for scaling in outcome.scaling:
        growth = _from_middle(scaling, PUBLISHED)
        factors = ", ".join(f"{knob} × {_factor(each)}" for knob, each in growth.factors.items())
        told.append(
            f"{cleaned(scaling.family)} grows best with {factors} a doubling of products "
            f"({constraint(growth)}; a fit to {scaling.n} scales, from {_settings(growth.base)})."
        )
        if all(_is_open(growth, knob) for knob in growth.factors):
            told.append(f"For {cleaned(scaling.family)} these points leave open which knob should grow.")
    return tuple(told)


def curve_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Predicted lines in long form: panel, line, cost, quality."""
    return [
        {"panel": panel, "line": line_label(line.name), "cost": cost, "quality": quality}
        for panel, line in _panels(outcome)
        for cost, quality in line.curve
    ]


def measured_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Measured points on the lines: panel, line, cost, quality, its interval, and the scale in words; each once."""
    points = {point.key: point for point in answer.all_points(outcome)}
    rows: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for panel, line in _panels(outcome):
        for key in line.points:
            point = points.get(key)
            cost = point.metrics.get(line.cost) if point is not None else None
            quality = point.metrics.get(outcome.drop.metric) if point is not None else None
            if point is None or cost is None or quality is None or (panel, key) in seen:
                continue
            seen.add((panel, key))
            row = {"panel": panel, "line": line_label(line.name), "cost": cost.value, "quality": quality.value}
            row["scale"] = cleaned(str(point.scale))
            if quality.low is not None and quality.high is not None:
                row |= {"quality_low": quality.low, "quality_high": quality.high}
            rows.append(row)
    return rows


def line_label(name: str) -> str:
    """The name of a line for people."""
    return "together" if name == COMPOUND else f"{name} alone"


def panels(outcome: Outcome) -> dict[str, tuple[Scaling, str]]:
    """The charts: a family and a cost each, by a name of our own."""
    found: dict[str, tuple[Scaling, str]] = {}
    for place, scaling in enumerate(outcome.scaling):
        for line in scaling.lines:
            found.setdefault(f"{place}-{line.cost}", (scaling, line.cost))
    return found


def panel_caption(scaling: Scaling, cost: str) -> str:
    """What a chart shows, in words."""
    growth = _from_middle(scaling, cost)
    factors = ", ".join(f"{knob} × {_factor(each)}" for knob, each in growth.factors.items())
    return (
        f"Lines are the fit ({constraint(growth)}; {factors} together), through {_settings(scaling.base)}, as far as "
        f"settings were measured; signs are measured scales on the lines, with 95 % intervals. {scaling.n} scales; "
        f"the fit explains {100 * scaling.r_squared:.0f} % of the scatter."
    )


def _panels(outcome: Outcome) -> Iterable[tuple[str, Line]]:
    for place, scaling in enumerate(outcome.scaling):
        for line in scaling.lines:
            yield f"{place}-{line.cost}", line


def _growths(outcome: Outcome) -> Iterable[tuple[Scaling, Growth]]:
    for scaling in outcome.scaling:
        for growth in scaling.growths:
            yield scaling, growth


def _from_middle(scaling: Scaling, cost: str) -> Growth:
    """Growths are told from the smallest settings, then from the middle."""
    return [each for each in scaling.growths if each.cost == cost][-1]


def _row(outcome: Outcome, scaling: Scaling, growth: Growth, knobs: list[str]) -> Row:
    factors = (growth.factors.get(knob) for knob in knobs)
    alone = (growth.alone.get(knob) for knob in knobs)
    return Row(
        (
            Cell(cleaned(scaling.family)),
            Cell(constraint(growth) if growth.cost == PUBLISHED else answer.metric_title(growth.cost)),
            Cell(_settings(growth.base)),
            *(NOTHING if each is None else Cell(_factor(each), each.value) for each in factors),
            _gain(outcome, growth.gain),
            *(NOTHING if each is None else _gain(outcome, each) for each in alone),
        )
    )


def _factor(quantity: Quantity) -> str:
    ends = "" if quantity.low is None or quantity.high is None else f" [{quantity.low:.2f}, {quantity.high:.2f}]"
    return f"{quantity.value:.2f}{ends}"


def _gain(outcome: Outcome, quantity: Quantity) -> Cell:
    def text(value: float) -> str:
        if outcome.drop.metric in PERCENT_METRICS:
            return f"{100 * value:+.2f}".replace("-", "−")
        return ("+" if value > 0 else "") + significant(value).replace("-", "−")

    if quantity.low is None or quantity.high is None:
        return Cell(text(quantity.value), quantity.value)
    full = f"{text(quantity.value)} [{text(quantity.low)}, {text(quantity.high)}]"
    return Cell(full, quantity.value, text(quantity.value))


def _is_open(growth: Growth, knob: str) -> bool:
    """Whether the interval holds nearly no growth and nearly all of it: a tenth and nine tenths of the doubling."""
    factor, power = growth.factors[knob], growth.exponents[knob]
    if factor.low is None or factor.high is None:
        return True
    return factor.low < 2 ** (0.1 / power) and factor.high > 2 ** (0.9 / power)


def _settings(settings: Mapping[str, Any]) -> str:
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in settings.items()}
    whole = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in rounded.items()
    }
    return cleaned(str(Scale.from_json(whole)))
