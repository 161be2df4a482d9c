"""Run a model over rows."""

from collections.abc import Callable

import numpy as np

from steelyard.core.protocols import Feed
from steelyard.core.task import Array, Rows

BATCH = 256
"""Rows a call."""


def outputs_of(run: Callable[[Feed], Array], rows: Rows) -> Array:
    """Outputs (n, width) of all rows, in batches."""
    return np.concatenate([run(batch) for batch in rows.batches(BATCH)])
