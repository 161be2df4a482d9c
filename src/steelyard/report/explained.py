"""What `compress` tells of its steps, as tables and sentences: the gate, the waterfall, the flips, the layers. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.core.candidate import StepSetting, steps_text
from steelyard.core.outcome import Outcome
from steelyard.core.quantity import Quantity
from steelyard.report import answer
from steelyard.report.formatting import (
    PERCENT_METRICS,
    UNKNOWN,
    cleaned,
    format_figure,
    format_interval,
    format_times,
    significant,
)
from steelyard.report.tables import NOTHING, Cell, Column, Row, Table

AS_GIVEN = "as given"
"""The first row of the waterfall: no step yet."""
MOST_DROPPED = 5
"""Dropped candidates that are named on a terminal; the report has all."""
MOST_PAIRS = 3
"""Pairs of classes that a sentence on flips names."""
COSTS = ("latency_p50_s", "size_bytes", "peak_memory_bytes", "parameters", "macs")


def sentences(outcome: Outcome) -> tuple[str, ...]:
    """What was dropped or failed and why, and which rows flipped; empty for a search that trained its candidates."""
    stopped = [passage for passage in outcome.gate if not passage.passed]
    told = [f"dropped by the gate: {cleaned(passage.why)}." for passage in stopped[:MOST_DROPPED]]
    if len(stopped) > MOST_DROPPED:
        told.append(f"dropped by the gate likewise: {len(stopped) - MOST_DROPPED} more, all in the report.")
    if outcome.explanation:
        failed = [f"{cleaned(each.name)}: {cleaned(each.message).rstrip('.')}" for each in outcome.failures]
        told += [f"could not be made: {text}." for text in failed[:MOST_DROPPED]]
        if len(failed) > MOST_DROPPED:
            told.append(f"could not be made likewise: {len(failed) - MOST_DROPPED} more, all in the report.")
    flips = flips_sentence(outcome)
    return (*told, flips) if flips else tuple(told)


def flips_sentence(outcome: Outcome) -> str:
    """How many test rows the chosen point decides otherwise than the model given, and in which classes the most."""
    flips = outcome.explanation.get("flips")
    if not flips or outcome.chosen.key == outcome.reference.key:
        return ""
    share = f"{flips['changed']:,} of {flips['n']:,} test rows"
    if not flips["changed"]:
        return f"every one of {flips['n']:,} test rows is decided as by the model given."
    pairs = [f"{pair['n']:,} from {pair['from']} to {pair['to']}" for pair in flips["by_class"][:MOST_PAIRS]]
    most = f"{'mostly ' if len(flips['by_class']) > MOST_PAIRS else ''}{cleaned(', '.join(pairs))}"
    if flips["helped"] is None:
        return f"{share} are decided otherwise than by the model given, {most}."
    effect = f"{flips['helped']:,} now right, {flips['harmed']:,} now wrong"
    return f"{share} are decided otherwise than by the model given ({effect}), {most}."


def waterfall_table(outcome: Outcome) -> Table:
    """Quality and costs after each beginning of the chosen pipeline that was measured, and what its steps changed."""
    metric = outcome.drop.metric
    rows = outcome.explanation.get("waterfall", ())
    names = [name for name in (metric, *COSTS) if any(name in row["metrics"] for row in rows)]
    columns = [Column("name", "step", "left", 0)]
    for name in names:
        priority = 1 if name in (metric, "latency_p50_s", "size_bytes") else 6
        title = f"{cleaned(name)} (valid)" if name == metric else answer.metric_title(name)
        change = "change (points)" if name in PERCENT_METRICS else "change"
        columns += [Column(name, title, priority=priority), Column(f"{name}_change", change, priority=priority + 2)]
    told = tuple(
        Row((Cell(label), *(cell for name in names for cell in _pair(row, name, metric))), str(row["key"]))
        for label, row in zip(waterfall_labels(outcome), rows, strict=True)
    )
    return Table("What each step saved and cost", tuple(columns), told)


def waterfall_labels(outcome: Outcome) -> list[str]:
    """A name for each row of the waterfall: its steps, numbered so that equal ones stay apart."""
    labels = []
    for number, row in enumerate(outcome.explanation.get("waterfall", ())):
        steps = cleaned(steps_text(StepSetting.from_json(step) for step in row["steps"]))
        labels.append(f"{number}. {steps or 'its options'}" if number else AS_GIVEN)
    return labels


def _pair(row: Mapping[str, Any], name: str, metric: str) -> tuple[Cell, Cell]:
    """A figure and what the steps changed of it: qualities by their difference, costs by their share."""
    if name not in row["metrics"]:
        return NOTHING, NOTHING
    quantity = Quantity.from_json(row["metrics"][name])
    figure = Cell(format_interval(quantity, name), quantity.value, format_figure(quantity.value, name, quantity.unit))
    change = row["change"].get(name)
    if change is None:
        return figure, Cell("")
    if name == metric:
        in_points = metric in PERCENT_METRICS
        return figure, Cell(_signed(f"{100 * change:.2f}" if in_points else significant(change)), change)
    before = quantity.value - change
    return figure, Cell(_signed(f"{100 * change / before:.0f} %"), change) if before else NOTHING


def _signed(text: str) -> str:
    return text.replace("-", "−") if text.startswith("-") else f"+{text}"


def gate_table(outcome: Outcome) -> Table:
    """Every candidate with steps at the gate: how many times smaller and faster its last steps made it."""
    names = {point.key: answer.point_name(point) for point in answer.all_points(outcome)}
    rows = tuple(
        Row(
            (
                Cell(names.get(passage.key, passage.key)),
                Cell(cleaned(steps_text(passage.steps))),
                Cell(f"{format_times(passage.smaller)} ×", passage.smaller),
                _times(passage.faster),
                Cell("passed" if passage.passed else "dropped"),
                Cell(cleaned(passage.why)),
            ),
            passage.key,
        )
        for passage in outcome.gate
    )
    columns = (
        Column("name", "candidate", "left", 0),
        Column("steps", "last steps", "left", 1),
        Column("smaller", "smaller"),
        Column("faster", "faster"),
        Column("passed", "gate", "left", 0),
        Column("why", "why", "left", 2),
    )
    return Table("The gate", columns, rows)


def _times(quantity: Quantity | None) -> Cell:
    if quantity is None:
        return NOTHING
    text = format_times(quantity.value)
    if quantity.low is not None and quantity.high is not None:
        text += f" [{format_times(quantity.low)}, {format_times(quantity.high)}]"
    return Cell(f"{text} ×", quantity.value)


def flips_table(outcome: Outcome) -> Table:
    """Flipped test rows by the reference's class and the candidate's."""
    flips = outcome.explanation.get("flips") or {}
    has_labels = flips.get("helped") is not None
    rows = tuple(
        Row(
            (
                Cell(cleaned(str(pair["from"]))),
                Cell(cleaned(str(pair["to"]))),
                *(Cell(f"{pair[name]:,}", pair[name]) for name in _counted(has_labels=has_labels)),
            )
        )
        for pair in flips.get("by_class", ())
    )
    titles = {"n": "rows", "helped": "now right", "harmed": "now wrong"}
    columns = (
        Column("name", "the model given says", "left", 0),
        Column("to", "the chosen one says", "left", 0),
        *(Column(name, titles[name]) for name in _counted(has_labels=has_labels)),
    )
    return Table("Flipped test rows by class", columns, rows)


def _counted(*, has_labels: bool) -> tuple[str, ...]:
    return ("n", "helped", "harmed") if has_labels else ("n",)


def flipped_rows(outcome: Outcome) -> str:
    """The indices of flipped test rows, from 0, as far as they are listed."""
    flips = outcome.explanation.get("flips") or {"rows": (), "changed": 0}
    listed = ", ".join(str(index) for index in flips["rows"])
    more = flips["changed"] - len(flips["rows"])
    return f"{listed} and {more:,} more" if more else listed


def sensitivity_table(outcome: Outcome) -> Table:
    """What each step's report says of each layer: layers down, steps across."""
    told = outcome.explanation.get("sensitivity", ())
    steps = list(dict.fromkeys(str(row["step"]) for row in told))
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for row in told:
        known = cells.setdefault(str(row["layer"]), {}).setdefault(str(row["step"]), dict(row["figures"]))
        # A step that came again goes on from what it had left.
        known.update({name: value for name, value in row["figures"].items() if name != "before"})
    rows = tuple(
        Row((Cell(cleaned(layer)), *(_figures_cell(by_step.get(step)) for step in steps)))
        for layer, by_step in cells.items()
    )
    columns = (
        Column("name", "layer", "left", 0),
        *(Column(f"step_{step}", cleaned(step), "left", 1) for step in steps),
    )
    return Table("What the steps report of each layer", columns, rows)


def _figures_cell(figures: Mapping[str, Any] | None) -> Cell:
    if not figures:
        return NOTHING
    if set(figures) == {"before", "after"}:
        return Cell(f"{_plain(figures['before'])} → {_plain(figures['after'])}", _number(figures["after"]))
    text = ", ".join(f"{cleaned(name).replace('_', ' ')} {_plain(value)}" for name, value in figures.items())
    first: Sequence[Any] = list(figures.values())
    return Cell(text, _number(first[0]))


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return UNKNOWN if value is None else cleaned(str(value))
    return f"{value:,}" if isinstance(value, int) else significant(value)


def _number(value: Any) -> float | str | None:
    return value if isinstance(value, int | float | str) else None
