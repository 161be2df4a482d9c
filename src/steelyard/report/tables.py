"""Pure tables: titles, columns and cells with formatted text and the raw value. Renderers only lay them out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from steelyard.core.candidate import steps_text
from steelyard.core.outcome import Outcome, Point
from steelyard.report import answer
from steelyard.report.formatting import (
    PERCENT_METRICS,
    UNKNOWN,
    cleaned,
    format_bytes,
    format_figure,
    format_interval,
    format_seconds,
    significant,
)

Raw = float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its key, its title, how it is aligned, and its priority (0 is dropped last where room is short)."""

    key: str
    title: str
    align: Literal["left", "right"] = "right"
    priority: int = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: text for people, the raw value in SI units for sorting, and a shorter text for narrow places."""

    text: str
    raw: Raw = None
    short: str | None = None

    @property
    def brief(self) -> str:
        """The shorter text where there is one."""
        return self.text if self.short is None else self.short


@dataclass(frozen=True, slots=True)
class Row:
    """A row: one cell a column, the key of the point it shows, and that point's marks."""

    cells: tuple[Cell, ...]
    key: str = ""
    marks: tuple[answer.Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table. Every row has one cell a column."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = field(default=())

    def select(self, keys: Iterable[str]) -> "Table":
        """The same table with only the columns of these keys, in their own order."""
        kept = set(keys)
        places = [place for place, column in enumerate(self.columns) if column.key in kept]
        rows = tuple(Row(tuple(row.cells[place] for place in places), row.key, row.marks) for row in self.rows)
        return Table(self.title, tuple(self.columns[place] for place in places), rows)

    def without_empty(self) -> "Table":
        """The same table without columns in which nothing is known."""
        kept = [
            column.key
            for place, column in enumerate(self.columns)
            if any(row.cells[place].text not in ("", UNKNOWN) for row in self.rows)
        ]
        return self.select(kept)


NOTHING = Cell(UNKNOWN)
_SYMBOLS: Mapping[answer.Mark, str] = {"chosen": "★", "reference": "R", "baseline": "B", "front": "•"}
_BESIDE = (
    "latency_p50_s",
    "latency_p95_s",
    "throughput_per_s",
    "size_bytes",
    "peak_memory_bytes",
    "parameters",
    "macs",
    "energy_j",
    "train_s",
)
_SPENT = {
    "train_s": "training",
    "export_s": "exporting and compressing",
    "measure_s": "measuring",
    "certify_s": "certifying",
    "other_s": "everything else",
}


def points_table(outcome: Outcome) -> Table:
    """One row a confirmed point, by rising minimised cost; columns that nobody fills are left out."""
    metric = outcome.drop.metric
    varying = varying_knobs(outcome)
    figures: tuple[tuple[Column, Callable[[Point], Cell]], ...] = (
        (Column("mark", "", "left", 0), lambda point: mark_cell(outcome, point)),
        (Column("name", "candidate", "left", 0), lambda point: name_cell(point, varying)),
        (Column("quality", f"{cleaned(metric)} (valid)", priority=1), _figure(metric)),
        (Column("quality_test", f"{cleaned(metric)} (test)", priority=4), _figure(f"{metric}_test")),
        (Column("drop", drop_title(outcome), priority=3), lambda point: drop_cell(outcome, point)),
        *((Column(name, title, priority=priority), _figure(name)) for name, title, priority in _cost_columns(outcome)),
        (Column("diagnosis", "fit", "left", 5), lambda point: _note(point, "diagnosis")),
        *((Column(f"score_{name}", name, priority=9), _score(name)) for name in score_names(outcome)),
    )
    rows = tuple(
        Row(tuple(cell(point) for _, cell in figures), point.key, answer.marks(outcome, point))
        for point in answer.all_points(outcome)
    )
    return Table("Measured points", tuple(column for column, _ in figures), rows).without_empty()


def figure_lines(outcome: Outcome) -> list[tuple[str, str]]:
    """Every point's name and all its figures with their 95 % intervals, as one sentence a point."""
    table = points_table(outcome)
    lines = []
    for row in table.rows:
        named = dict(zip((column.key for column in table.columns), row.cells, strict=True))
        figures = [
            f"{column.title} {cell.text}"
            for column, cell in zip(table.columns, row.cells, strict=True)
            if column.key not in ("mark", "name") and not column.key.startswith("score_") and cell.text != UNKNOWN
        ]
        lines.append((named["name"].text, ", ".join(figures)))
    return lines


def reasons_table(outcome: Outcome) -> Table:
    """Why each point was chosen or not: the chosen and the reference first, then by rising minimised cost."""
    varying = varying_knobs(outcome)
    columns = (
        Column("mark", "", "left", 0),
        Column("name", "candidate", "left", 0),
        Column("reason", "reason", "left", 1),
    )
    rows = tuple(
        Row(
            (mark_cell(outcome, point), name_cell(point, varying), Cell(cleaned(point.reason) or UNKNOWN)),
            point.key,
            answer.marks(outcome, point),
        )
        for point in sorted(answer.all_points(outcome), key=lambda each: _telling(outcome, each))
    )
    return Table("Why this one, and why not the others", columns, rows)


def ratios_table(outcome: Outcome) -> Table:
    """The chosen point beside the reference: each figure of both, and how many times better."""
    metric = outcome.drop.metric
    told = {gain.metric: gain for gain in answer.gains(outcome)}
    names = (metric, f"{metric}_test", *_BESIDE)
    rows = []
    for name in names:
        ours, theirs = outcome.chosen.metrics.get(name), outcome.reference.metrics.get(name)
        if ours is None and theirs is None:
            continue
        gain = told.get(name)
        change = "" if gain is None else str(gain) if gain.is_clear else "no clear difference"
        cells = (
            Cell(figure_title(name, metric), name),
            _figure(name)(outcome.chosen),
            _figure(name)(outcome.reference),
        )
        rows.append(Row((*cells, Cell(change, None if gain is None else gain.ratio))))
    columns = (
        Column("figure", "figure", "left", 0),
        Column("chosen", "chosen", priority=0),
        Column("reference", "reference", priority=0),
        Column("change", "gain", "left", 1),
    )
    return Table("The chosen point against the reference", columns, tuple(rows))


def spent_table(outcome: Outcome) -> Table:
    """The seconds by kind of work, the longest first, with their share."""
    # The wall time is no kind of work; workers run side by side, so the kinds may sum to more.
    kinds = {name: seconds for name, seconds in outcome.spent.items() if name != "wall_s"}
    total = sum(kinds.values())
    ordered = sorted(kinds.items(), key=lambda item: -item[1])
    rows = tuple(
        Row(
            (
                Cell(_SPENT.get(name, cleaned(name).removesuffix("_s").replace("_", " ")), name),
                Cell(format_seconds(seconds), seconds),
                Cell(f"{100 * seconds / total:.0f} %" if total else UNKNOWN, seconds),
            )
        )
        for name, seconds in ordered
    )
    columns = (Column("work", "work", "left", 0), Column("time", "time", priority=0), Column("share", "share"))
    return Table("Where the time went", columns, rows)


def failures_table(outcome: Outcome) -> Table:
    """Candidates that ended in a failure: at which stage and why."""
    rows = tuple(
        Row((Cell(cleaned(failure.name or failure.key)), Cell(cleaned(failure.stage)), Cell(cleaned(failure.message))))
        for failure in outcome.failures
    )
    columns = (
        Column("name", "candidate", "left", 0),
        Column("stage", "failed at", "left", 0),
        Column("message", "why", "left", 1),
    )
    return Table("Failures", columns, rows)


def facts_table(outcome: Outcome) -> Table:
    """What was read from the task before the search, and the splits."""
    rows = [
        Row((Cell(cleaned(fact.name).replace("_", " ")), Cell(cleaned(fact.text) or UNKNOWN))) for fact in outcome.facts
    ]
    rows.append(Row((Cell("splits"), Cell(splits_text(outcome)))))
    return Table(
        "Read from the task",
        (Column("fact", "fact", "left", 0), Column("text", "what was read", "left", 0)),
        tuple(rows),
    )


def environment_table(outcome: Outcome) -> Table:
    """The machine and the versions of every figure here."""
    where = outcome.environment
    pairs = [
        ("processor", where.processor),
        ("cores", f"{where.cores}"),
        ("memory", format_bytes(where.memory_bytes)),
        ("system", where.system),
        ("python", where.python),
        *sorted(where.versions.items()),
    ]
    if where.flags:
        pairs.append(("flags", ", ".join(where.flags)))
    rows = tuple(Row((Cell(cleaned(name)), Cell(cleaned(text) or UNKNOWN))) for name, text in pairs)
    return Table("Environment", (Column("fact", "part", "left", 0), Column("value", "value", "left", 0)), rows)


def splits_text(outcome: Outcome) -> str:
    """The rows of each split, and how they were made."""
    words = {"train": "train", "valid": "validation", "test": "test"}
    counts = [f"{words[name]} {outcome.splits[name]:,}" for name in words if name in outcome.splits]
    how = cleaned(str(outcome.splits.get("how", "")))
    return ", ".join(counts) + (f" ({how})" if how else "")


def counts_text(outcome: Outcome) -> str:
    """How many candidates were explored, trained, measured and failed."""
    names = [name for name in ("explored", "trained", "measured") if name in outcome.counts]
    counted = [f"{outcome.counts[name]:,} {name}" for name in names]
    failed = outcome.counts.get("failed", len(outcome.failures))
    stopped = [f"{len(outcome.stopped):,} stopped early"] if outcome.stopped else []
    return ", ".join([*counted, *stopped, f"{failed:,} failed"]) + f", in {format_seconds(outcome.wall_s)}"


def drop_title(outcome: Outcome) -> str:
    """The title of the drop's column, with its unit."""
    if outcome.drop.relative:
        return "drop (% of reference)"
    return "drop (points)" if outcome.drop.metric in PERCENT_METRICS else "drop"


def drop_cell(outcome: Outcome, point: Point) -> Cell:
    """The validation drop against the reference: in percentage points, percent of the reference, or plain."""
    drop = answer.validation_drop(outcome, point)
    if drop is None:
        return NOTHING
    if point.key == outcome.reference.key:
        return Cell("0", 0.0)
    in_percent = outcome.drop.relative or outcome.drop.metric in PERCENT_METRICS
    text = f"{100 * drop:+.2f}" if in_percent else f"{'+' if drop > 0 else ''}{significant(drop)}"
    return Cell(text.replace("-", "−"), drop)


def mark_cell(outcome: Outcome, point: Point) -> Cell:
    """What the point is, in words and as a symbol."""
    marks = answer.marks(outcome, point)
    words = ", ".join("on front" if mark == "front" else mark for mark in marks)
    return Cell(words, words, "".join(_SYMBOLS[mark] for mark in marks[:1]))


def varying_knobs(outcome: Outcome) -> frozenset[tuple[str, str]]:
    """Pairs of family and knob that take more than one setting among the points: the others need no telling."""
    seen: dict[tuple[str, str], set[object]] = {}
    for point in answer.all_points(outcome):
        for knob, setting in point.scale.settings:
            seen.setdefault((point.family, knob), set()).add(setting)
    return frozenset(pair for pair, settings in seen.items() if len(settings) > 1)


def name_cell(point: Point, varying: frozenset[tuple[str, str]]) -> Cell:
    """The point's full name; in short, only with the knobs that set it apart."""
    settings = point.scale.settings
    apart = [(knob, value) for knob, value in settings if (point.family, knob) in varying] or settings
    told = [f"{knob} {value}" for knob, value in apart]
    parts = [" ".join([point.family, *told[:1]]), *told[1:], *([steps_text(point.steps)] if point.steps else [])]
    parts += [f"{option} {setting}" for option, setting in point.candidate.options]
    name = answer.point_name(point)
    return Cell(name, name, cleaned(", ".join(parts)))


def score_names(outcome: Outcome) -> tuple[str, ...]:
    """The score columns that any point has, in the order they first appear."""
    return tuple(dict.fromkeys(name for point in answer.all_points(outcome) for name in point.scores))


def figure_title(name: str, metric: str) -> str:
    """A figure's title; the quality says which split it is of."""
    if name == metric:
        return f"{cleaned(metric)} (valid)"
    if name in (f"{metric}_test", f"{metric}_train"):
        return f"{cleaned(metric)} ({name.rpartition('_')[2]})"
    return answer.metric_title(name)


def metric_cell(point: Point, name: str) -> Cell:
    """A figure with its interval, by the name of the JSON contract."""
    quantity = point.metrics.get(name)
    if quantity is None or (name == "train_s" and quantity.value == 0):
        # What was never trained here took no time to train; "0 s" would read as if it had.
        return NOTHING
    short = format_figure(quantity.value, name, quantity.unit)
    return Cell(format_interval(quantity, name), quantity.value, short)


def _telling(outcome: Outcome, point: Point) -> int:
    return (outcome.chosen.key, outcome.reference.key, point.key).index(point.key)


def _figure(name: str) -> Callable[[Point], Cell]:
    return lambda point: metric_cell(point, name)


def _note(point: Point, name: str) -> Cell:
    note: Any = point.notes.get(name)
    return Cell(cleaned(str(note)), cleaned(str(note))) if note else NOTHING


def _score(name: str) -> Callable[[Point], Cell]:
    def cell(point: Point) -> Cell:
        score = point.scores.get(name)
        return NOTHING if score is None else Cell(significant(score), score)

    return cell


def _cost_columns(outcome: Outcome) -> tuple[tuple[str, str, int], ...]:
    priorities = {
        "latency_p50_s": 2,
        "latency_p95_s": 6,
        "size_bytes": 2,
        "peak_memory_bytes": 6,
        "energy_j": 6,
        "parameters": 4,
        "macs": 7,
        "train_s": 7,
    }
    priorities[outcome.goal.cost_metric] = 1
    return tuple((name, answer.metric_title(name), priority) for name, priority in priorities.items())
