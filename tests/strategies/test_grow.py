import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.candidate import FamilySpace, Knob, Space, StepSetting
from steelyard.strategies.grow import GROW, growth_path
from steelyard.testing.fakes import FakeProblem, failed, fake_space, measured

counts = st.lists(st.integers(1, 6), max_size=4)


@given(counts)
def test_the_path_goes_from_smallest_to_largest_one_notch_of_one_knob_at_a_time(lengths):
    family = FamilySpace("f", tuple(Knob(f"k{i}", tuple(range(n))) for i, n in enumerate(lengths)))
    path = growth_path(family)
    assert path[0] == family.smallest
    assert path[-1] == family.largest
    positions = [[scale[knob.name] for knob in family.knobs] for scale in path]
    for before, after in itertools.pairwise(positions):
        rises = [b - a for a, b in zip(before, after, strict=True)]
        assert sorted(rises) == [0] * (len(rises) - 1) + [1]


def test_all_knobs_grow_together():
    family = FamilySpace("f", (Knob("a", (1, 2, 3)), Knob("b", (1, 2, 3))))
    assert [(each["a"], each["b"]) for each in growth_path(family)] == [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]


def walk(space, quality, good_enough=0.5):
    """What grow proposes, one after the other, where `quality` of a candidate is known (None fails)."""
    finished, order = [], []
    problem = FakeProblem(good_enough=good_enough)
    while (candidate := GROW.propose(space, finished, [], problem)) is not None:
        order.append((*(value for _, value in candidate.scale.settings), len(candidate.steps)))
        got = quality(candidate)
        number = len(finished)
        finished.append(failed(number, candidate) if got is None else measured(number, candidate, quality=got))
    return order


SPACE = Space((FamilySpace("fake", (Knob("width", (1, 2, 4, 8)),)),), ((), (StepSetting("fake"),)))


def test_it_stops_at_the_first_that_is_good_enough_and_compresses_that():
    assert walk(SPACE, lambda each: each.scale["width"] / 4) == [(1, 0), (2, 0), (2, 1)]


def test_a_failure_on_the_way_is_stepped_over():
    assert walk(SPACE, lambda each: None if each.scale["width"] < 4 else 1.0) == [(1, 0), (2, 0), (4, 0), (4, 1)]


def test_a_compression_that_fails_ends_the_search_all_the_same():
    assert walk(SPACE, lambda each: None if each.steps else 1.0) == [(1, 0), (1, 1)]


def test_where_only_the_largest_is_good_enough_it_is_compressed():
    assert walk(SPACE, lambda each: 1.0 if each.scale["width"] == 8 else 0.0) == [
        (1, 0),
        (2, 0),
        (4, 0),
        (8, 0),
        (8, 1),
    ]


def test_where_nothing_is_good_enough_the_path_is_walked_to_its_end():
    assert walk(SPACE, lambda each: 0.0) == [(1, 0), (2, 0), (4, 0), (8, 0)]


def test_a_space_of_one_scale_is_compressed():
    space = Space((FamilySpace("fake", (Knob("width", (32,)),)),), ((), (StepSetting("fake"),)))
    assert walk(space, lambda each: 1.0) == [(32, 0), (32, 1)]


def test_it_waits_for_the_trial_that_the_next_step_depends_on():
    first = GROW.propose(SPACE, [], [], FakeProblem())
    assert GROW.propose(SPACE, [], [first], FakeProblem()) is None


@pytest.mark.parametrize("bad", [0.0, None])
def test_the_next_family_follows_where_the_first_is_never_good_enough(bad):
    families = tuple(FamilySpace(name, (Knob("width", (1, 2, 4)),)) for name in ("one", "two"))
    space = Space(families, ((), (StepSetting("fake"),)))
    finished, order = [], []
    while (candidate := GROW.propose(space, finished, [], FakeProblem(good_enough=0.5))) is not None:
        order.append((candidate.family, candidate.scale["width"], len(candidate.steps)))
        good = candidate.family == "two" and candidate.scale["width"] >= 2
        quality = 1.0 if good else bad
        number = len(finished)
        finished.append(failed(number, candidate) if quality is None else measured(number, candidate, quality=quality))
    assert order == [("one", 1, 0), ("one", 2, 0), ("one", 4, 0), ("two", 1, 0), ("two", 2, 0), ("two", 2, 1)]


def test_the_path_through_two_knobs_ends_with_the_whole_space_unsearched():
    space = fake_space(widths=(1, 2, 3, 4), depths=(1, 2, 3, 4))
    assert len(walk(space, lambda each: 0.0)) == 7
