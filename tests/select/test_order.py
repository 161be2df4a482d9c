import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.goal import Limit
from steelyard.core.quantity import Quantity
from steelyard.select.order import Entry, fixed_sequence, smoothed
from steelyard.select.order import testing_order as order_of
from steelyard.select.proof import Proof

LATENCY = Limit("max_latency", "latency_p95_s", 0.010, "s")


def proof(rejected):
    return Proof(0.0, 0.0, 0.01 if rejected else 0.5, rejected, True, "trinomial", True, 100, "")


entries = st.lists(
    st.tuples(st.integers(-5, 20), st.integers(1, 20)).map(lambda pair: (pair[0] / 100, float(pair[1]))),
    min_size=1,
    max_size=30,
).map(lambda pairs: [Entry(f"k{i}", drop, cost) for i, (drop, cost) in enumerate(pairs)])


@given(entries, st.integers(1, 8))
def test_order_is_on_the_front_by_drop_and_bounded(found, at_most):
    order = order_of(found, epsilon=0.1, at_most=at_most)
    chosen = [entry for key in order for entry in found if entry.key == key]
    assert 1 <= len(order) <= at_most
    assert [entry.drop for entry in chosen] == sorted(entry.drop for entry in chosen)
    for entry in chosen:
        for other in found:
            assert not (other.drop <= entry.drop and other.cost < entry.cost)
            assert not (other.drop < entry.drop and other.cost <= entry.cost)


@given(entries)
def test_order_does_not_depend_on_the_order_of_arrival(found):
    assert order_of(found) == order_of(found[::-1])


@given(st.lists(st.booleans(), max_size=10))
def test_testing_stops_at_the_first_not_proved(truth):
    asked = []

    def test(key):
        asked.append(key)
        return proof(truth[int(key)])

    keys = [str(i) for i in range(len(truth))]
    certified = fixed_sequence(keys, test)
    leading = truth.index(False) if False in truth else len(truth)
    assert certified.rejected == tuple(keys[:leading])
    assert certified.stopped_at == (keys[leading] if leading < len(truth) else None)
    assert asked == keys[: leading + 1]
    assert certified.order == tuple(keys)


def test_candidates_over_a_limit_are_not_tested():
    slow = {"latency_p95_s": Quantity(0.009, "s", 0.008, 0.011)}
    fast = {"latency_p95_s": Quantity(0.009, "s", 0.008, 0.010)}
    found = [Entry("slow", 0.0, 1.0, slow), Entry("fast", 0.1, 2.0, fast), Entry("unknown", 0.0, 0.5)]
    assert order_of(found, [LATENCY]) == ("fast",)
    assert order_of(found[:1], [LATENCY]) == ()


def test_long_front_keeps_its_ends_among_those_within_the_drop():
    found = [Entry(f"k{i:02}", i / 1000, 100.0 - i) for i in range(40)]
    order = order_of(found, epsilon=0.02, at_most=5)
    assert order == ("k00", "k05", "k10", "k15", "k20")
    assert order_of(found, epsilon=-1.0, at_most=3) == ("k00", "k01", "k02")


def test_quality_and_drop_must_both_be_proved():
    certified = fixed_sequence(["a", "b"], lambda key: proof(True), lambda key: proof(key == "a"))
    assert certified.rejected == ("a",)
    assert certified.stopped_at == "b"
    assert set(certified.quality) == {"a", "b"}


def entry(key, drop, cost):
    return Entry(key, drop, cost)


def test_milder_compression_is_tested_before_bolder_that_looks_as_good_by_chance():
    found = smoothed(
        [entry("int8", 0.002, 300), entry("a", 0.008, 206), entry("b", 0.007, 146), entry("c", 0.007, 121)], 0.005
    )
    assert order_of(found, epsilon=0.02) == ("int8", "a", "b", "c")
    assert [each.drop for each in found[1:]] == pytest.approx([0.022 / 3] * 3)


def test_what_a_cheaper_one_beats_by_more_than_chance_is_left_out():
    found = smoothed([entry("bad", 0.2, 250), entry("good", 0.001, 100)], 0.005)
    assert [each.key for each in found] == ["good"]


def test_drops_that_rise_as_costs_fall_stay_as_they_are():
    found = smoothed([entry("a", 0.001, 3), entry("b", 0.004, 2), entry("c", 0.02, 1)], 0.0)
    assert [each.drop for each in found] == pytest.approx([0.001, 0.004, 0.02])
    assert [each.key for each in found] == ["a", "b", "c"]


def test_without_candidates_there_is_nothing_to_smooth():
    assert smoothed([], 0.1) == ()
