"""Energy of an inference, read from the processor's own counters, net of what the machine takes while it is idle.

Where there is no counter, the figure is absent and the reason given; it is never estimated.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from steelyard.core.quantity import Quantity
from steelyard.measure.counters import POWERCAP, energy_refusal, package_counters
from steelyard.measure.latency import Protocol
from steelyard.measure.process import Inputs, Subject, input_file, run_child

ENERGY_S = 2.0
"""Seconds of idling, and of inferences, in a process: the counters step every millisecond."""

PROCESSES = 5
"""Fresh processes; their spread is the interval."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules of an inference, or why they can't be read."""

    quantity: Quantity | None
    reason: str | None


def measure_energy(
    subject: Subject, inputs: Inputs, protocol: Protocol, *, root: Path = POWERCAP, energy_s: float = ENERGY_S
) -> Energy:
    """Energy of an inference in a few fresh processes, net of idling; absent with its reason where it can't be read.

    It is what the whole package took, whoever caused it: on a machine with other work it is worth little, and the
    interval says so.

    Raises:
        MeasurementError: if the model can't be run.
    """
    reason = energy_refusal(root)
    if reason is not None:
        return Energy(None, reason)
    joules = []
    with input_file(inputs) as path:
        request = protocol.request("energy", path, [subject])
        request |= {"counters": [str(folder) for folder in package_counters(root)], "energy_s": energy_s}
        limit_s = protocol.start_s + protocol.load_s + 4 * energy_s
        for _ in range(PROCESSES):
            joules.append(float(run_child(request, limit_s=limit_s)["joules"]))
    if mean(joules) <= 0:
        return Energy(None, "an inference takes less energy than the noise of idling here")
    return Energy(Quantity(mean(joules), "J", low=min(joules), high=max(joules), n=len(joules)), None)
