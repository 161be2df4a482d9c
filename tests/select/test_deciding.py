"""Which limit decided."""

from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.goal import Goal
from steelyard.select.deciding import PROOF, Contender, asked_of, deciding

ASKED = asked_of(Goal(max_drop=0.01, max_size_bytes=1e6, max_latency_s=0.1))


def contender(key, cost, *missed):
    return Contender(key, f"model {key}", cost, frozenset(missed))


@given(st.lists(st.tuples(st.floats(1, 9), st.sets(st.sampled_from(sorted(ASKED)))), min_size=1, max_size=12))
def test_only_a_limit_that_stands_alone_before_something_cheaper_decides(drawn):
    entries = [contender(str(at), cost, *missed) for at, (cost, missed) in enumerate(drawn)]
    chosen = min(entries, key=lambda each: (bool(each.missed), each.cost))
    for each in deciding(entries, chosen.key, ASKED):
        instead = next(entry for entry in entries if entry.key == each.instead)
        assert instead.missed == {each.limit}
        assert chosen.missed or instead.cost < chosen.cost
        assert each.asked == ASKED[each.limit][0]


def test_the_cheapest_that_misses_that_limit_alone_is_named():
    entries = [
        contender("chosen", 10.0),
        contender("small", 4.0, "max_drop"),
        contender("smaller", 2.0, "max_drop"),
        contender("hopeless", 1.0, "max_drop", "max_size"),
        contender("dear", 12.0, "max_size"),
        contender("unproved", 9.0, PROOF),
    ]
    drop, proof = deciding(entries, "chosen", ASKED)
    assert (drop.limit, drop.excluded, drop.instead, drop.name, drop.times) == (
        *("max_drop", 2, "smaller", "model smaller"),
        5.0,
    )
    assert (proof.limit, proof.instead, proof.unit) == ("proof", "unproved", "1")


def test_costs_within_two_percent_decide_nothing():
    assert deciding([contender("chosen", 10.0), contender("same", 9.9, "max_size")], "chosen", ASKED) == ()


def test_where_nothing_meets_the_goal_dearer_ones_count():
    entries = [contender("nearest", 3.0, "max_latency", "max_size"), contender("other", 5.0, "max_size")]
    (found,) = deciding(entries, "nearest", ASKED)
    assert (found.limit, found.instead, found.times) == ("max_size", "other", 0.6)


def test_limits_are_asked_in_the_goals_order():
    assert list(ASKED) == ["max_latency", "max_size", "max_drop", "proof"]
    assert asked_of(Goal(min_quality=0.9))["min_quality"] == (0.9, "1")
