"""The choice among candidates that are good enough: the cheapest, and among equally cheap ones the smallest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steelyard.core.errors import InputError
from steelyard.core.quantity import Quantity

SAME = 0.02
"""Costs within 2 % of each other are the same: a second run of the same file differs by as much."""

Ratio = Callable[[str, str], Quantity | None]
"""The cost of the first over the cost of the second, measured in pairs, with its interval; None where it was not."""


@dataclass(frozen=True, slots=True)
class Option:
    """A candidate as choosing sees it: the minimised cost with its interval, then what breaks a tie."""

    key: str
    cost: Quantity
    size_bytes: float
    parameters: float


@dataclass(frozen=True, slots=True)
class Estimated:
    """An option with what the validation rows say of its drop: the drop and its standard error."""

    option: Option
    drop: float
    error: float


def choose(options: Sequence[Option], ratio: Ratio | None = None) -> str:
    """The key of the cheapest option; among those that can't be told apart from it, the smallest file.

    "Can't be told apart" does not carry over (a may tie with b and b with c, but a not with c), so everything is
    compared with one option only, the one of the lowest cost: nothing that is dearer than it beyond doubt is chosen,
    and the relation can't cycle. Ties go to the smaller file, then fewer parameters, then the lower cost, then the key.

    Args:
        options: at least one.
        ratio: measured ratios of costs. Without one, the ratio of the two intervals' far ends, which is wider.

    Raises:
        InputError: if there is no option.
    """
    if not options:
        raise InputError("a choice needs at least one option, got none.")
    cheapest = min(options, key=lambda option: (option.cost.value, option.key))
    tied = [each for each in options if each is cheapest or is_same_cost(each, cheapest, ratio)]
    return min(tied, key=lambda option: (option.size_bytes, option.parameters, option.cost.value, option.key)).key


def is_same_cost(option: Option, other: Option, ratio: Ratio | None = None) -> bool:
    """Whether two costs can't be told apart: their ratio is within 2 % of 1, or its interval holds 1."""
    measured = ratio(option.key, other.key) if ratio is not None else None
    quotient = measured or _quotient(option.cost, other.cost)
    if quotient is None:
        return option.cost.value == other.cost.value
    low = quotient.value if quotient.low is None else quotient.low
    high = quotient.value if quotient.high is None else quotient.high
    return abs(quotient.value - 1) < SAME or low <= 1 <= high


def estimate(
    entries: Sequence[Estimated],
    *,
    epsilon: float,
    test_drop: Callable[[str], float],
    ratio: Ratio | None = None,
) -> str | None:
    """The choice when nothing was proved: by the validation rows only, confirmed once by the test rows.

    The cheapest whose drop plus one standard error is at most epsilon; if there is none, the one of the smallest drop,
    if that is at most epsilon. It stands only if its drop on the test rows is at most epsilon too.

    Args:
        entries: candidates that meet every limit.
        epsilon: the permitted drop.
        test_drop: the drop on the test rows; called once at most.
        ratio: as in `choose`.

    Returns:
        A key, or None where the goal is infeasible.

    References:
        Breiman, Friedman, Olshen, Stone: Classification and Regression Trees, Wadsworth, 1984 (one standard error).
    """
    safe = [each.option for each in entries if each.drop + each.error <= epsilon]
    possible = [each for each in entries if each.drop <= epsilon]
    if safe:
        key = choose(safe, ratio)
    elif possible:
        key = min(possible, key=lambda each: (each.drop, each.option.cost.value, each.option.key)).option.key
    else:
        return None
    return key if test_drop(key) <= epsilon else None


def _quotient(cost: Quantity, other: Quantity) -> Quantity | None:
    """The ratio with the widest interval that the two intervals allow; None where a cost is not positive."""
    low, high = (cost.value if each is None else each for each in (cost.low, cost.high))
    other_low, other_high = (other.value if each is None else each for each in (other.low, other.high))
    if min(low, other_low) <= 0:
        return None
    return Quantity(cost.value / other.value, "1", low / other_high, high / other_low)
