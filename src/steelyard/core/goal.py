"""What the user wants: the goal, its limits, and the budget of the search."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from steelyard.core.errors import InputError
from steelyard.core.quantity import Unit
from steelyard.core.wire import Plain

Cost = Literal["latency", "size", "memory", "energy"]

COST_METRICS: dict[str, str] = {
    "latency": "latency_p50_s",
    "size": "size_bytes",
    "memory": "peak_memory_bytes",
    "energy": "energy_j",
}
"""Which metric of a point each minimisable cost is."""

_LIMITS: tuple[tuple[str, str, str, Unit], ...] = (
    ("max_latency", "latency_p95_s", "max_latency_s", "s"),
    ("max_size", "size_bytes", "max_size_bytes", "B"),
    ("max_memory", "peak_memory_bytes", "max_memory_bytes", "B"),
    ("max_energy", "energy_j", "max_energy_j", "J"),
)
"""Limits on costs: the option, the metric, the field of a goal, the unit."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST_S = 8760 * 3600.0
"""A budget beyond a year is a slip of the keyboard, and beyond what clocks of the system wait for."""


def is_number(value: Any) -> bool:
    """Whether a value is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Limit:
    """An upper limit on a cost: the point's metric `metric` must be at most `at_most`, in `unit`."""

    option: str
    metric: str
    at_most: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class Goal:
    """The question: minimise a cost, lose at most `max_drop` of quality, stay within limits, with this confidence.

    `relative` None means the metric's own rule: absolute for metrics in [0, 1], relative for all others.
    Limits are in SI units; the latency limit is on p95.

    References:
        The form (minimise cost subject to a bounded loss at a stated confidence) is that of Learn then Test,
        Angelopoulos et al., 2021.
    """

    max_drop: float = 0.01
    relative: bool | None = None
    confidence: float = 0.95
    require_proof: bool = False
    metric: str | None = None
    min_quality: float | None = None
    minimize: Cost = "latency"
    max_latency_s: float | None = None
    max_size_bytes: float | None = None
    max_memory_bytes: float | None = None
    max_energy_j: float | None = None

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: one sentence naming the field.
        """
        if not is_number(self.max_drop) or not math.isfinite(self.max_drop) or self.max_drop < 0:
            raise InputError(
                f"'max_drop' must be a finite number of at least 0, got {self.max_drop!r}.", field="max_drop"
            )
        if not is_number(self.confidence) or not 0.5 <= self.confidence < 1:
            raise InputError(
                f"'confidence' must be at least 0.5 and below 1, got {self.confidence!r}.", field="confidence"
            )
        if self.metric is not None and (not isinstance(self.metric, str) or not self.metric):
            raise InputError(f"'metric' must be a name, got {self.metric!r}.", field="metric")
        if not isinstance(self.minimize, str) or self.minimize not in COST_METRICS:
            raise InputError(
                f"'minimize' must be one of {', '.join(COST_METRICS)}, got {self.minimize!r}.", field="minimize"
            )
        quality = self.min_quality
        if quality is not None and not (is_number(quality) and math.isfinite(quality)):
            raise InputError(f"'min_quality' must be a finite number, got {self.min_quality!r}.", field="min_quality")
        for name in ("max_latency_s", "max_size_bytes", "max_memory_bytes", "max_energy_j"):
            limit = getattr(self, name)
            if limit is not None and not (is_number(limit) and math.isfinite(limit) and limit > 0):
                raise InputError(f"'{name}' must be a positive finite number, got {limit!r}.", field=name)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits on costs that were asked for."""
        asked = ((option, metric, getattr(self, field), unit) for option, metric, field, unit in _LIMITS)
        return tuple(Limit(option, metric, at, unit) for option, metric, at, unit in asked if at is not None)

    def without(self, metrics: Collection[str]) -> Self:
        """The goal without its limits on these metrics."""
        dropped: dict[str, Any] = {field: None for _, metric, field, _ in _LIMITS if metric in metrics}
        return replace(self, **dropped)

    @property
    def cost_metric(self) -> str:
        """The metric of a point that is minimised."""
        return COST_METRICS[self.minimize]

    def is_relative(self, *, metric_in_unit_range: bool) -> bool:
        """Whether the drop is relative to the reference: as asked, else by the metric's own rule."""
        return (not metric_in_unit_range) if self.relative is None else self.relative

    def check_against(self, *, metric: str, metric_in_unit_range: bool) -> None:
        """Refuse a drop that makes no sense for this metric.

        Raises:
            InputError: if an absolute drop on a metric in [0, 1] is 0.5 or more.
        """
        absolute = not self.is_relative(metric_in_unit_range=metric_in_unit_range)
        if absolute and metric_in_unit_range and self.max_drop >= 0.5:
            raise InputError(
                f"'max_drop' must be below 0.5 for {metric}, which lies in [0, 1], got {self.max_drop:g}; "
                f"did you mean {self.max_drop:g}%?",
                field="max_drop",
            )

    def to_json(self) -> Plain:
        """The plain form: the goal as understood."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on the search: wall seconds of the whole command over all resumes, and confirmed candidates."""

    wall_s: float | None = 600.0
    trials: int | None = None

    def __post_init__(self) -> None:
        """Check both fields.

        Raises:
            InputError: one sentence naming the field.
        """
        wall_s = self.wall_s
        if wall_s is not None and not (is_number(wall_s) and math.isfinite(wall_s) and wall_s > 0):
            raise InputError(f"'budget' must be a positive duration, got {self.wall_s!r}.", field="budget")
        if self.wall_s is not None and self.wall_s > LONGEST_S:
            raise InputError(f"'budget' must be at most a year (8760h), got {self.wall_s:.3g} s.", field="budget")
        if self.trials is not None and (not isinstance(self.trials, int) or self.trials < 1):
            raise InputError(f"'trials' must be at least 1, got {self.trials!r}.", field="trials")

    def to_json(self) -> Plain:
        """The plain form."""
        return {"wall_s": self.wall_s, "trials": self.trials}


def parse_duration(text: str, *, field: str = "budget") -> float:
    """Seconds from `60s`, `10m` or `2h`.

    Raises:
        InputError: for anything else; a bare number has no unit and is refused.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise InputError(
            f"'{field}' must be a positive number with a unit (60s, 10m or 2h), got {text!r}.", field=field
        )
    return float(match[1]) * _SECONDS[match[2]]


def parse_share(text: str, *, field: str = "max_drop") -> float:
    """A number from `0.01` or `1%`.

    Raises:
        InputError: for anything that is no finite number of at least 0.
    """
    stripped = text.strip()
    try:
        value = float(stripped[:-1]) / 100 if stripped.endswith("%") else float(stripped)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InputError(f"'{field}' must be a number of at least 0, such as 0.01 or 1%, got {text!r}.", field=field)
    return value
