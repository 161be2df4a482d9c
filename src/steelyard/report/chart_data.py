"""The rows behind the charts: plain values by fixed field names, so that no text of the user is ever a formula."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steelyard.core.candidate import steps_text
from steelyard.core.outcome import Outcome, Point
from steelyard.report import answer
from steelyard.report.explained import AS_GIVEN, waterfall_labels
from steelyard.report.formatting import cleaned, format_figure
from steelyard.report.tables import Table, name_cell, points_table, varying_knobs

MOST_CURVES = 40
"""Points whose training curves are kept: the chosen, the reference and the front first."""

MOST_EPOCHS = 120
"""Points of a curve that are kept; longer curves are thinned evenly, the last epoch stays."""

SERIES = {
    "train_loss": ("loss", "train"),
    "valid_loss": ("loss", "validation"),
    "valid_quality": ("quality", "validation"),
    "train_quality": ("quality", "train"),
}
"""Which panel and which line each key of a training curve belongs to."""

WATERFALLS = ("latency_p50_s", "size_bytes")
"""Costs that are drawn step by step."""

Row = dict[str, Any]


def steps_label(point: Point) -> str:
    """The point's compression in words, such as `quantize (bits 8)`."""
    return cleaned(steps_text(point.steps)) or "uncompressed"


def numeric_knobs(outcome: Outcome) -> dict[str, tuple[float, ...]]:
    """Numeric knobs that take two settings or more, with their settings in rising order."""
    seen: dict[str, set[float]] = {}
    for point in answer.all_points(outcome):
        for knob, setting in point.scale.settings:
            if isinstance(setting, int | float) and not isinstance(setting, bool):
                seen.setdefault(knob, set()).add(float(setting))
    return {knob: tuple(sorted(settings)) for knob, settings in sorted(seen.items()) if len(settings) > 1}


def point_rows(outcome: Outcome) -> list[Row]:
    """One row a point with a quality: quality and cost with intervals, knobs, marks, and every figure as text."""
    table = points_table(outcome)
    texts = {row.key: row for row in table.rows}
    knobs = list(numeric_knobs(outcome))
    rows = []
    for point in answer.all_points(outcome):
        if point.metrics.get(outcome.drop.metric) is None:
            continue
        marks = answer.marks(outcome, point)
        row: Row = {
            "key": point.key,
            "family": cleaned(point.family),
            "steps": steps_label(point),
            "mark": marks[0] if marks and marks[0] in ("chosen", "reference") else "",
            "is_front": "front" in marks or "chosen" in marks,
            "is_baseline": "baseline" in marks,
            **_interval(point, outcome.drop.metric, "quality"),
            **_interval(point, outcome.goal.cost_metric, "cost"),
            **{f"text_{place}": cell.text for place, cell in enumerate(texts[point.key].cells)},
        }
        settings = dict(point.scale.settings)
        row.update({f"knob_{place}": settings[knob] for place, knob in enumerate(knobs) if knob in settings})
        rows.append(row)
    return _without_far_baseline(rows)


def tooltip_titles(table: Table) -> list[tuple[str, str]]:
    """Field and title of every figure told in a tooltip."""
    return [(f"text_{place}", column.title or "mark") for place, column in enumerate(table.columns)]


def staircase(outcome: Outcome, rows: Sequence[Row]) -> list[Row]:
    """The best quality within each cost: the points where it improves, by rising cost."""
    sign = 1 if answer.is_higher_better(outcome) else -1
    steps: list[Row] = []
    drawn = [row for row in rows if row.get("cost") is not None]
    for row in sorted(drawn, key=lambda row: (row["cost"], -sign * row["quality"])):
        if not steps or sign * row["quality"] > sign * steps[-1]["quality"]:
            steps.append({"cost": row["cost"], "quality": row["quality"]})
    if steps:
        steps.append({"cost": max(row["cost"] for row in drawn), "quality": steps[-1]["quality"]})
    return steps


def permitted_quality(outcome: Outcome) -> float | None:
    """The worst validation quality within the permitted drop of the reference."""
    reference = outcome.reference.metrics.get(outcome.drop.metric)
    if reference is None:
        return None
    room = outcome.drop.epsilon * (abs(reference.value) if outcome.drop.relative else 1.0)
    return reference.value - room if answer.is_higher_better(outcome) else reference.value + room


def curve_rows(outcome: Outcome) -> list[Row]:
    """Training curves in long form: name, panel, series, epoch, value. Compressed points share their source's."""
    varying = varying_knobs(outcome)
    rows: list[Row] = []
    seen: set[str] = set()
    for point in sorted(answer.all_points(outcome), key=lambda each: _curve_rank(outcome, each)):
        curve = point.notes.get("curve")
        source = point.candidate.uncompressed.key
        if not isinstance(curve, Mapping) or source in seen or len(seen) >= MOST_CURVES:
            continue
        seen.add(source)
        words = [mark for mark in answer.marks(outcome, point) if mark in ("chosen", "reference")]
        name = (name_cell(point, varying).short or "") + "".join(f" ({word})" for word in words)
        rows.extend({"name": name, **row} for row in _one_curve(curve))
    return rows


def waterfall_rows(outcome: Outcome) -> list[Row]:
    """What each step took off or added, as floating bars between the model given and the chosen one.

    A row has `panel` (a cost), `label`, `start` and `end`, `kind` (whole, saved or cost) and the change as text.
    """
    steps = outcome.explanation.get("waterfall", ())
    if len(steps) < 2:
        return []
    labels, rows = waterfall_labels(outcome), []
    for name in WATERFALLS:
        if not all(name in step["metrics"] for step in steps):
            continue
        before = 0.0
        for label, step in zip(labels, steps, strict=True):
            value, unit = step["metrics"][name]["value"], step["metrics"][name]["unit"]
            kind = "whole" if label == AS_GIVEN else "saved" if value <= before else "cost"
            change = format_figure(value, name, unit) if kind == "whole" else _change_text(before, value)
            rows.append({"panel": name, "label": label, "start": before, "end": value, "kind": kind, "text": change})
            before = value
        whole = {"panel": name, "label": "chosen", "start": 0.0, "end": before, "kind": "whole"}
        rows.append({**whole, "text": format_figure(before, name, unit)})
    return rows


def _change_text(before: float, after: float) -> str:
    return f"{100 * (after / before - 1):+.0f} %".replace("-", "−") if before else ""


def spans(values: Iterable[float], factor: float) -> bool:
    """Whether the values are all positive and the largest is at least `factor` times the smallest."""
    known = list(values)
    return bool(known) and min(known) > 0 and max(known) / min(known) >= factor


def _interval(point: Point, metric: str, field: str) -> Row:
    quantity = point.metrics.get(metric)
    if quantity is None:
        return {}
    row: Row = {field: quantity.value}
    if quantity.low is not None and quantity.high is not None and quantity.low < quantity.high:
        row |= {f"{field}_low": quantity.low, f"{field}_high": quantity.high}
    return row


def _without_far_baseline(rows: list[Row]) -> list[Row]:
    others = [row["quality"] for row in rows if not row["is_baseline"]]
    if not others:
        return rows
    room = 0.5 * (max(others) - min(others))
    # A baseline far below would squeeze every other point into one line; the table still has it.
    return [
        row
        for row in rows
        if not row["is_baseline"] or row["mark"] or min(others) - room <= row["quality"] <= max(others) + room
    ]


def _curve_rank(outcome: Outcome, point: Point) -> int:
    marks = answer.marks(outcome, point)
    return next((place for place, mark in enumerate(("chosen", "reference", "front")) if mark in marks), 3)


def _one_curve(curve: Mapping[str, Any]) -> list[Row]:
    longest = max((len(curve[name]) for name in SERIES if isinstance(curve.get(name), list)), default=0)
    epochs = curve.get("epoch") or list(range(1, longest + 1))
    stride = max(1, -(-len(epochs) // MOST_EPOCHS))
    kept = sorted({*range(0, len(epochs), stride), len(epochs) - 1}) if epochs else []
    rows = []
    for name, (panel, series) in SERIES.items():
        values = curve.get(name)
        if not isinstance(values, list):
            continue
        for place in kept:
            if place < len(values) and isinstance(values[place], int | float):
                rows.append({"panel": panel, "series": series, "epoch": epochs[place], "value": values[place]})
    return rows
