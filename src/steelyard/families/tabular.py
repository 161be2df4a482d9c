"""Q-learning and SARSA: action values in a table, looked up by the bins that an observation falls into."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import TableInput
from steelyard.core.wire import Plain
from steelyard.families.bins import MOST_ENTRIES, Bins, bins_offered
from steelyard.families.tdlearning import Learned, Rule, learn

FEW_ROWS = (8, 64)
"""Rows of tables whose states share them; a row for each state is always offered too."""
MOST_TABLES = 16
"""Learned tables that a process keeps: candidates that differ in rows and bits alone have one table between them."""


@dataclass(frozen=True, slots=True)
class Tabular:
    """A table of action values, learned by playing.

    Knobs: `bins`, how many each number of an observation is cut into, where it has numbers; `rows` of the table, which
    states with the same best action and like values share; `bits` of an entry. Rows and bits change what is stored,
    not what is decided: they cost no quality.
    """

    name: str
    rule: Rule
    _kept: MutableMapping[str, Learned] = field(default_factory=dict, compare=False, repr=False)

    def refusal(self, task: Task) -> str | None:
        """It needs an environment, and a table of a size that can be learned."""
        if not task.environment or not isinstance(task.input, TableInput):
            return "it learns by playing in an environment, and this task has rows with answers"
        numbers = sum(column.kind == "number" for column in task.input.columns)
        entries = Bins.of(task, 1).count * task.output.width
        if (numbers and not bins_offered(task)) or entries > MOST_ENTRIES:
            return (
                f"{len(task.input.columns)} columns of an observation make a table of more than {MOST_ENTRIES:,} "
                "entries; dqn learns them with a network"
            )
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Bins that keep the table small enough; 8, 64 and as many rows as states; 4, 8 and 32 bits."""
        bins = bins_offered(task)
        most = Bins.of(task, bins[-1] if bins else 1).count
        rows = (*(each for each in FEW_ROWS if 2 * each <= most), most)
        return (*((Knob("bins", bins),) if bins else ()), Knob("rows", rows), Knob("bits", (4, 8, 32)))

    def fit(self, scale: Scale, task: Task, seed: int, path: Path, limit_s: float) -> Plain:
        """Learn the table of the bins (once, however many rows and bits are asked for) and write it.

        Raises:
            InputError: if an entry is to have other bits than 4, 8 or 32.
            DataError: if the environment fails.
        """
        from steelyard.families.tables import packed, write_table  # noqa: PLC0415  imports onnx

        bins = Bins.of(task, scale.integer("bins", 1))
        learned = self._learned(task, bins, seed, limit_s)
        rows, bits = scale.integer("rows", bins.count), scale.integer("bits", 32)
        write_table(packed(learned.table, learned.visits, rows=rows, bits=bits), bins, path)
        met = int(np.count_nonzero(learned.visits))
        return {
            "train_s": learned.train_s,
            "curve": learned.curve,
            "stopped": learned.stopped,
            "states": {"of": bins.count, "met": met},
        }

    def _learned(self, task: Task, bins: Bins, seed: int, limit_s: float) -> Learned:
        """The table of these bins: an earlier one unless it was cut short and now has more time."""
        key = f"{task.data_hash} {bins} {seed}"
        known = self._kept.get(key)
        if known is None or (known.stopped == "time limit" and limit_s > 1.1 * known.train_s):
            known = learn(task, bins, self.rule, seed=seed, limit_s=limit_s)
            while len(self._kept) >= MOST_TABLES:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = known
        return known


Q_LEARNING = Tabular("q-learning", "q-learning")
SARSA = Tabular("sarsa", "sarsa")
"""The entries of the registry."""
