"""Gradient-boosted decision trees for tables."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import TableInput, TensorOutput
from steelyard.core.wire import Plain

TREES = (10, 30, 100, 300)
"""Rounds of boosting; a round is one tree, or one for each of three or more classes."""
LEAVES = (4, 8, 16, 32)
DEPTHS = (2, 4, 8)
ROWS_A_LEAF = 10
"""Training rows that a leaf of the largest tree has on average at least: below, a tree learns rows by heart."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Histogram gradient boosting: each tree corrects those before it.

    Knobs: `trees`, rounds of boosting at most; `leaves`, of a tree at most; `depth`, of a tree at most. Boosting ends
    where the valid rows find it best, so the largest scale need not have all its trees. Missing values go the way that
    training found best for them; categories are ordered by what the training targets say of them.

    References:
        J. H. Friedman, Greedy function approximation: a gradient boosting machine, Annals of Statistics, 2001;
        G. Ke et al., LightGBM: a highly efficient gradient boosting decision tree, NeurIPS 2017.
    """

    name: str = "trees"

    def refusal(self, task: Task) -> str | None:
        """Takes tables; its files are written by skl2onnx."""
        if task.environment:
            return "it learns from rows with answers; q-learning, sarsa and dqn learn by playing"
        if not isinstance(task.input, TableInput) or isinstance(task.output, TensorOutput):
            return "it needs a table; mlp and linear take other inputs"
        if importlib.util.find_spec("skl2onnx") is None:
            return "its files are written by skl2onnx, which is not installed; pip install 'steelyard[boosting]'"
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Trees, leaves and depth; fewer leaves where there are few rows."""
        most = max(LEAVES[0], len(task.train) // ROWS_A_LEAF)
        leaves = tuple(each for each in LEAVES if each <= most)
        return (Knob("trees", TREES), Knob("leaves", leaves), Knob("depth", DEPTHS))

    def fit(self, scale: Scale, task: Task, seed: int, path: Path, limit_s: float) -> Plain:
        """Boost until the valid rows get no better, and write the trees."""
        from steelyard.families import boosting  # noqa: PLC0415  imports scikit-learn, which proposing a scale must not

        return boosting.fit(scale, task, seed, path, limit_s)


TREES_FAMILY = Trees()
"""The entry of the registry."""
