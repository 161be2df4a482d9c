from hypothesis import given
from hypothesis import strategies as st

from steelyard import Goal
from steelyard.core.candidate import FamilySpace, Knob, Space, StepSetting
from steelyard.core.quantity import Quantity
from steelyard.engine.reach import Range, Reach, best_gain, beyond, ends, reach_of
from steelyard.testing.fakes import fake_space

INT8 = ((), (StepSetting("quantize"),))
PLAIN = Space((FamilySpace("a", (Knob("width", (1, 2, 4)),)), FamilySpace("b", (Knob("width", (3,)),))))
WITH_INT8 = Space(PLAIN.families, INT8)


def costs(latency_s, size_bytes=1e4, *, spread=0.1):
    return {
        "latency_p50_s": Quantity(latency_s, "s", low=latency_s * (1 - spread), high=latency_s * (1 + spread)),
        "size_bytes": Quantity.exact(size_bytes, "B"),
    }


def reach(least=5e-6, most=2.1e-4, floor=None):
    found = {each.key: costs(most, 1.3e6) for each in ends(PLAIN)}
    found[ends(PLAIN)[0].key] = costs(least)
    return reach_of(PLAIN, found, floor)


def test_ends_are_the_smallest_of_every_family_then_the_largest_each_once():
    assert [(each.family, each.scale["width"]) for each in ends(PLAIN)] == [("a", 1), ("b", 3), ("a", 4)]


def test_ends_are_plain_members_of_their_space():
    for space in (PLAIN, WITH_INT8, fake_space()):
        assert all(each in space and each.is_plain for each in ends(space))
        assert {each.key for each in ends(space)} >= {each.key for each in space.references()}


@given(values=st.lists(st.floats(1e-7, 1e-1), min_size=3, max_size=3))
def test_every_member_that_was_measured_lies_within_reach(values):
    found = {each.key: costs(value) for each, value in zip(ends(PLAIN), values, strict=True)}
    span = reach_of(PLAIN, found, None).ranges["latency_p50_s"]
    assert span.least <= span.low == min(values)
    assert span.high == max(values)


@given(
    least=st.floats(1e-7, 1e-2),
    asked=st.floats(1e-8, 1e-1),
    gain=st.floats(1, 4),
)
def test_a_limit_that_a_form_may_meet_is_never_called_out_of_reach(least, asked, gain):
    told = beyond(reach(least, 1.0), Goal(max_latency_s=asked), WITH_INT8, 1)
    if least / gain <= asked:
        assert told == ()


def test_without_every_smallest_member_nothing_is_out_of_reach():
    found = {each.key: costs(1.0) for each in ends(PLAIN)[1:]}
    partial = reach_of(PLAIN, found, None)
    assert partial.ranges["latency_p50_s"].low is None
    assert partial.ranges["latency_p50_s"].high == 1.0
    assert beyond(partial, Goal(max_latency_s=1e-9), PLAIN, 1) == ()
    assert str(partial) == "within reach: latency up to 1 s, size up to 10 kB"


def test_nothing_measured_is_no_reach():
    assert reach_of(PLAIN, {}, None) == Reach()
    assert Reach().told() == {}


def test_the_reach_is_told_in_the_units_that_people_read():
    assert str(reach()) == "within reach: latency 5 to 210 µs, size 0.01 to 1.3 MB"
    assert reach().told() == {
        "latency_p50_s": {"low": 5e-6, "high": 2.1e-4, "unit": "s"},
        "size_bytes": {"low": 1e4, "high": 1.3e6, "unit": "B"},
    }


def test_the_plain_form_reads_back():
    for each in (reach(), reach(floor=Quantity(2e-6, "s", low=1e-6, high=3e-6)), Reach()):
        assert Reach.from_json(each.to_json()) == each


def test_a_limit_below_the_smallest_is_told_with_what_was_asked_and_what_is_least():
    assert beyond(reach(), Goal(max_latency_s=1e-6, max_size_bytes=5e3), PLAIN, 1) == (
        "'max_latency' of 1 µs is out of reach: the smallest model of the space has a latency of 5 µs; "
        "the nearest is searched for and returned",
        "'max_size' of 5 kB is out of reach: the smallest model of the space has a size of 10 kB; "
        "the nearest is searched for and returned",
    )


def test_int8_may_be_four_times_smaller_and_faster():
    assert beyond(reach(), Goal(max_latency_s=1.2e-6, max_size_bytes=2.5e3), WITH_INT8, 1) == ()
    assert beyond(reach(), Goal(max_size_bytes=2.4e3), WITH_INT8, 1) == (
        "'max_size' of 2.4 kB is out of reach: the smallest model of the space has a size of 10 kB, and its other "
        "forms are at most 4 times better; the nearest is searched for and returned",
    )


def test_nothing_is_faster_than_a_model_that_does_nothing():
    floor = Quantity(2e-6, "s", low=1.8e-6, high=2.2e-6)
    assert beyond(reach(floor=floor), Goal(max_latency_s=1.9e-6), WITH_INT8, 1) == ()
    assert beyond(reach(floor=floor), Goal(max_latency_s=1.7e-6), WITH_INT8, 1) == (
        "'max_latency' of 1.7 µs is out of reach: the smallest model of the space has a latency of 5 µs, and a model "
        "that does nothing one of 1.8 µs; the nearest is searched for and returned",
    )


def test_a_step_that_nobody_vouches_for_may_do_anything():
    space = Space(PLAIN.families, (*INT8, (StepSetting("prune"),)))
    assert beyond(reach(), Goal(max_latency_s=1e-12, max_size_bytes=1.0), space, 1) == ()


def test_threads_and_other_options_make_it_faster_and_no_smaller():
    options = ((), (("threads", 2),), (("precision", "f16"),))
    space = Space(PLAIN.families, INT8, options=options)
    assert best_gain(space, 1, is_time=True) == 4 * 2 * 4
    assert best_gain(space, 2, is_time=True) == 4 * 4
    assert best_gain(space, 1, is_time=False) == 4
    assert best_gain(PLAIN, 1, is_time=True) == 1


def test_a_range_without_a_low_end_is_told_from_above_and_the_other_way_round():
    only = {"size_bytes": Range(2e3, None, "B", 2e3)}
    assert str(Reach(only)) == "within reach: size from 2 kB"
