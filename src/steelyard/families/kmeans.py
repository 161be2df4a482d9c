"""k-means: the clusters whose centres are nearest."""

from dataclasses import dataclass
from pathlib import Path

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import TableInput
from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class KMeans:
    """Assigns a row to the nearest of `clusters` centres, the knob; rows are standardised in the file.

    Outputs are the negative distances to the centres, so the highest is the row's cluster; clusters that a scale lacks
    are farther than any row. The distance is Euclidean: centres are means, which belong to no other.
    """

    name: str = "kmeans"

    def refusal(self, task: Task) -> str | None:
        """Takes clustering of tables."""
        if task.kind != "clustering" or not isinstance(task.input, TableInput):
            return "it puts rows of a table into clusters; the task must be clustering"
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """From two clusters to as many as the task's output has."""
        return (Knob("clusters", tuple(range(2, task.output.width + 1))),)

    def fit(self, scale: Scale, task: Task, seed: int, path: Path, limit_s: float) -> Plain:
        """Find the centres on the training rows and write them; a limit is not needed."""
        from steelyard.families import centres  # noqa: PLC0415  imports onnx, which proposing a scale must not

        del limit_s
        return centres.fit(scale, task, seed, path)


KMEANS = KMeans()
"""The entry of the registry."""
