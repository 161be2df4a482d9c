"""The outcome as plain text, for logs and pipes: no colour, no box characters, no cursor movement."""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len

from steelyard.core.outcome import Outcome
from steelyard.report import answer, evolved
from steelyard.report.compare import Comparison
from steelyard.report.explained import sentences, waterfall_table
from steelyard.report.formatting import cleaned
from steelyard.report.layout import fitted
from steelyard.report.profiled import Sheet
from steelyard.report.scaled import scaling_sentences
from steelyard.report.shared import exploring_sentences
from steelyard.report.tables import Cell, Column, Row, Table, counts_text, figure_lines, points_table

WIDTH = 100
"""Columns of text where there is no terminal to ask."""

MOST_DETAILED = 40
"""Points whose every figure is written out; with more, the report has them."""


def render(outcome: Outcome, width: int = WIDTH) -> str:
    """The outcome as lines of text of at most `width` columns, every point among them; paths are never broken."""
    lines = [
        *_wrapped(answer.headline(outcome), width),
        *_wrapped(answer.proof_sentence(outcome), width),
    ]
    for sentence in (*answer.miss_sentences(outcome), *answer.proof_remarks(outcome)):
        lines += _wrapped(sentence, width)
    lines += ["", *table_lines(_worded(points_table(outcome)), width), "", *_wrapped(counts_text(outcome) + ".", width)]
    if len(outcome.points) <= MOST_DETAILED:
        lines += ["", *_wrapped("Every figure, with its 95 % interval:", width)]
        for name, figures in figure_lines(outcome):
            lines += _wrapped(f"{cleaned(name)}: {figures}.", width)
        lines.append("")
    waterfall = waterfall_table(outcome)
    if len(waterfall.rows) > 1:
        lines += [*_wrapped(f"{waterfall.title}:", width), *table_lines(waterfall, width), ""]
    for sentence in (*sentences(outcome), *scaling_sentences(outcome), *exploring_sentences(outcome)):
        lines += _wrapped(sentence, width)
    lines += _evolution(outcome, width)
    for notice in outcome.notices:
        lines += _wrapped(f"note: {cleaned(notice)}", width)
    lines += [f"report: {answer.report_path(outcome)}", f"next: {answer.next_command(outcome)}"]
    return "\n".join(lines) + "\n"


def _evolution(outcome: Outcome, width: int) -> list[str]:
    lines: list[str] = []
    for table in evolved.tables_shown(outcome):
        shown = _worded(table) if table.columns[0].key == "mark" else table
        lines += [*_wrapped(f"{table.title}:", width), *table_lines(shown, width), ""]
    if outcome.generations:
        lines += _wrapped(f"{evolved.sentence(outcome)} {evolved.EXPLAINED}", width)
    return lines


def render_comparison(comparison: Comparison | Sheet, width: int = WIDTH) -> str:
    """Two outcomes side by side, or a profile, as lines of text of at most `width` columns."""
    lines = _wrapped(comparison.title, width)
    for notice in comparison.notices:
        lines += _wrapped(f"note: {notice}", width)
    for table in comparison.tables:
        lines += ["", *_wrapped(table.title, width), *table_lines(table, width)]
    for sentence in comparison.claims:
        lines += _wrapped(sentence, width)
    return "\n".join(lines) + "\n"


def table_lines(table: Table, width: int) -> list[str]:
    """The table as aligned lines: two blanks between columns, long names wrapped in their column."""
    kept, widths = fitted(table, width)
    lines = _row_lines([column.title for column in kept.columns], kept.columns, widths, at_bottom=True)
    for row in kept.rows:
        lines += _row_lines([cell.brief for cell in row.cells], kept.columns, widths)
    return lines


def _worded(table: Table) -> Table:
    # Symbols need a legend and a font; the first word of the mark needs neither.
    rows = []
    for row in table.rows:
        word = Cell(row.marks[0] if row.marks else "")
        rows.append(Row((word, *row.cells[1:]), row.key, row.marks))
    return Table(table.title, table.columns, tuple(rows))


def _row_lines(
    texts: Sequence[str], columns: Sequence[Column], widths: Sequence[int], *, at_bottom: bool = False
) -> list[str]:
    pieces = [chopped(text, width) for text, width in zip(texts, widths, strict=True)]
    height = max(len(piece) for piece in pieces)
    if at_bottom:
        pieces = [[""] * (height - len(piece)) + piece for piece in pieces]
    lines = []
    for number in range(height):
        cells = [
            _padded(piece[number] if number < len(piece) else "", column, width)
            for piece, column, width in zip(pieces, columns, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def chopped(text: str, width: int) -> list[str]:
    """The text in pieces of at most `width` terminal columns, broken at blanks where that is possible."""
    pieces, line = [], ""
    for word in text.split(" "):
        rest = word
        if line and cell_len(line) + 1 + cell_len(rest) <= width:
            line = f"{line} {rest}"
            continue
        if line:
            pieces.append(line)
        while cell_len(rest) > width:
            cut = next(end for end in range(len(rest), 0, -1) if end == 1 or cell_len(rest[:end]) <= width)
            pieces.append(rest[:cut])
            rest = rest[cut:]
        line = rest
    return [*pieces, line]


def _padded(text: str, column: Column, width: int) -> str:
    blanks = " " * max(width - cell_len(text), 0)
    return text + blanks if column.align == "left" else blanks + text


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=True, break_on_hyphens=False) or [""]
