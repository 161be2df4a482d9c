import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.core.goal import Goal, Limit
from steelyard.core.outcome import Miss
from steelyard.core.quantity import Quantity
from steelyard.select.limits import is_met, misses, nearest, violation

GOAL = Goal(max_drop=0.02, max_latency_s=0.010, max_size_bytes=1e6, min_quality=0.9)
GOOD = {"latency_p95_s": Quantity(0.009, "s", 0.008, 0.010), "size_bytes": Quantity.exact(1e6, "B")}


@given(st.floats(0.001, 1), st.floats(0, 1), st.floats(0, 1))
def test_limit_is_judged_by_the_upper_end(value, below, above):
    limit = Limit("max_latency", "latency_p95_s", 0.5, "s")
    assert is_met(limit, {"latency_p95_s": Quantity(value, "s", value - below, value + above)}) == (
        value + above <= 0.5
    )


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=4))
def test_fewer_misses_are_nearer(got):
    missed = [Miss(f"limit{i}", 1.0, 1.0 + each, "s") for i, each in enumerate(got)]
    assert violation(missed[1:]) <= violation(missed)


def test_point_within_every_limit_misses_none():
    assert misses(GOAL, GOOD, drop=0.02, quality=0.9) == ()


def test_every_miss_says_what_was_judged():
    metrics = {"latency_p95_s": Quantity(0.009, "s", 0.008, 0.012), "size_bytes": Quantity(2e6, "B")}
    assert misses(GOAL, metrics, drop=0.05, quality=0.8) == (
        Miss("max_latency", 0.010, 0.012, "s"),
        Miss("max_size", 1e6, 2e6, "B"),
        Miss("max_drop", 0.02, 0.05, "1"),
        Miss("min_quality", 0.9, 0.8, "1"),
    )


def test_unknown_figures_are_missed():
    assert misses(GOAL, {}, drop=math.nan, quality=math.nan) == (
        Miss("max_latency", 0.010, None, "s"),
        Miss("max_size", 1e6, None, "B"),
        Miss("max_drop", 0.02, None, "1"),
        Miss("min_quality", 0.9, None, "1"),
    )


def test_quality_is_an_upper_limit_where_lower_is_better():
    assert misses(GOAL, GOOD, quality=0.8, higher_is_better=False) == ()
    assert misses(GOAL, GOOD, quality=1.0, higher_is_better=False) == (Miss("min_quality", 0.9, 1.0, "1"),)


def test_nearest_has_the_smallest_largest_violation():
    far = [Miss("max_latency", 1.0, 2.0, "s")]
    near = [Miss("max_latency", 1.0, 1.4, "s"), Miss("max_size", 10.0, 14.0, "B")]
    unknown = [Miss("max_energy", 1.0, None, "J")]
    assert nearest({"far": far, "near": near, "unknown": unknown}) == "near"
    assert violation([Miss("max_drop", 0.0, 0.1, "1")]) == (0.1, 0.1)


def test_nearest_of_nothing_is_refused_in_a_sentence():
    with pytest.raises(InputError) as caught:
        nearest({})
    assert str(caught.value) == "the nearest point needs at least one candidate, got none."
