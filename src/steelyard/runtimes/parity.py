"""How well the outputs of a model file agree with those of its source."""

import numpy as np

from steelyard.core.errors import WorkerError
from steelyard.core.task import Array
from steelyard.core.wire import Plain

PARITY_TOLERANCE = 1e-3
"""Largest difference allowed, times (1 + largest output): design of measuring, fp32."""
PARITY_AGREEMENT = 0.999
"""Share of equal decisions asked for, fp32."""
_TINY = float(np.finfo(np.float32).tiny)


def parity_of(wanted: Array, got: Array, *, decides: bool) -> Plain:
    """How the outputs of a model file agree with its source's.

    Args:
        wanted: outputs of the source, (n, ...).
        got: outputs of the file, of the same shape.
        decides: whether the outputs are scores of classes on the last axis.

    Returns:
        {"max_abs": largest difference, "max_rel": that over the largest output of the source, "agreement": share of
        equal decisions, "flips": decisions that differ, "n": decisions compared}; where outputs decide nothing,
        agreement and flips are null and n counts rows.
    """
    worst = float(np.abs(got - wanted).max(initial=0.0))
    largest = float(np.abs(wanted).max(initial=0.0))
    figures: dict[str, Plain] = {"max_abs": worst, "max_rel": worst / (largest + _TINY)}
    if not decides:
        return {**figures, "agreement": None, "flips": None, "n": len(wanted)}
    equal = got.argmax(axis=-1) == wanted.argmax(axis=-1)
    return {**figures, "agreement": float(equal.mean()), "flips": int((~equal).sum()), "n": int(equal.size)}


def check_parity(wanted: Array, got: Array, *, decides: bool) -> Plain:
    """The parity of a model file with its source, from `parity_of`, where it is close enough.

    Args:
        wanted: outputs of the source, (n, width).
        got: outputs of the file, (n, width).
        decides: whether the outputs are scores of classes.

    Raises:
        WorkerError: if the difference exceeds 1e-3 (1 + largest output) or agreement is below 0.999.
    """
    if got.shape != wanted.shape:
        raise WorkerError(f"parity: expected outputs of shape {wanted.shape}, got {got.shape}.", stage="parity")
    found = parity_of(wanted, got, decides=decides)
    allowed = PARITY_TOLERANCE * (1 + float(np.abs(wanted).max(initial=0.0)))
    agreement = 1.0 if found["agreement"] is None else found["agreement"]
    if not (found["max_abs"] <= allowed and agreement >= PARITY_AGREEMENT):
        raise WorkerError(
            f"parity: outputs differ by up to {found['max_abs']:.3g} (allowed {allowed:.3g}) "
            f"and agree on {agreement:.2%}.",
            stage="parity",
        )
    return found
