"""The outcome on a terminal: a rich renderable that fits the width it is printed at."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from steelyard.core.outcome import Outcome
from steelyard.report import answer, evolved
from steelyard.report.compare import Comparison
from steelyard.report.explained import sentences, waterfall_table
from steelyard.report.formatting import cleaned
from steelyard.report.layout import fitted
from steelyard.report.profiled import Sheet
from steelyard.report.scaled import scaling_sentences
from steelyard.report.shared import exploring_sentences
from steelyard.report.tables import Table, counts_text, figure_lines, points_table

MOST_ROWS = 25
"""Points shown on a terminal; the chosen, the reference and the front go first. The report has them all."""

_STATUS = {"certified": ("✔", "bold green"), "estimated": ("≈", "bold yellow"), "infeasible": ("✘", "bold red")}
_ROW_STYLES = {"chosen": "bold green", "reference": "cyan", "baseline": "dim"}
_LEGEND = "★ chosen   R reference   B baseline   • on the front"


@dataclass(frozen=True, slots=True)
class TerminalReport:
    """The outcome for a terminal of any width: headline, proof, table, misses, notices, paths. Printed by `cli`."""

    outcome: Outcome

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay everything out for the width at hand."""
        outcome = self.outcome
        symbol, style = _STATUS[outcome.status]
        yield Text()
        yield _folded(f"{symbol} {answer.headline(outcome)}", style)
        yield _folded(answer.as_sentence(answer.proof_sentence(outcome)))
        for sentence in (
            *(answer.as_sentence(text) for text in answer.miss_sentences(outcome)),
            *answer.proof_remarks(outcome),
        ):
            yield _folded(sentence, "yellow")
        yield Text()
        yield from rich_table(shortened(points_table(outcome), MOST_ROWS), options.max_width)
        yield _folded(_LEGEND, "dim")
        hidden = len(answer.all_points(outcome)) - MOST_ROWS
        if hidden > 0:
            yield _folded(f"{hidden:,} more points in the report.", "dim")
        yield _folded(answer.as_sentence(counts_text(outcome)) + ".", "dim")
        if len(outcome.points) <= MOST_ROWS:
            yield Text()
            yield _folded("Every figure, with its 95 % interval:", "bold")
            for name, figures in figure_lines(outcome):
                yield _folded(f"{cleaned(name)}: {figures}.", "dim")
        waterfall = waterfall_table(outcome)
        if len(waterfall.rows) > 1:
            yield Text()
            yield _folded(f"{waterfall.title}:", "bold")
            yield from rich_table(waterfall, options.max_width)
        for sentence in (*sentences(outcome), *scaling_sentences(outcome), *exploring_sentences(outcome)):
            yield _folded(answer.as_sentence(sentence))
        yield from _evolution(outcome, options.max_width)
        for notice in outcome.notices:
            yield _folded(f"note: {cleaned(notice)}", "yellow")
        yield Text()
        yield from _path("report", answer.report_path(outcome))
        yield from _path("next", answer.next_command(outcome))


@dataclass(frozen=True, slots=True)
class TerminalComparison:
    """Two outcomes side by side, or a profile, for a terminal of any width. Printed by `cli`."""

    comparison: Comparison | Sheet

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay everything out for the width at hand."""
        yield Text()
        yield _folded(self.comparison.title, "bold")
        for notice in self.comparison.notices:
            yield _folded(f"note: {notice}", "yellow")
        for table in self.comparison.tables:
            yield Text()
            yield _folded(table.title, "bold")
            yield from rich_table(table, options.max_width)
        for sentence in self.comparison.claims:
            yield _folded(sentence)


def rich_table(table: Table, width: int) -> Iterator[RichTable]:
    """The table with the columns that fit into `width`, marked rows coloured."""
    kept, widths = fitted(table, width)
    drawn = RichTable(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, collapse_padding=True, header_style="bold", expand=False
    )
    for column, cells in zip(kept.columns, widths, strict=True):
        drawn.add_column(Text(column.title), justify=column.align, width=cells, overflow="fold")
    for row in kept.rows:
        style = next((_ROW_STYLES[mark] for mark in row.marks if mark in _ROW_STYLES), "")
        drawn.add_row(*(Text(cell.brief) for cell in row.cells), style=style)
    yield drawn


def shortened(table: Table, most: int) -> Table:
    """At most `most` rows, in their order: those with marks go first, then the cheapest."""
    if len(table.rows) <= most:
        return table
    ranked = sorted(range(len(table.rows)), key=lambda place: (_rank(table.rows[place].marks), place))
    kept = set(ranked[:most])
    return Table(table.title, table.columns, tuple(row for place, row in enumerate(table.rows) if place in kept))


def _rank(marks: tuple[answer.Mark, ...]) -> int:
    return 2 if not marks else 1 if marks == ("front",) else 0


def _folded(text: str, style: str = "") -> Text:
    return Text(text, style=style, overflow="fold")


def _evolution(outcome: Outcome, width: int) -> Iterator[Text | RichTable]:
    for table in evolved.tables_shown(outcome):
        yield Text()
        yield _folded(f"{table.title}:", "bold")
        yield from rich_table(table, width)
    if outcome.generations:
        yield _folded(answer.as_sentence(evolved.sentence(outcome)))
        yield _folded(evolved.EXPLAINED, "dim")


def _path(label: str, value: str) -> Iterator[Text]:
    yield Text.assemble((f"{label}: ", "bold"), value, overflow="fold")
