"""Scores of points as columns to look at. Nothing is ever chosen by them: the choice is by proof and measured cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.core.errors import InputError
from steelyard.select.pareto import knee, normalised

DEFAULT_WEIGHTS: Mapping[str, float] = {"loss": 0.5, "latency_s": 0.25, "size_bytes": 0.25}
"""Half for quality and half for cost, split evenly: a convention of ours, no finding."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What scores are computed from: the loss of quality (lower is better), latency and size; the rest where known.

    `macs` are multiply-accumulates of one inference, `train_s` the seconds of training, `speed_per_s` inferences a
    second.
    """

    key: str
    loss: float
    latency_s: float
    size_bytes: float
    parameters: float | None = None
    macs: float | None = None
    train_s: float | None = None
    speed_per_s: float | None = None


def columns(
    points: Sequence[Scored], weights: Mapping[str, float] = DEFAULT_WEIGHTS
) -> dict[str, dict[str, float | None]]:
    """The scores of each point by its key.

    - `knee`: 1 for the knee of (loss, latency, size), else 0 (`steelyard.select.pareto.knee`).
    - `weighted`: the weighted sum of loss, latency and size, each scaled to [0, 1] over the points; lower is better.
      It depends on which points there are.
    - `efficiency`: see `efficiency`; None where a figure is unknown.

    Raises:
        InputError: if the weights are not those of loss, latency_s and size_bytes, at least 0 with a positive sum.
    """
    if set(weights) != set(DEFAULT_WEIGHTS) or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise InputError(
            f"'weights' must hold {', '.join(DEFAULT_WEIGHTS)}, each at least 0 and not all 0, got {dict(weights)!r}."
        )
    if not points:
        return {}
    costs = np.array([(point.loss, point.latency_s, point.size_bytes) for point in points], dtype=np.float64)
    share = np.array([weights[name] for name in DEFAULT_WEIGHTS]) / sum(weights.values())
    weighted = normalised(costs) @ share
    at = knee(costs)
    return {
        point.key: {
            "knee": float(index == at),
            "weighted": float(weighted[index]),
            "efficiency": _efficiency(point),
        }
        for index, point in enumerate(points)
    }


def efficiency(parameters: float, macs: float, train_s: float, speed_per_s: float) -> float:
    """The published score E = (T + R / V) / S, shown because it is published.

    S is parameters, R multiply-accumulates of one inference, T seconds of training, V inferences a second; so E is
    in seconds (and multiply-accumulate seconds) a parameter. Read it with care: it falls strictly with S at equal
    T, R and V, rises when training or inference gets slower, and knows nothing of quality. It is no measure of a
    good model, and nothing is chosen by it.

    Raises:
        InputError: if S or V is not positive, or T or R negative.
    """
    if not (parameters > 0 and speed_per_s > 0 and train_s >= 0 and macs >= 0):
        raise InputError(
            "an efficiency score needs positive parameters and speed and no negative figure, "
            f"got S={parameters!r}, R={macs!r}, T={train_s!r}, V={speed_per_s!r}."
        )
    return (train_s + macs / speed_per_s) / parameters


def _efficiency(point: Scored) -> float | None:
    if point.parameters is None or point.macs is None or point.train_s is None or point.speed_per_s is None:
        return None
    if point.parameters <= 0 or point.speed_per_s <= 0:
        return None
    return efficiency(point.parameters, point.macs, point.train_s, point.speed_per_s)
