"""The roofline: how near a kernel or a model comes to what this machine can do, and what holds it back.

Pure arithmetic over measured peaks (`steelyard.measure.peaks`) and counted work.

References:
    S. Williams, A. Waterman, D. Patterson, Roofline: an insightful visual performance model for multicore
    architectures, Communications of the ACM 52(4), 2009.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain

Bound = Literal["compute", "memory", "overhead", "unknown"]
"""What a perfect kernel's time is bound by: products, bytes, or the runtime's cost of calling any kernel."""

_INTEGERS = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes a second, read and written together, over a working set of so many bytes."""

    working_set_bytes: int
    rate: Quantity


@dataclass(frozen=True, slots=True)
class Peaks:
    """What one thread of this machine was measured to do at best.

    Attributes:
        macs_per_s: multiply-accumulates a second by type of the products: "float32", "int8".
        bandwidths: by working set, ascending: each level of the cache, then memory.
        kernel_s: what the runtime takes to call a kernel that does nothing.
        best: the kernel that gave each figure, by its name.
    """

    macs_per_s: Mapping[str, Quantity]
    bandwidths: tuple[Bandwidth, ...]
    kernel_s: Quantity
    best: Mapping[str, str]

    def bandwidth(self, working_set_bytes: float) -> float:
        """Bytes a second at the smallest measured working set that holds so many bytes; the largest's beyond it."""
        for each in self.bandwidths:
            if working_set_bytes <= each.working_set_bytes:
                return each.rate.value
        return self.bandwidths[-1].rate.value

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "macs_per_s": {name: rate.to_json() for name, rate in self.macs_per_s.items()},
            "bandwidths": [
                {"working_set_bytes": each.working_set_bytes, "rate": each.rate.to_json()} for each in self.bandwidths
            ],
            "kernel_s": self.kernel_s.to_json(),
            "best": dict(self.best),
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`.

        Raises:
            KeyError: if a figure is missing.
            ValueError: if there is no bandwidth.
        """
        if not plain["bandwidths"]:
            raise ValueError("'bandwidths' must hold at least one.")
        return cls(
            macs_per_s={name: Quantity.from_json(plain["macs_per_s"][name]) for name in ("float32", "int8")},
            bandwidths=tuple(
                Bandwidth(each["working_set_bytes"], Quantity.from_json(each["rate"])) for each in plain["bandwidths"]
            ),
            kernel_s=Quantity.from_json(plain["kernel_s"]),
            best=plain["best"],
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What a kernel has to do: MACs and their type, stored bytes, other bytes; None where unknown."""

    macs: int | None
    type: str
    weight_bytes: int | None
    other_bytes: int | None


@dataclass(frozen=True, slots=True)
class Roof:
    """The least time that the machine's peaks allow for some work, by cause.

    Attributes:
        compute_s: products at their peak.
        memory_s: bytes at the bandwidth of the level they fit in.
        overhead_s: calling the kernels.
        is_complete: whether all of the work was known.
    """

    compute_s: float
    memory_s: float
    overhead_s: float
    attainable_s: float
    is_complete: bool

    @property
    def bound(self) -> Bound:
        """What takes longest of the three."""
        if not self.is_complete:
            return "unknown"
        causes: dict[Bound, float] = {
            "compute": self.compute_s,
            "memory": self.memory_s,
            "overhead": self.overhead_s,
        }
        return max(causes, key=lambda cause: causes[cause])

    def utilisation(self, time_s: float) -> float | None:
        """Achieved over the measured peak, of products or of bytes, whichever is nearer; None where work is unknown.

        Above 1 where the peaks were not peaks: a kernel found a faster way, or its bytes lay nearer than supposed.
        """
        return max(self.compute_s, self.memory_s) / time_s if self.is_complete and time_s > 0 else None

    def utilisation_of(self, latency: Quantity) -> Quantity | None:
        """`utilisation` of a measured latency, with the interval that comes of the latency's; None where unknown.

        The peaks' own ranges are not in it: they shift the figures of all models of this machine alike.
        """
        value = self.utilisation(latency.value)
        if value is None:
            return None
        low = None if latency.high is None else self.utilisation(latency.high)
        high = self.utilisation(latency.low) if latency.low else None
        return Quantity(value, "1", low=low, high=high, n=latency.n)


def roof_of(work: Work, peaks: Peaks, *, stored_bytes: int) -> Roof:
    """The roof over one kernel.

    Weights stream from the level that holds all weights of the model, because every run passes through all of them;
    activations from the level that holds this kernel's, because the kernel before has just written them.

    Args:
        work: of the kernel.
        peaks: of the machine.
        stored_bytes: all weights of the model.
    """
    is_complete = work.macs is not None and work.weight_bytes is not None and work.other_bytes is not None
    macs, weights, others = work.macs or 0, work.weight_bytes or 0, work.other_bytes or 0
    compute_s = macs / _rate(work.type, peaks)
    memory_s = weights / peaks.bandwidth(stored_bytes + others) + others / peaks.bandwidth(others)
    overhead_s = peaks.kernel_s.value
    return Roof(compute_s, memory_s, overhead_s, max(compute_s, memory_s, overhead_s), is_complete)


def roof_over(roofs: Sequence[Roof]) -> Roof:
    """The roof over kernels that run one after another; complete where each is."""
    return Roof(
        compute_s=sum(roof.compute_s for roof in roofs),
        memory_s=sum(roof.memory_s for roof in roofs),
        overhead_s=sum(roof.overhead_s for roof in roofs),
        attainable_s=sum(roof.attainable_s for roof in roofs),
        is_complete=all(roof.is_complete for roof in roofs),
    )


def _rate(kind: str, peaks: Peaks) -> float:
    """The peak of a type; types that no peak was measured for are held against float32's."""
    name = "int8" if kind in _INTEGERS else "float32"
    return peaks.macs_per_s[name].value
