"""Which limits a point does not meet, and which point misses them least."""

import math
from collections.abc import Mapping, Sequence

from steelyard.core.errors import InputError
from steelyard.core.goal import Goal, Limit
from steelyard.core.outcome import Miss
from steelyard.core.quantity import Quantity


def is_met(limit: Limit, metrics: Mapping[str, Quantity]) -> bool:
    """Whether the limit holds: the upper end of the figure's interval is at most it. An unknown figure meets none."""
    got = _judged(metrics.get(limit.metric))
    return got is not None and got <= limit.at_most


def misses(
    goal: Goal,
    metrics: Mapping[str, Quantity],
    *,
    drop: float | None = None,
    quality: float | None = None,
    higher_is_better: bool = True,
) -> tuple[Miss, ...]:
    """Every limit of the goal that a point does not meet.

    Args:
        goal: the limits on costs, `max_drop` and `min_quality`.
        metrics: the point's figures by name. A cost is judged by the upper end of its interval.
        drop: the point's drop, judged against `max_drop`; None leaves it out.
        quality: the point's quality, judged against `min_quality`; None leaves it out.
        higher_is_better: which way `min_quality` limits.

    Returns:
        Costs in the goal's order, then the drop, then the quality. `got` is the figure that was judged.
    """
    found = [
        Miss(limit.option, limit.at_most, _judged(metrics.get(limit.metric)), limit.unit)
        for limit in goal.limits
        if not is_met(limit, metrics)
    ]
    if drop is not None and not drop <= goal.max_drop:
        found.append(Miss("max_drop", goal.max_drop, drop if math.isfinite(drop) else None, "1"))
    if goal.min_quality is not None and quality is not None:
        short = goal.min_quality - quality if higher_is_better else quality - goal.min_quality
        if not short <= 0:
            found.append(Miss("min_quality", goal.min_quality, quality if math.isfinite(quality) else None, "1"))
    return tuple(found)


def violation(missed: Sequence[Miss]) -> tuple[float, float]:
    """How far a point is from its goal: the largest relative violation, then their sum; (0, 0) for none.

    A violation is |got − asked| / |asked|, plain |got − asked| where 0 was asked, and infinite where nothing is known.
    """
    shares = [
        math.inf if miss.got is None else abs(miss.got - miss.asked) / (abs(miss.asked) or 1.0) for miss in missed
    ]
    return max(shares, default=0.0), sum(shares)


def nearest(candidates: Mapping[str, Sequence[Miss]]) -> str:
    """The key of the point that misses its limits least: the smallest `violation`, the first of equals.

    Raises:
        InputError: if there is no candidate.
    """
    if not candidates:
        raise InputError("the nearest point needs at least one candidate, got none.")
    return min(candidates, key=lambda key: violation(candidates[key]))


def _judged(quantity: Quantity | None) -> float | None:
    if quantity is None:
        return None
    return quantity.value if quantity.high is None else quantity.high
