"""What a search by evolution tells of its generations, as tables, rows of a chart and a sentence. Pure."""

from collections.abc import Sequence
from typing import Any

from steelyard.core.generation import Generation
from steelyard.core.outcome import Outcome
from steelyard.report import answer
from steelyard.report.formatting import UNKNOWN, cleaned
from steelyard.report.tables import NOTHING, Cell, Column, Row, Table, mark_cell, metric_cell, name_cell, varying_knobs

STATISTICS = {"maximum": "max", "mean": "avg", "minimum": "min"}
"""Figures of a generation and what they are called."""
MOST_SHOWN = 10
"""Generations shown as text: the last ones. The report has them all."""
EXPLAINED = (
    "Fitness weighs quality, training time, latency, size and memory against the reference, which has a fitness of 0; "
    "higher is better. It steers the search and chooses nothing."
)


def generations_table(outcome: Outcome) -> Table:
    """One row a generation: its individuals, and the least, average and highest fitness of them."""
    columns = (
        Column("name", "generation", "right", 0),
        Column("size", "individuals", priority=3),
        Column("new", "new", priority=2),
        Column("failed", "failed", priority=4),
        Column("unknown", "unfinished", priority=4),
        *(Column(f"fitness_{name}", f"{title} fitness", priority=1) for name, title in reversed(STATISTICS.items())),
    )
    return Table("Generations", columns, tuple(_row(each) for each in outcome.generations))


def tables_shown(outcome: Outcome) -> tuple[Table, ...]:
    """The last generations and the hall of fame, for text; empty for another search."""
    if not outcome.generations:
        return ()
    told = generations_table(outcome)
    title = told.title if len(told.rows) <= MOST_SHOWN else f"The last {MOST_SHOWN} generations"
    return Table(title, told.columns, told.rows[-MOST_SHOWN:]), hall_table(outcome)


def hall_table(outcome: Outcome) -> Table:
    """The hall of fame: the fittest candidates of the whole run, the fittest first."""
    points = {point.key: point for point in answer.all_points(outcome)}
    varying = varying_knobs(outcome)
    metric, cost = outcome.drop.metric, outcome.goal.cost_metric
    columns = (
        Column("mark", "", "left", 0),
        Column("name", "candidate", "left", 0),
        Column("fitness", "fitness", priority=0),
        Column("quality", f"{cleaned(metric)} (valid)", priority=1),
        Column("cost", answer.metric_title(cost), priority=1),
    )
    rows = []
    for key, fitness in hall(outcome):
        point = points.get(key)
        told = _cell(fitness)
        if point is None:
            rows.append(Row((NOTHING, Cell(key), told, NOTHING, NOTHING), key))
            continue
        figures = (metric_cell(point, metric), metric_cell(point, cost))
        marks = answer.marks(outcome, point)
        rows.append(Row((mark_cell(outcome, point), name_cell(point, varying), told, *figures), key, marks))
    return Table("Hall of fame", columns, tuple(rows))


def hall(outcome: Outcome) -> Sequence[tuple[str, float]]:
    """Keys and fitness of the fittest candidates of the run; empty where no generation is told of."""
    return outcome.generations[-1].hall if outcome.generations else ()


def sentence(outcome: Outcome) -> str:
    """How far evolution came; empty for another search."""
    told = outcome.generations
    if not told:
        return ""
    first, last = told[0], told[-1]
    many = f"{len(told)} generation" + ("s" if len(told) > 1 else "")
    bred = f"{many} of {last.size}, {sum(each.new for each in told):,} different candidates"
    if first.maximum is None or last.maximum is None:
        return f"{bred}; none has a fitness." if last.maximum is None else f"{bred}; none of the first has a fitness."
    return (
        f"{bred}; the best fitness went from {_text(first.maximum)} to {_text(last.maximum)} (the reference has 0), "
        f"the average from {_text(first.mean)} to {_text(last.mean)}."
    )


def chart_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Fitness by generation in long form: generation, statistic, fitness."""
    return [
        {"generation": each.number, "statistic": title, "fitness": value}
        for each in outcome.generations
        for name, title in STATISTICS.items()
        if (value := getattr(each, name)) is not None
    ]


def _row(generation: Generation) -> Row:
    counts = (generation.number, generation.size, generation.new, generation.failed, generation.unknown)
    figures = (getattr(generation, name) for name in reversed(STATISTICS))
    return Row((*(Cell(f"{count:,}", count) for count in counts), *(_cell(figure) for figure in figures)))


def _cell(fitness: float | None) -> Cell:
    return NOTHING if fitness is None else Cell(_text(fitness), fitness)


def _text(fitness: float | None) -> str:
    """Two decimals: a tenth of a doubling of the latency, at the default weights, shows."""
    return UNKNOWN if fitness is None else f"{fitness:,.2f}".replace("-", "−")
