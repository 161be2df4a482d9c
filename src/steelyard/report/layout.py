"""Fitting a table into a number of terminal columns: which of its columns stay, and how wide each may be."""

from collections.abc import Sequence

from rich.cells import cell_len

from steelyard.report.tables import Table

SMALLEST_NAME = 12
"""Text columns are wrapped, never narrower than this."""

WRAP_BEFORE = 2
"""Columns of this priority and below are worth wrapping names for; others leave before a name is wrapped."""


def natural_widths(table: Table) -> list[int]:
    """The width of each column if no cell is wrapped; titles may wrap between words."""
    widths = [max(cell_len(word) for word in column.title.split(" ")) for column in table.columns]
    for row in table.rows:
        for place, cell in enumerate(row.cells):
            widths[place] = max(widths[place], cell_len(cell.brief))
    return widths


def fitted(table: Table, width: int, *, gap: int = 2) -> tuple[Table, list[int]]:
    """The table with as many of its columns as fit into `width`, and the width of each.

    Less important columns leave first; then text wraps; then all leave but the most important. Figures are never
    wrapped as long as one of them stands.
    """
    while True:
        widths = natural_widths(table)
        excess = sum(widths) + gap * (len(widths) - 1) - width
        soft = [place for place, column in enumerate(table.columns) if column.align == "left" and column.title]
        reach = sum(widths[place] - _floor(widths[place]) for place in soft)
        last = max((column.priority for column in table.columns), default=0)
        if excess <= 0 or last == 0 or (last <= WRAP_BEFORE and excess <= reach):
            return table, _narrowed(widths, soft, excess, width)
        dropped = max(range(len(widths)), key=lambda place: (table.columns[place].priority, place))
        table = table.select(column.key for place, column in enumerate(table.columns) if place != dropped)


def _floor(natural: int) -> int:
    return min(natural, SMALLEST_NAME)


def _narrowed(widths: Sequence[int], soft: Sequence[int], excess: int, width: int) -> list[int]:
    narrowed = list(widths)
    while excess > 0 and soft:
        widest = max(soft, key=lambda place: narrowed[place])
        if narrowed[widest] <= 4:
            break
        narrowed[widest] -= 1
        excess -= 1
    return [min(each, width) for each in narrowed]
