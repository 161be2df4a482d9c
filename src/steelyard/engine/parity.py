"""How the outputs of two ways of running one model differ."""

from collections.abc import Sequence

import numpy as np

from steelyard.core.task import Array
from steelyard.core.wire import Plain

TINY = 1e-12
"""Added to the largest output before dividing by it: outputs may all be zero."""


def compare_outputs(wanted: Sequence[Array], got: Sequence[Array]) -> Plain:
    """Figures on how far outputs lie apart.

    Args:
        wanted: outputs of the source, one array an inference.
        got: outputs of the other way, the same inferences.

    Returns:
        `max_abs`, the largest difference; `max_rel`, that over the largest output; `agreement`, the share of equal
        decisions, and `flips`, how many differ, both null where the last axis holds fewer than two scores; `n`, how
        many decisions or rows were compared. `max_abs` is null where shapes differ or an output is not finite.
    """
    pairs = list(zip(wanted, got, strict=True))
    if any(first.shape != second.shape for first, second in pairs):
        return {"max_abs": None, "max_rel": None, "agreement": None, "flips": None, "n": 0}
    largest = max((float(np.abs(first).max(initial=0.0)) for first, _ in pairs), default=0.0)
    worst = max((float(np.abs(first.astype(float) - second).max(initial=0.0)) for first, second in pairs), default=0.0)
    is_finite = bool(np.isfinite(worst) and np.isfinite(largest))
    decides = all(first.ndim >= 2 and first.shape[-1] >= 2 and first.dtype.kind == "f" for first, _ in pairs)
    flips = sum(int((a.argmax(-1) != b.argmax(-1)).sum()) for a, b in pairs) if decides and is_finite else None
    count = sum(first.size // first.shape[-1] if decides else len(np.atleast_1d(first)) for first, _ in pairs)
    return {
        "max_abs": worst if is_finite else None,
        "max_rel": worst / (largest + TINY) if is_finite else None,
        "agreement": None if flips is None else 1 - flips / max(1, count),
        "flips": flips,
        "n": count,
    }
