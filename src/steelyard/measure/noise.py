"""How well this machine can measure: what `steelyard doctor` tells."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.core.wire import Plain
from steelyard.measure.counters import energy_refusal
from steelyard.measure.environment import available_cores
from steelyard.measure.latency import LatencyRound, Protocol, measure_latency, yardstick_medians
from steelyard.measure.process import Inputs, Subject
from steelyard.measure.resampling import TIE

STATES_APART = 1.15
"""Processes whose yardsticks differ by more than this factor ran in different speed states: within one state they
agree to a few parts in a hundred, and states were seen 1.35 and 1.6 apart."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of this machine.

    Attributes:
        yardstick_s: median of the yardstick, in seconds.
        within: coefficient of variation of its block medians inside a process.
        between: coefficient of variation of its medians between processes.
        speed_states: speeds that were seen, as factors of the fastest.
        smallest_difference: smallest difference of latency, as a share, that a round can tell apart here.
        smallest_how: what that figure rests on.
        clock_step_s: smallest step of the clock that was seen.
        cores: processors this process may run on.
        can_reset_peak: whether peak memory can be reset, so that loading and running are told apart.
        energy: None where energy can be read, else why not.
    """

    yardstick_s: float
    within: float
    between: float
    speed_states: tuple[float, ...]
    smallest_difference: float
    smallest_how: str
    clock_step_s: float
    cores: int
    can_reset_peak: bool
    energy: str | None

    def to_json(self) -> Plain:
        """The plain form."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {
            "speed_states": list(self.speed_states)
        }


def read_noise(
    *,
    cpu: int | None = None,
    processes: int = 5,
    model: Path | None = None,
    inputs: Inputs | None = None,
    protocol: Protocol | None = None,
) -> Noise:
    """Look at this machine for a few seconds.

    Args:
        cpu: the processor to look at.
        processes: fresh processes with the yardstick.
        model: a model to be compared with itself; with `inputs` and `protocol`, the smallest difference is what a
            whole round can't tell from none. Without it, it is estimated from the yardstick.
        inputs: its input rows.
        protocol: how it is measured.

    Raises:
        MeasurementError: if no process can be run.
    """
    medians = yardstick_medians(cpu=cpu, processes=processes)
    each = np.array([np.median(blocks) for blocks in medians])
    if model is not None and inputs is not None and protocol is not None:
        twins = [Subject("a", model), Subject("b", model)]
        latencies = measure_latency(twins, inputs, protocol, nominal_s=float(np.median(each)))
        smallest, how = difference_between_twins(latencies, "a", "b"), "a model compared with itself"
    else:
        smallest, how = difference_of_yardstick(medians), "the yardstick's own noise"
    return Noise(
        yardstick_s=float(np.median(each)),
        within=float(np.median([np.std(blocks) / np.mean(blocks) for blocks in medians])),
        between=float(np.std(each, ddof=1) / np.mean(each)) if len(each) > 1 else 0.0,
        speed_states=speed_states(each),
        smallest_difference=smallest,
        smallest_how=how,
        clock_step_s=clock_step_s(),
        cores=available_cores(),
        can_reset_peak=_can_reset_peak(),
        energy=energy_refusal(),
    )


def difference_between_twins(latencies: LatencyRound, first: str, second: str) -> float:
    """The half-width of the interval of a ratio that is 1 in truth; at least the 2 % that count as a tie."""
    quantity = latencies.ratio(first, second).quantity
    if quantity.low is None or quantity.high is None:
        return 1.0
    return max(TIE, (quantity.high - quantity.low) / 2)


def difference_of_yardstick(medians: list[NDArray[Any]]) -> float:
    """An estimate from the yardstick alone: of a ratio of two medians of blocks within a process, twice its error.

    The error of a median of m values is about 1.25 standard deviations / √m (normal values).
    """
    errors = [1.25 * np.std(blocks) / np.mean(blocks) / np.sqrt(len(blocks)) for blocks in medians]
    return max(TIE, 2 * float(np.sqrt(2) * np.median(errors)))


def speed_states(yardsticks: NDArray[Any]) -> tuple[float, ...]:
    """Speeds that processes ran at, as factors of the fastest one's time, each the first of its group.

    A state ends where the sorted times jump by more than `STATES_APART`.
    """
    ordered = np.sort(yardsticks) / np.min(yardsticks)
    jumps = [True, *(ordered[1:] > STATES_APART * ordered[:-1])]
    return tuple(round(float(each), 2) for each in ordered[jumps])


def clock_step_s(looks: int = 1000) -> float:
    """The smallest step between two readings of the clock that differ, in seconds."""
    readings = np.array([time.perf_counter_ns() for _ in range(looks)])
    steps = np.diff(readings)
    return float(steps[steps > 0].min()) * 1e-9 if (steps > 0).any() else time.get_clock_info("perf_counter").resolution


def _can_reset_peak() -> bool:
    """Whether this process could reset its peak memory; opening is enough to know."""
    try:
        with Path("/proc/self/clear_refs").open("w", encoding="ascii"):
            return True
    except OSError:
        return False
