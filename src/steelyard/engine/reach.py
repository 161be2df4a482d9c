"""What is within reach: costs of the smallest and the largest members of a space, measured before any is trained.

Costs do not depend on weights, so a member with fresh ones shows them in the time of an export and a short round.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from steelyard.core.candidate import Candidate, Scale, Space, loading_of
from steelyard.core.goal import Goal, Limit
from steelyard.core.quantity import Quantity, Unit
from steelyard.core.wire import Plain

FACT = "reachable"
"""The fact of the study that holds the reach."""
COSTS = ("latency_p50_s", "size_bytes", "peak_memory_bytes")
"""Metrics whose range is told."""
GAINS: Mapping[str, float] = {"quantize": 4.0}
"""How many times smaller or faster a step can make a file at best: 8 bits stand where 32 stood. A step that is not
named here may do anything, and then nothing is called out of reach."""
OPTION_GAIN = 4.0
"""How many times faster options of a runtime other than threads can make it at best: a lower precision, as above."""
_PLACES: tuple[tuple[Unit, tuple[tuple[float, str], ...]], ...] = (
    ("s", ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))),
    ("B", ((1e6, "MB"), (1e3, "kB"), (1.0, "B"))),
)
_NAMES = {"latency_p50_s": "latency", "size_bytes": "size", "peak_memory_bytes": "memory"}
_JUDGED_BY = {"latency_p95_s": "latency_p50_s"}
"""p95 is never below p50, and p50 has the narrower interval in a short round."""


@dataclass(frozen=True, slots=True)
class Range:
    """What one cost can be, from the cheapest to the dearest of the members that were measured.

    `low` and `high` are their values; either is None where not every smallest, or largest, member could be measured.
    `least` is the lower end of the cheapest one's interval.
    """

    low: float | None
    high: float | None
    unit: Unit
    least: float | None


@dataclass(frozen=True, slots=True)
class Reach:
    """The ranges of costs by metric, and p50 of a model that does nothing, None where it is not known."""

    ranges: Mapping[str, Range] = field(default_factory=dict)
    floor_s: float | None = None

    def to_json(self) -> Plain:
        """The plain form."""
        ranges = {
            name: {field: getattr(each, field) for field in Range.__dataclass_fields__}
            for name, each in self.ranges.items()
        }
        return {"ranges": ranges, "floor_s": self.floor_s}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls({name: Range(**each) for name, each in plain["ranges"].items()}, plain["floor_s"])

    def told(self) -> Plain:
        """The ranges as the answer has them: low, high and unit by metric."""
        return {
            name: {"low": each.low, "high": each.high, "unit": each.unit}
            for name, each in self.ranges.items()
            if each.low is not None or each.high is not None
        }

    def __str__(self) -> str:
        """For people: `within reach: latency 5.1 to 210 µs, size 0.01 to 1.3 MB`."""
        parts = [f"{_NAMES.get(name, name)} {_span(each)}" for name, each in self.ranges.items()]
        return "within reach: " + ", ".join(parts)


def ends(space: Space) -> tuple[Candidate, ...]:
    """The smallest member of every family, then the largest ones, each once; uncompressed, run by the defaults."""
    smallest = [_plain(space, each.family, each.smallest) for each in space.families]
    return tuple(dict.fromkeys((*smallest, *space.references())))


def reach_of(space: Space, costs: Mapping[str, Mapping[str, Quantity]], floor: Quantity | None) -> Reach:
    """The reach of a space.

    Args:
        space: whose ends were measured.
        costs: metrics by the keys of those ends that could be measured.
        floor: p50 of a model that does nothing.
    """
    known = {name: [each[name] for each in costs.values() if name in each] for name in COSTS}
    has_low = all(_plain(space, each.family, each.smallest).key in costs for each in space.families)
    has_high = all(_plain(space, each.family, each.largest).key in costs for each in space.families)
    ranges = {}
    for name, found in known.items():
        if found and (has_low or has_high):
            cheapest = min(found, key=lambda quantity: quantity.value)
            ranges[name] = Range(
                low=cheapest.value if has_low else None,
                high=max(quantity.value for quantity in found) if has_high else None,
                unit=cheapest.unit,
                least=min(q.value if q.low is None else q.low for q in found) if has_low else None,
            )
    return Reach(ranges, None if floor is None else floor.low)


def beyond(reach: Reach, goal: Goal, space: Space, threads: int) -> tuple[str, ...]:
    """A sentence on each limit that no model of the space can meet, whatever form it is tried in.

    Only what cannot be is called so: the smallest member, were its best form smaller and faster by all that `GAINS`
    allows, would miss the limit still, and for latency no form is faster than a model that does nothing.
    """
    return tuple(_sentences(reach, goal, space, threads))


def _sentences(reach: Reach, goal: Goal, space: Space, threads: int) -> Iterator[str]:
    for limit in goal.limits:
        name = _JUDGED_BY.get(limit.metric, limit.metric)
        found = reach.ranges.get(name)
        if found is None or found.least is None or found.low is None:
            continue
        gain = best_gain(space, threads, is_time=name == "latency_p50_s")
        floor = (reach.floor_s or 0.0) if name == "latency_p50_s" else 0.0
        if limit.at_most < max(found.least / gain, floor):
            yield _sentence(limit, found, gain, floor)


def best_gain(space: Space, threads: int, *, is_time: bool) -> float:
    """How many times cheaper than uncompressed and by default the best form can be; infinite where nobody knows."""
    gain = max(math.prod(GAINS.get(step.name, math.inf) for step in pipeline) for pipeline in space.pipelines)
    if not is_time:
        return gain
    others = any(loading_of(choice)[1] for choice in space.options)
    return gain * max([threads, *space.threads]) / threads * (OPTION_GAIN if others else 1.0)


def _sentence(limit: Limit, found: Range, gain: float, floor: float) -> str:
    name = _NAMES[_JUDGED_BY.get(limit.metric, limit.metric)]
    asked, low = shown(limit.at_most, limit.unit), shown(found.low or 0.0, found.unit)
    text = f"'{limit.option}' of {asked} is out of reach: the smallest model of the space has a {name} of {low}"
    if floor > (found.least or 0.0) / gain:
        text += f", and a model that does nothing one of {shown(floor, found.unit)}"
    elif gain > 1:
        text += f", and its other forms are at most {gain:g} times better"
    return f"{text}; the nearest is searched for and returned"


def _plain(space: Space, family: str, scale: Scale) -> Candidate:
    return Candidate(family, scale, (), space.runtime)


def _span(found: Range) -> str:
    factor, unit = _place(max(found.low or 0.0, found.high or 0.0), found.unit)
    low, high = (None if each is None else _digits(each / factor) for each in (found.low, found.high))
    if low is None:
        return f"up to {high} {unit}"
    if low == high:
        return f"{low} {unit}"
    return f"from {low} {unit}" if high is None else f"{low} to {high} {unit}"


def shown(value: float, unit: Unit) -> str:
    """A cost for people, three digits in the unit that they read it in."""
    factor, name = _place(value, unit)
    return f"{_digits(value / factor)} {name}"


def _place(value: float, unit: Unit) -> tuple[float, str]:
    places = dict(_PLACES).get(unit, ((1.0, unit),))
    return next((place for place in places if value >= place[0]), places[-1])


def _digits(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"
