"""What a reader hands over: every row of every split, raw, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self, final

from steelyard.core.errors import DataError
from steelyard.core.task import Array, Fact

Columns = Mapping[str, Array]
"""A table, raw: column name to values (n,); objects may be mixed, None is missing."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Raw rows of all splits.

    `x` is images (n, ...) or a table, `y` raw targets (n,), `split` codes of splits (n,) where the data name them,
    `order` ranks (n,) that splits are to follow, `groups` numbers (n,) of what belongs together, `rate` of sound in
    samples a second.
    """

    origin: str
    x: Array | Columns
    y: Array
    target: str = "y"
    split: Array | None = None
    order: Array | None = None
    groups: Array | None = None
    notes: tuple[Fact, ...] = ()
    rate: int | None = None

    def __post_init__(self) -> None:
        """Check that everything has one length.

        Raises:
            DataError: if lengths differ or there is no row.
        """
        lengths = [len(each) for each in self.x.values()] if isinstance(self.x, Mapping) else [len(self.x)]
        beside = [len(each) for each in (self.split, self.order, self.groups) if each is not None]
        for length in (*lengths, *beside):
            if length != len(self.y):
                raise DataError(
                    f"{self.origin} must hold as many rows of x as of y, got {length:,} and {len(self.y):,}; "
                    "was it cut off?",
                    field="data",
                )
        if not len(self.y):
            raise DataError(f"{self.origin} must hold at least one row, got none; is it the right file?", field="data")

    def kept(self, rows: Array, note: Fact) -> Self:
        """The same source with these rows only, and one note more."""
        x = {name: each[rows] for name, each in self.x.items()} if isinstance(self.x, Mapping) else self.x[rows]
        narrowed = [None if each is None else each[rows] for each in (self.split, self.order, self.groups)]
        split, order, groups = narrowed
        notes = (*self.notes, note)
        return replace(self, x=x, y=self.y[rows], notes=notes, split=split, order=order, groups=groups)
