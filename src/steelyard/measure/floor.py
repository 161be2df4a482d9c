"""The floor under every latency: what one call of the runtime costs when the model does nothing."""

from pathlib import Path

from steelyard.core.errors import MeasurementError
from steelyard.core.quantity import Quantity
from steelyard.measure.latency import LatencyRound
from steelyard.measure.process import Subject

FLOOR = "(floor)"
"""The Identity model's name in a round; no key of a candidate looks like it."""

NEAR = 1.25
"""A latency within this factor of the floor is at the floor: four fifths of it would stay if the model vanished."""


def floor_subject(identity: Path) -> Subject:
    """The Identity model as one more model of a round: the cheapest way to measure the floor."""
    return Subject(FLOOR, identity)


def floor_of(latencies: LatencyRound) -> Quantity:
    """`latency_floor_s` from a round that had the floor's subject in it.

    Raises:
        MeasurementError: if the round lacks it, or could not measure it.
    """
    if FLOOR in latencies.failures:
        raise latencies.failures[FLOOR]
    if FLOOR not in latencies.metrics:
        raise MeasurementError("the round holds no Identity model; add floor_subject to its models.")
    return latencies.metrics[FLOOR]["latency_p50_s"]


def is_at_floor(latency: Quantity, floor: Quantity) -> bool:
    """Whether a smaller model could hardly be faster."""
    return latency.value <= NEAR * floor.value
