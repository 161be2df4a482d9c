"""What is known of a candidate before it is confirmed: estimates from shared weights and a quick look at its cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from steelyard.core.candidate import Candidate
from steelyard.core.wire import Plain


def is_body(candidate: Candidate) -> bool:
    """Whether a candidate is a scale, or a structure of a given model, and no compressed form of either."""
    return candidate.is_plain or any(step.name == "prune" for step in candidate.steps)


@dataclass(frozen=True, slots=True)
class Explored:
    """An explored candidate; no figure of it is a measurement of the product.

    `quality` is the goal's metric on `rows` validation rows with shared weights. `latency_s` was timed in one living
    process, `size_bytes` is its file's; None where they are not known.
    """

    candidate: Candidate
    quality: float
    rows: int
    latency_s: float | None = None
    size_bytes: int | None = None

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "candidate": self.candidate.to_json(),
            "quality": self.quality,
            "rows": self.rows,
            "latency_s": self.latency_s,
            "size_bytes": self.size_bytes,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Plain]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**plain, "candidate": Candidate.from_json(plain["candidate"])})
