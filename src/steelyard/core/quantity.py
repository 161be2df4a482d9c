"""A figure with its interval."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

Unit = Literal["s", "B", "J", "1/s", "1"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured or counted figure: a value, its unit, a 95 % interval and the number of samples behind it.

    Exact counts have `low == high == value`. `low` and `high` are None where no interval is known.
    """

    value: float
    unit: Unit = "1"
    low: float | None = None
    high: float | None = None
    n: int | None = None

    def __post_init__(self) -> None:
        """Refuse figures that are no numbers, and intervals that are upside down.

        Raises:
            ValueError: if a figure is not finite or `low > high`.
        """
        for name in ("value", "low", "high"):
            figure = getattr(self, name)
            if figure is not None and not math.isfinite(figure):
                raise ValueError(f"'{name}' must be finite, got {figure!r}.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"'low' must be at most 'high', got {self.low!r} > {self.high!r}.")

    @classmethod
    def exact(cls, value: float, unit: Unit = "1") -> Self:
        """A count: its interval is the value itself."""
        return cls(value=value, unit=unit, low=value, high=value)

    def to_json(self) -> dict[str, object]:
        """The plain form: {"value", "low", "high", "n", "unit"}."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "unit": self.unit}

    @classmethod
    def from_json(cls, plain: Mapping[str, object]) -> Self:
        """The inverse of `to_json`."""
        return cls(**plain)  # type: ignore[arg-type]
