"""States of a table: every column of an observation cut into bins, their numbers put together into one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from steelyard.core.protocols import Task
from steelyard.core.task import Array, TableInput

MOST_ENTRIES = 50_000
"""Entries of a table that are learned in minutes: each wants to be tried some tens of times."""
LADDER = (4, 6, 8, 12, 16, 24, 32)
"""Bins of one column that are offered, where all columns together leave the table small enough."""


@dataclass(frozen=True, slots=True)
class Bins:
    """How rows become states. Per column: value × scale + offset, rounded down, held within 0 and size − 1, × stride.

    Categories have a bin for each code. Numbers have equal bins over the range that was seen; the outermost reach to
    infinity.
    """

    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, task: Task, bins: int) -> Self:
        """The bins of a task's columns.

        Args:
            task: whose training rows say what range was seen.
            bins: of each column that is a number.
        """
        assert isinstance(task.input, TableInput)  # noqa: S101  tasks of environments are tables; narrows the type
        scales, offsets, sizes = [], [], []
        for index, column in enumerate(task.input.columns):
            if column.kind == "category":
                scales.append(1.0)
                offsets.append(0.0)
                sizes.append(len(column.categories) + 1)
                continue
            seen = np.asarray(task.train.x[:, index], dtype=np.float64)
            low, width = float(seen.min()), float(np.ptp(seen)) or 1.0
            scales.append(bins / width)
            offsets.append(-low * bins / width)
            sizes.append(bins)
        return cls(tuple(scales), tuple(offsets), tuple(sizes))

    @property
    def count(self) -> int:
        """How many states there are."""
        return math.prod(self.sizes)

    @property
    def strides(self) -> tuple[int, ...]:
        """What one bin more of each column adds to the number of the state."""
        return tuple(math.prod(self.sizes[index + 1 :]) for index in range(len(self.sizes)))

    @property
    def are_codes(self) -> bool:
        """Whether every value is the number of its bin already."""
        return all(scale == 1.0 and offset == 0.0 for scale, offset in zip(self.scales, self.offsets, strict=True))

    def finder(self) -> Callable[[list[float]], int]:
        """A function from one row to its state, the same as `states` gives."""
        if not self.are_codes:
            return lambda row: int(self.states(np.array([row], dtype=np.float32))[0])
        sizes = self.sizes

        def state(row: list[float]) -> int:
            found = 0
            for value, size in zip(row, sizes, strict=True):
                found = found * size + min(max(int(value), 0), size - 1)
            return found

        return state

    def states(self, rows: Array) -> Array:
        """The states (n,) int64 of rows (n, columns).

        In float32, as the file computes them: a value on an edge must fall on the same side in both.
        """
        scales, offsets = (np.array(each, dtype=np.float32) for each in (self.scales, self.offsets))
        places = np.floor(np.asarray(rows, dtype=np.float32) * scales + offsets)
        within = np.clip(places, 0, np.array(self.sizes, dtype=np.float32) - 1).astype(np.int64)
        found: Array = within @ np.array(self.strides, dtype=np.int64)
        return found


def bins_offered(task: Task) -> tuple[int, ...]:
    """Bins that a number of the task may be cut into; none where it has no numbers."""
    assert isinstance(task.input, TableInput)  # noqa: S101  narrows the type
    numbers = sum(column.kind == "number" for column in task.input.columns)
    if not numbers:
        return ()
    fixed = Bins.of(task, 1).count * task.output.width
    return tuple(bins for bins in LADDER if fixed * bins**numbers <= MOST_ENTRIES)
