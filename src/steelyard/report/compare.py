"""Two outcomes side by side. Figures measured in different environments are shown, marked, and never set in ratio."""

from collections.abc import Mapping
from dataclasses import dataclass

from steelyard.core.environment import Environment
from steelyard.core.outcome import SCHEMA, Outcome
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain
from steelyard.report import answer
from steelyard.report.formatting import UNKNOWN, cleaned, format_times
from steelyard.report.tables import Cell, Column, Row, Table, figure_title, metric_cell

MEASURED = frozenset(
    {"latency_p50_s", "latency_p95_s", "latency_p99_s", "throughput_per_s", "peak_memory_bytes", "train_s", "energy_j"}
)
"""Figures that depend on the machine; the others are counted or computed from outputs."""

_MARK = " †"
_FIGURES = (
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "throughput_per_s",
    "size_bytes",
    "peak_memory_bytes",
    "energy_j",
    "parameters",
    "macs",
    "train_s",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two outcomes side by side: what stands in the way of comparing them, their tables, and what each proved.

    `is_one_environment` is whether every measured figure may be compared.
    """

    title: str
    notices: tuple[str, ...]
    tables: tuple[Table, ...]
    claims: tuple[str, ...]
    is_one_environment: bool

    def to_json(self) -> Plain:
        """The plain form: what the tables hold, raw values in SI units."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "notices": list(self.notices),
            "claims": list(self.claims),
            "is_one_environment": self.is_one_environment,
            "figures": [
                {"figure": row.cells[0].raw or row.cells[0].text, "a": _value(row.cells[1]), "b": _value(row.cells[2])}
                for table in self.tables
                for row in table.rows
            ],
        }


def compare(a: Outcome, b: Outcome, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Set the chosen points of two outcomes side by side.

    Args:
        a: The first outcome.
        b: The second outcome.
        names: What to call them, such as the paths of their bundles.

    Returns:
        The comparison. Where the environments differ, a notice names what differs, measured figures carry a dagger
        and no ratio; where the tasks or test rows differ, qualities are treated alike.
    """
    first, second = (cleaned(name) for name in names)
    is_one_environment = a.environment.key == b.environment.key
    is_one_question = (a.task, a.drop.metric, _rows(a)) == (b.task, b.drop.metric, _rows(b))
    notices = []
    if not is_one_environment:
        changes = "; ".join(environment_changes(a.environment, b.environment))
        notices.append(
            f"{first} and {second} were measured in different environments ({changes}): figures marked † can't be "
            "compared; measure both on one machine with the same versions."
        )
    if not is_one_question:
        notices.append(
            f"{first} and {second} answer different questions (task, metric or rows differ): their qualities can't "
            "be compared."
        )
    table = _table(a, b, (first, second), (is_one_environment, is_one_question))
    claims = tuple(f"{name}: {answer.proof_sentence(each)}" for name, each in ((first, a), (second, b)))
    return Comparison(f"{first} beside {second}", tuple(notices), (table,), claims, is_one_environment)


def environment_changes(a: Environment, b: Environment) -> tuple[str, ...]:
    """What differs between two environments, each as `name: one, other`."""
    ours, theirs = _flat(a), _flat(b)
    names = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    return tuple(cleaned(f"{name}: {ours.get(name, 'absent')}, {theirs.get(name, 'absent')}") for name in names)


def _flat(environment: Environment) -> dict[str, str]:
    plain = environment.to_json()
    versions: Mapping[str, str] = plain.pop("versions")
    return {**{name: str(value) for name, value in plain.items()}, **versions}


def _rows(outcome: Outcome) -> tuple[object, ...]:
    return tuple(outcome.splits.get(name) for name in ("valid", "test"))


def _table(a: Outcome, b: Outcome, names: tuple[str, str], comparable: tuple[bool, bool]) -> Table:
    is_one_environment, is_one_question = comparable
    rows = [
        _words("chosen", answer.point_name(a.chosen), answer.point_name(b.chosen)),
        _words("status", a.status, b.status),
        _words("task", a.task, b.task),
    ]
    metrics = dict.fromkeys([a.drop.metric, b.drop.metric])
    qualities = [each for metric in metrics for each in (metric, f"{metric}_test")]
    for name in (*qualities, *_FIGURES):
        cells = metric_cell(a.chosen, name), metric_cell(b.chosen, name)
        if cells[0].raw is None and cells[1].raw is None:
            continue
        is_comparable = is_one_environment if name in MEASURED else is_one_question or name in _FIGURES
        title = figure_title(name, name.removesuffix("_test") if name in qualities else a.drop.metric)
        change = _change(a.chosen.metrics.get(name), b.chosen.metrics.get(name), is_quality=name in qualities)
        if not is_comparable:
            cells = _marked(cells[0]), _marked(cells[1])
            change = Cell("not comparable")
        rows.append(Row((Cell(title, name), *cells, change)))
    columns = (
        Column("figure", "figure of the chosen point", "left", 0),
        Column("a", names[0], "left", 0),
        Column("b", names[1], "left", 0),
        Column("change", "second over first", "left", 1),
    )
    return Table("The chosen points", columns, tuple(rows))


def _value(cell: Cell) -> Plain:
    return None if cell.text == UNKNOWN else cell.text if cell.raw is None else cell.raw


def _words(title: str, a: str, b: str) -> Row:
    return Row((Cell(title), Cell(cleaned(a)), Cell(cleaned(b)), Cell("")))


def _marked(cell: Cell) -> Cell:
    if cell.raw is None:
        return cell
    return Cell(cell.text + _MARK, cell.raw, cell.brief + _MARK)


def _change(a: Quantity | None, b: Quantity | None, *, is_quality: bool) -> Cell:
    if a is None or b is None:
        return Cell(UNKNOWN)
    if a.value == b.value:
        return Cell("the same", 1.0)
    if answer.overlap(a, b):
        return Cell("no clear difference", b.value / a.value if a.value else None)
    if is_quality:
        return Cell(f"{b.value - a.value:+.4g}".replace("-", "−"), b.value - a.value)
    if not a.value:
        return Cell(UNKNOWN)
    ratio = b.value / a.value
    return Cell(f"× {format_times(ratio) if ratio > 1 else f'{ratio:.2g}'}", ratio)
