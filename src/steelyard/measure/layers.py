"""The table of layers: time, share, work and roof of every kernel, adding up to the latency of the whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain
from steelyard.measure.roofline import Bound, Peaks, Roof, Work, roof_of, roof_over
from steelyard.measure.tracing import Kernel, Trace

Times = NDArray[np.float64]

RUNTIME = "(runtime)"
"""The row of what a call costs around all kernels; no node's name looks like it."""

_STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365}
"""Quantiles of Student's t for 95 % by degrees of freedom: W. S. Gosset, Biometrika 6, 1908; any table."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One kernel of the optimised model, or the runtime's own share.

    Attributes:
        name: of the node; `RUNTIME` for the runtime's.
        operator: of the node; empty for the runtime's.
        type: of its products.
        time: seconds; all layers add up to the latency.
        share: of the latency.
        macs: None where unknown, like `bytes`.
        bytes: moved.
        roof: the least time that this machine's peaks allow; None where no peaks were given, and for the runtime's row.
    """

    name: str
    operator: str
    type: str
    time: Quantity
    share: float
    macs: int | None
    bytes: int | None
    roof: Roof | None

    @property
    def macs_per_s(self) -> float | None:
        """Achieved multiply-accumulates a second; None where unknown or none."""
        return self.macs / self.time.value if self.macs and self.time.value > 0 else None

    @property
    def bytes_per_s(self) -> float | None:
        """Achieved bytes a second; None where unknown or none."""
        return self.bytes / self.time.value if self.bytes and self.time.value > 0 else None

    @property
    def utilisation(self) -> float | None:
        """Achieved over the measured peak; None where it is not known."""
        return self.roof.utilisation(self.time.value) if self.roof is not None else None

    @property
    def bound(self) -> Bound:
        """What bounds the kernel; the runtime's own row is overhead."""
        if self.name == RUNTIME:
            return "overhead"
        return self.roof.bound if self.roof is not None else "unknown"

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "name": self.name,
            "operator": self.operator,
            "type": self.type,
            "time_s": self.time.to_json(),
            "share": self.share,
            "macs": self.macs,
            "bytes": self.bytes,
            "macs_per_s": self.macs_per_s,
            "bytes_per_s": self.bytes_per_s,
            "attainable_s": self.roof.attainable_s if self.roof is not None and self.roof.is_complete else None,
            "utilisation": self.utilisation,
            "bound": self.bound,
        }


def layers_of(trace: Trace, latency: Quantity, floor: Quantity, peaks: Peaks | None = None) -> tuple[Layer, ...]:
    """The table of layers of a model.

    A trace is slower than the model: the profiler takes time for each kernel, which a chain of kernels that do nothing
    tells and which is taken off, and the machine may be in another speed state. So kernels are scaled by the latency
    over what a call took without the profiler beside the trace. The floor
    (a call of a model that does nothing) is the runtime's own row. What is left between both is the cost of calling
    kernels, the same for each; where kernels add up to more than there is, they are shortened alike.

    Args:
        trace: of the model.
        latency: its p50 without the profiler, in seconds.
        floor: p50 of a model that does nothing, by the same protocol.
        peaks: of this machine, for the roofs.
    """
    times = np.array(
        [
            _fitted(np.array(trace.kernel_seconds(index)), plain_s, latency, floor)
            for index, plain_s in enumerate(trace.plain_s)
        ]
    )
    total = latency.value
    stored = sum(kernel.weight_bytes or 0 for kernel in trace.kernels)
    layers = [
        Layer(
            kernel.name,
            kernel.operator,
            kernel.type,
            time,
            time.value / total,
            kernel.macs,
            kernel.bytes,
            None if peaks is None else roof_of(work_of(kernel), peaks, stored_bytes=stored),
        )
        for kernel, time in zip(trace.kernels, (_quantity(column, latency) for column in times.T), strict=True)
    ]
    own = min(floor.value, total)
    row = Layer(RUNTIME, "", "", Quantity(own, "s", floor.low, floor.high, floor.n), own / total, 0, 0, None)
    return (*layers, row)


def roof_of_model(layers: Sequence[Layer]) -> Roof | None:
    """The roof over all kernels; None where they have none."""
    roofs = [layer.roof for layer in layers if layer.roof is not None]
    return roof_over(roofs) if roofs else None


def work_of(kernel: Kernel) -> Work:
    """What a traced kernel has to do."""
    known = kernel.read_bytes is not None and kernel.written_bytes is not None
    other = (kernel.read_bytes or 0) + (kernel.written_bytes or 0)
    return Work(kernel.macs, kernel.type, kernel.weight_bytes, other if known else None)


def _fitted(seconds: Times, plain_s: float, latency: Quantity, floor: Quantity) -> Times:
    """Kernel times of one process, (kernels,), made to add up to the latency less the floor."""
    scaled = seconds * (latency.value / plain_s)
    room = max(0.0, latency.value - floor.value)
    rest = room - scaled.sum()
    fitted: Times = scaled + rest / len(scaled) if rest >= 0 else scaled * (room / scaled.sum())
    return fitted


def _quantity(times: Times, latency: Quantity) -> Quantity:
    """Mean over processes, with Student's interval and the latency's own, taken as independent."""
    value = float(times.mean())
    freedom = len(times) - 1
    if freedom == 0 or latency.low is None or latency.high is None:
        return Quantity(value, "s", n=len(times))
    spread = _STUDENT[min(freedom, 7)] * float(times.std(ddof=1)) / math.sqrt(len(times))
    below = math.hypot(spread, value * (1 - latency.low / latency.value))
    above = math.hypot(spread, value * (latency.high / latency.value - 1))
    return Quantity(value, "s", low=max(0.0, value - below), high=value + above, n=len(times))
