"""Run a model over rows, or have it play the episodes that rows stand for."""

from collections.abc import Callable

import numpy as np

from steelyard.core.protocols import Feed
from steelyard.core.task import Array, Rows

BATCH = 256
"""Rows a call."""


def outputs_of(run: Callable[[Feed], Array], rows: Rows, environment: str = "") -> Array:
    """Outputs (n, width) of all rows, in batches; where models play in an environment, the return of each episode.

    Args:
        run: the model.
        rows: of one split.
        environment: of the task; empty where rows have answers.
    """
    if environment:
        from steelyard.tasks.playing import play  # noqa: PLC0415  loads gymnasium, which no other task needs

        return play(environment, run, rows.y)
    return np.concatenate([run(batch) for batch in rows.batches(BATCH)])
