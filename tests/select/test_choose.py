import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.core.quantity import Quantity
from steelyard.select.choose import Estimated, Option, choose, estimate, is_same_cost


def option(key, cost, half=0.0, size=100.0, parameters=10.0):
    return Option(key, Quantity(cost, "s", cost - half, cost + half), size, parameters)


options = st.lists(
    st.tuples(st.floats(1, 2), st.floats(0, 0.3), st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=8
).map(lambda rows: [option(f"k{i}", cost, half, size, count) for i, (cost, half, size, count) in enumerate(rows)])


@given(options)
def test_chosen_can_not_be_told_apart_from_the_cheapest(found):
    by_key = {each.key: each for each in found}
    chosen, cheapest = by_key[choose(found)], min(found, key=lambda each: each.cost.value)
    assert chosen is cheapest or is_same_cost(chosen, cheapest)
    for other in found:
        if is_same_cost(other, cheapest):
            assert (chosen.size_bytes, chosen.parameters) <= (other.size_bytes, other.parameters)


@given(options, st.randoms())
def test_choice_does_not_depend_on_the_order(found, random):
    shuffled = random.sample(found, len(found))
    assert choose(shuffled) == choose(found)


@given(options)
def test_same_cost_is_mutual(found):
    first, last = found[0], found[-1]
    if abs(abs(first.cost.value / last.cost.value - 1) - 0.02) > 0.001:
        assert is_same_cost(first, last) == is_same_cost(last, first)


def test_clearly_cheaper_wins_over_smaller():
    assert choose([option("cheap", 1.0, size=9.0), option("small", 1.1, size=1.0)]) == "cheap"


def test_within_two_percent_the_smaller_file_wins_then_fewer_parameters():
    assert choose([option("cheap", 1.0, size=9.0), option("small", 1.019, size=1.0)]) == "small"
    assert choose([option("cheap", 1.0, parameters=9.0), option("few", 1.01, parameters=1.0)]) == "few"


def test_overlapping_intervals_are_a_tie_unless_pairs_say_otherwise():
    found = [option("cheap", 1.0, 0.1, size=9.0), option("small", 1.1, 0.1, size=1.0)]
    assert choose(found) == "small"
    assert choose(found, lambda a, b: Quantity(1.1, "1", 1.05, 1.15)) == "cheap"
    assert choose(found, lambda a, b: None) == "small"


def test_a_chain_of_ties_is_compared_with_the_cheapest_only():
    chain = [option("a", 1.0, size=3.0), option("b", 1.019, size=2.0), option("c", 1.038, size=1.0)]
    assert choose(chain) == "b"


def test_costs_that_are_not_positive_are_the_same_only_if_equal():
    assert is_same_cost(option("a", 0.0), option("b", 0.0))
    assert not is_same_cost(option("a", 0.0), option("b", 1.0))


def test_estimate_takes_the_cheapest_that_is_safe_by_one_standard_error():
    entries = [
        Estimated(option("risky", 1.0), 0.009, 0.002),
        Estimated(option("safe", 2.0), 0.007, 0.002),
        Estimated(option("dear", 3.0), 0.0, 0.002),
    ]
    assert estimate(entries, epsilon=0.01, test_drop=lambda key: 0.0) == "safe"
    assert estimate(entries, epsilon=0.01, test_drop=lambda key: 0.011) is None
    assert estimate(entries[:1], epsilon=0.01, test_drop=lambda key: 0.01) == "risky"
    assert estimate(entries[:1], epsilon=0.005, test_drop=lambda key: 0.0) is None


def test_choice_of_nothing_is_refused_in_a_sentence():
    with pytest.raises(InputError) as caught:
        choose([])
    assert str(caught.value) == "a choice needs at least one option, got none."
