"""Charts of an outcome as Vega-Lite specifications over named data. Pure: the page brings the data and draws them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from steelyard.core.outcome import Outcome
from steelyard.core.wire import Plain, without_nan
from steelyard.report import answer, chart_data, evolved, scaled
from steelyard.report.chart_data import Row
from steelyard.report.formatting import PERCENT_METRICS, cleaned
from steelyard.report.tables import points_table, spent_table

PALETTE = ("#3f83c8", "#c9680c", "#23906a", "#9468cf", "#d9486e", "#128b9d", "#a1762f", "#7d8590")
"""Colours of families, at least 3 to 1 against the light and the dark page (WCAG 2.1, success criterion 1.4.11)."""

SHAPES = ("circle", "diamond", "square", "triangle-up", "cross", "triangle-down")
"""Shapes of compression pipelines, so that colour is never the only sign."""

KINDS = ("whole", "saved", "cost")
KIND_COLOURS = (PALETTE[0], PALETTE[2], PALETTE[1])
"""Kinds of bars of a waterfall: a whole figure, what a step saved, what it cost."""

MOST_SHAPES = 8
"""Pipelines that a legend names."""

LOG_SPAN = 8.0
"""From this ratio of the largest to the smallest value on, an axis is logarithmic."""

MOST_TICKS = 12
"""A knob with at most this many settings has a tick at each of them."""

_SUFFIX = {"latency": "s", "size": "B", "memory": "B", "energy": "J"}


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart: its id on the page, its section, a title, a caption in words, and its specification."""

    key: str
    section: str
    title: str
    caption: str
    spec: Plain


@dataclass(frozen=True, slots=True)
class Charts:
    """Every chart of an outcome, and the data they share by name."""

    figures: tuple[Figure, ...]
    data: Mapping[str, Sequence[Row]]

    def of(self, section: str) -> tuple[Figure, ...]:
        """The charts of one section."""
        return tuple(figure for figure in self.figures if figure.section == section)


def draw(outcome: Outcome) -> Charts:
    """Every chart there is data for: the front, quality by knob, training curves, time spent."""
    rows = chart_data.point_rows(outcome)
    data: dict[str, list[Row]] = {
        "points": rows,
        "front": [row for row in rows if row.get("cost") is not None],
        "staircase": chart_data.staircase(outcome, rows),
        "curves": chart_data.curve_rows(outcome),
        "waterfall": chart_data.waterfall_rows(outcome),
        "generations": evolved.chart_rows(outcome),
        "scaling_curves": scaled.curve_rows(outcome),
        "scaling_points": scaled.measured_rows(outcome),
        "spent": [
            {"work": row.cells[0].text, "seconds": row.cells[1].raw, "text": row.cells[1].text}
            for row in spent_table(outcome).rows
        ],
    }
    figures: list[Figure] = []
    if data["front"]:
        figures.append(front_figure(outcome, data["front"]))
    figures.extend(waterfall_figures(data["waterfall"]))
    figures.extend(scale_figures(outcome, rows))
    figures.extend(growth_figures(outcome))
    figures.extend(curve_figures(outcome, data["curves"]))
    if data["generations"]:
        figures.append(generation_figure())
    if any(row["seconds"] for row in data["spent"]):
        figures.append(spent_figure())
    # The rows of the front are those of `points`: the page filters them, the file holds them once.
    shared = {name: without_nan(values) for name, values in data.items() if name != "front"}
    return Charts(tuple(figures), shared)


def front_figure(outcome: Outcome, rows: Sequence[Row]) -> Figure:
    """Quality against the minimised cost: every point with its intervals, the chosen and the reference labelled."""
    metric = outcome.goal.cost_metric
    is_log = chart_data.spans((row["cost"] for row in rows), LOG_SPAN)
    title = answer.metric_title(metric) + (" (logarithmic)" if is_log else "")
    x = _x_axis("cost", title, _SUFFIX[outcome.goal.minimize], is_log=is_log)
    y = _quality_axis(outcome)
    base = alt.Chart(alt.NamedData("points")).transform_filter("isValid(datum.cost)")
    base = base.transform_filter("!only_front || datum.is_front || datum.mark != ''")
    stairs = alt.Chart(alt.NamedData("staircase"), name="stairs").mark_line(interpolate="step-after", opacity=0.6)
    layers = [
        stairs.encode(x=x, y=y),
        *_rules(outcome, x, y),
        _whiskers(base, outcome, x, len(rows)),
        base.transform_filter("isValid(datum.cost_low)")
        .mark_rule(opacity=_faintness(len(rows)))
        .encode(y=y, x=_x_axis("cost_low", title, _SUFFIX[outcome.goal.minimize], is_log=is_log), x2="cost_high:Q"),
        *_signs(base, outcome, x, y, rows),
        base.transform_filter("datum.mark == 'chosen'")
        .mark_point(size=330, filled=False, strokeWidth=2.5)
        .encode(x=x, y=y)
        .properties(name="ring"),
        base.transform_filter("datum.mark != ''")
        .mark_text(dy=-19, fontWeight="bold", fontSize=12)
        .encode(x=x, y=y, text="mark:N")
        .properties(name="label"),
    ]
    spec = _spec(layers, height=420, only_front=False)
    return Figure(
        "chart-front", "front", f"Quality against {answer.metric_title(metric)}", _front_caption(outcome, rows), spec
    )


def scale_figures(outcome: Outcome, rows: Sequence[Row]) -> tuple[Figure, ...]:
    """Quality against each numeric knob that varies; lines join the means of one family and compression."""
    figures = []
    y = _quality_axis(outcome)
    for place, (knob, settings) in enumerate(chart_data.numeric_knobs(outcome).items()):
        name, field = cleaned(knob), f"knob_{place}"
        shown = [row for row in rows if field in row]
        if not shown:
            continue
        is_log = chart_data.spans(settings, LOG_SPAN)
        x = _x_axis(field, name + (" (logarithmic)" if is_log else ""), "", is_log=is_log, ticks=settings)
        base = alt.Chart(alt.NamedData("points")).transform_filter(f"isValid(datum.{field})")
        lines = base.mark_line(opacity=0.55).encode(
            x=x,
            y=alt.Y("mean(quality):Q", title=_quality_title(outcome), scale=alt.Scale(zero=False)),
            color=alt.Color("family:N", title="family", scale=_colours(shown), legend=_legend()),
            detail="steps:N",
        )
        layers = [lines, _whiskers(base, outcome, x, len(shown)), *_signs(base, outcome, x, y, shown)]
        caption = f"Every point by its {name}, with 95 % intervals; lines join the mean of a family and compression."
        figures.append(Figure(f"chart-scale-{place}", "scale", f"By {name}", caption, _spec(layers, height=300)))
    return tuple(figures)


def growth_figures(outcome: Outcome) -> tuple[Figure, ...]:
    """Quality against a cost where all knobs grow together and where one grows alone, predicted and measured."""
    figures = []
    for place, (panel, (scaling, cost)) in enumerate(scaled.panels(outcome).items()):
        names = [scaled.line_label(line.name) for line in scaling.lines if line.cost == cost]
        shown = f"datum.panel == '{panel}'"
        title, suffix = answer.metric_title(cost), "s" if cost.endswith("_s") else " "
        # Four names beside each other are wider than a telephone.
        legend = alt.Legend(**{**_legend().to_dict(), "columns": 2})
        x = _x_axis("cost", f"{title} (logarithmic)", suffix, is_log=True)
        y = _quality_axis(outcome)
        color = alt.Color("line:N", title=None, scale=_ordered(names, PALETTE), legend=legend)
        dash = alt.StrokeDash(
            "line:N",
            title=None,
            scale=alt.Scale(domain=names, range=[[1, 0], [6, 3], [2, 2], [9, 3, 2, 3]]),
            legend=None,
        )
        shape = alt.Shape("line:N", title=None, scale=_ordered(names, SHAPES), legend=legend)
        lines = alt.Chart(alt.NamedData("scaling_curves")).transform_filter(shown)
        points = alt.Chart(alt.NamedData("scaling_points")).transform_filter(shown)
        told = [("scale:N", "scale"), ("line:N", "line"), ("cost:Q", title), ("quality:Q", _quality_title(outcome))]
        layers = [
            lines.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, strokeDash=dash, order="cost:Q"),
            _whiskers(points, outcome, x, len(scaling.lines)).encode(color=color),
            points.mark_point(size=90, filled=True, opacity=1).encode(
                x=x, y=y, color=color, shape=shape, tooltip=[alt.Tooltip(field, title=name) for field, name in told]
            ),
        ]
        figures.append(
            Figure(
                f"chart-growth-{place}",
                "growth",
                f"{cleaned(scaling.family)} by {title}",
                scaled.panel_caption(scaling, cost),
                _spec(layers, height=320),
            )
        )
    return tuple(figures)


def curve_figures(outcome: Outcome, rows: Sequence[Row]) -> tuple[Figure, ...]:
    """Training curves of one point at a time (the parameter `shown`): loss by epoch, and quality by epoch."""
    figures = []
    for panel, title in (("loss", "loss"), ("quality", cleaned(outcome.drop.metric))):
        series = sorted({row["series"] for row in rows if row["panel"] == panel})
        if not series:
            continue
        labels = "~%" if panel == "quality" and outcome.drop.metric in PERCENT_METRICS else "~r"
        chart = (
            alt.Chart(alt.NamedData("curves"))
            .transform_filter(f"datum.panel == '{panel}' && datum.name == shown")
            .mark_line(point=alt.OverlayMarkDef(size=22))
            .encode(
                x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, grid=False)),
                y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=labels)),
                color=alt.Color("series:N", title=None, scale=_ordered(series, PALETTE), legend=_legend()),
                strokeDash=alt.StrokeDash("series:N", title=None, scale=alt.Scale(domain=series), legend=_legend()),
                shape=alt.Shape("series:N", title=None, scale=_ordered(series, SHAPES), legend=_legend()),
                tooltip=[alt.Tooltip("series:N"), alt.Tooltip("epoch:Q"), alt.Tooltip("value:Q", title=title)],
            )
        )
        caption = f"{title} by epoch, of the point picked above."
        spec = _spec([chart], height=260, shown=rows[0]["name"])
        figures.append(Figure(f"chart-curve-{panel}", "curves", title.capitalize(), caption, spec))
    return tuple(figures)


def waterfall_figures(rows: Sequence[Row]) -> tuple[Figure, ...]:
    """Latency and size from the model given to the chosen one, a floating bar for what each measured step changed."""
    figures = []
    for panel in chart_data.WATERFALLS:
        shown = [row for row in rows if row["panel"] == panel]
        if not shown:
            continue
        title, suffix = answer.metric_title(panel), "s" if panel.endswith("_s") else "B"
        base = alt.Chart(alt.NamedData("waterfall")).transform_filter(f"datum.panel == '{panel}'")
        y = alt.Y("label:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=220))
        axis = alt.Axis(labelExpr=f"format(datum.value, '~s') + '{suffix}'", tickCount=5, labelOverlap="greedy")
        bars = base.mark_bar(cornerRadius=2, height=16).encode(
            y=y,
            x=alt.X("start:Q", title=title, axis=axis),
            x2="end:Q",
            color=alt.Color("kind:N", title=None, scale=_ordered(KINDS, KIND_COLOURS), legend=_legend()),
            tooltip=[alt.Tooltip("label:N", title="step"), alt.Tooltip("text:N", title=title)],
        )
        text = base.transform_calculate(far="max(datum.start, datum.end)").mark_text(align="left", dx=5)
        labels = text.encode(y=y, x="far:Q", text="text:N").properties(name="label")
        caption = f"{title.capitalize()} from the model given to the chosen one; a bar between is what a step changed."
        spec = _spec([bars, labels], height=60 + 26 * len(shown))
        figures.append(
            Figure(f"chart-waterfall-{panel}", "steps", f"{title.capitalize()}, step by step", caption, spec)
        )
    return tuple(figures)


def generation_figure() -> Figure:
    """The least, average and highest fitness of each generation."""
    names = list(evolved.STATISTICS.values())
    domain = alt.Scale(domain=names)
    chart = (
        alt.Chart(alt.NamedData("generations"))
        .mark_line(point=alt.OverlayMarkDef(size=28))
        .encode(
            x=alt.X("generation:Q", title="generation", axis=alt.Axis(tickMinStep=1, grid=False)),
            y=alt.Y("fitness:Q", title="fitness", scale=alt.Scale(zero=False)),
            color=alt.Color("statistic:N", title=None, scale=_ordered(names, PALETTE), legend=_legend()),
            strokeDash=alt.StrokeDash("statistic:N", title=None, scale=domain, legend=_legend()),
            shape=alt.Shape("statistic:N", title=None, scale=_ordered(names, SHAPES), legend=_legend()),
            tooltip=[alt.Tooltip("statistic:N"), alt.Tooltip("generation:Q"), alt.Tooltip("fitness:Q", format=".3f")],
        )
    )
    caption = "The highest, average and least fitness of each generation, after its weakest were replaced."
    return Figure("chart-generations", "generations", "Fitness by generation", caption, _spec([chart], height=260))


def spent_figure() -> Figure:
    """The seconds by kind of work as bars."""
    base = alt.Chart(alt.NamedData("spent"))
    y = alt.Y("work:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=150))
    bars = base.mark_bar(color=PALETTE[0], cornerRadiusEnd=3, height=18).encode(
        y=y, x=alt.X("seconds:Q", title="seconds"), tooltip=[alt.Tooltip("work:N"), alt.Tooltip("text:N", title="time")]
    )
    text = base.mark_text(align="left", dx=5).encode(y=y, x="seconds:Q", text="text:N").properties(name="label")
    return Figure(
        "chart-spent",
        "spent",
        "Time by kind of work",
        "Seconds by kind of work; workers run side by side, so they may sum to more than the wall time.",
        _spec([bars, text], height=170),
    )


def _front_caption(outcome: Outcome, rows: Sequence[Row]) -> str:
    text = (
        "Each sign is a measured point: the colour is its family, the shape its compression; it is filled where it is "
        "on the front. Bars are 95 % intervals. The stepped line is the best quality within a cost, the dashed line "
        "the permitted drop below the reference, on validation. The ring marks the chosen point."
    )
    hidden = len(answer.all_points(outcome)) - len(rows)
    return text + (f" Only in the table, for want of a figure or far off: {hidden:,}." if hidden else "")


def _quality_title(outcome: Outcome) -> str:
    return f"{cleaned(outcome.drop.metric)} (validation)"


def _quality_axis(outcome: Outcome) -> alt.Y:
    labels = ".0~%" if outcome.drop.metric in PERCENT_METRICS else "~r"
    axis = alt.Axis(format="~%" if labels == ".0~%" else labels, tickCount=6)
    return alt.Y("quality:Q", title=_quality_title(outcome), scale=alt.Scale(zero=False, padding=14), axis=axis)


def _x_axis(field: str, title: str, suffix: str, *, is_log: bool, ticks: Sequence[float] = ()) -> alt.X:
    scale = alt.Scale(type="log", nice=False, padding=18) if is_log else alt.Scale(zero=False, padding=18)
    label = f"format(datum.value, '~s') + '{suffix}'" if suffix else "format(datum.value, '~r')"
    axis = alt.Axis(labelExpr=label, labelOverlap="greedy", labelSeparation=6, tickCount=6, grid=False)
    if 0 < len(ticks) <= MOST_TICKS:
        axis = alt.Axis(**{**axis.to_dict(), "values": list(ticks)})
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)


def _whiskers(base: alt.Chart, outcome: Outcome, x: alt.X, count: int) -> alt.Chart:
    ends = alt.Y("quality_low:Q", title=_quality_title(outcome), scale=alt.Scale(zero=False, padding=14))
    known = base.transform_filter("isValid(datum.quality_low)")
    whiskers: alt.Chart = known.mark_rule(opacity=_faintness(count)).encode(x=x, y=ends, y2="quality_high:Q")
    return whiskers


def _faintness(count: int) -> float:
    # Hundreds of intervals over each other would hide the points.
    return max(0.08, min(0.45, 25 / max(count, 1)))


def _signs(base: alt.Chart, outcome: Outcome, x: alt.X, y: alt.Y, rows: Sequence[Row]) -> list[alt.Chart]:
    steps = sorted({row["steps"] for row in rows}, key=lambda text: (text != "uncompressed", text))
    titles = chart_data.tooltip_titles(points_table(outcome))
    picked = alt.selection_point(name="picked", fields=["family"], bind="legend")
    signs = base.encode(
        x=x,
        y=y,
        color=alt.Color("family:N", title="family", scale=_colours(rows), legend=_legend()),
        shape=alt.Shape(
            "steps:N",
            title="compression",
            scale=_ordered(steps, SHAPES),
            # Shapes come again from the seventh on; a legend of dozens would tell nothing that the tooltip does not.
            legend=_legend(grey=True) if len(steps) <= MOST_SHAPES else None,
        ),
        opacity=alt.condition(picked, alt.value(1.0), alt.value(0.12)),
    )
    on_front = signs.transform_filter("datum.is_front").mark_point(size=95, filled=True)
    outlined = signs.mark_point(size=95, filled=False, strokeWidth=1.8, cursor="pointer").encode(
        tooltip=[alt.Tooltip(f"{field}:N", title=title) for field, title in titles]
    )
    return [on_front, outlined.add_params(picked).properties(name="signs")]


def _rules(outcome: Outcome, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    rules = []
    floor = chart_data.permitted_quality(outcome)
    if floor is not None:
        data = alt.InlineData(values=[{"quality": floor}])
        rules.append(alt.Chart(data, name="permitted").mark_rule(strokeDash=[5, 4]).encode(y=y))
    for limit in outcome.goal.limits:
        if limit.metric == outcome.goal.cost_metric:
            data = alt.InlineData(values=[{"cost": limit.at_most}])
            rules.append(alt.Chart(data, name="limit").mark_rule(strokeDash=[2, 3]).encode(x=x))
    return rules


def _colours(rows: Sequence[Row]) -> alt.Scale:
    return _ordered(sorted({row["family"] for row in rows}), PALETTE)


def _ordered(names: Sequence[str], signs: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=[signs[place % len(signs)] for place in range(len(names))])


def _legend(*, grey: bool = False) -> alt.Legend:
    legend = alt.Legend(orient="top", symbolSize=90, labelLimit=260, titleLimit=120)
    if not grey:
        return legend
    # Shapes without a colour are drawn in a grey that shows on the light and on the dark page.
    return alt.Legend(**{**legend.to_dict(), "symbolFillColor": PALETTE[-1], "symbolStrokeColor": PALETTE[-1]})


def _spec(layers: Sequence[alt.Chart], *, height: int, **params: Any) -> Plain:
    chart = alt.layer(*layers) if len(layers) > 1 else layers[0]
    for name, value in params.items():
        chart = chart.add_params(alt.param(name=name, value=value))
    spec: dict[str, Any] = chart.properties(width="container", height=height).to_dict()
    # The page styles charts by CSS, so that they follow its light or dark colours.
    spec["config"] = {"background": None, "view": {"stroke": None}, "font": "system-ui, sans-serif"}
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    return spec
