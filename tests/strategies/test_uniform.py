import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.candidate import FamilySpace, Knob, Space, StepSetting
from steelyard.strategies.uniform import ENUMERABLE, RANDOM, _at, random_order
from steelyard.testing.fakes import FakeProblem, failed, fake_space, measured


@given(st.integers(0, 2**31), st.lists(st.sampled_from([0.1, 0.5, None]), min_size=3, max_size=3))
def test_the_order_depends_on_the_seed_alone(seed, qualities):
    """Whatever came of the first trials, the next proposal is the next of the seed's order."""
    space, problem = fake_space(), FakeProblem(seed=seed)
    order = list(random_order(space, seed))
    finished = [
        failed(i, each) if quality is None else measured(i, each, quality=quality)
        for i, (each, quality) in enumerate(zip(order, qualities, strict=False))
    ]
    assert RANDOM.propose(space, finished, order[3:5], problem) == order[5]


@given(st.integers(0, 2**63 - 1))
def test_the_order_of_a_small_space_is_a_permutation(seed):
    space = fake_space()
    assert Counter(random_order(space, seed)) == Counter(space.candidates())


@given(
    st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_a_candidates_number_is_its_place_in_the_space(families, pipelines, options):
    space = Space(
        tuple(
            FamilySpace(f"f{i}", tuple(Knob(f"k{j}", tuple(range(n))) for j, n in enumerate(lengths)))
            for i, lengths in enumerate(families)
        ),
        ((), (StepSetting("a"),), (StepSetting("b"),))[:pipelines],
        options=((), (("threads", 2),), (("threads", 3),))[:options],
    )
    assert [_at(space, number) for number in range(space.size)] == list(space.candidates())


def test_the_first_place_is_even_over_seeds():
    """Chi-squared over 12 candidates and 1,200 seeds: 11 degrees of freedom, 99.9 % quantile 31.3."""
    space = fake_space()
    firsts = Counter(next(random_order(space, seed)) for seed in range(1200))
    assert sum((firsts[each] - 100) ** 2 / 100 for each in space.candidates()) < 31.3


@pytest.fixture
def large():
    knobs = tuple(Knob(name, tuple(range(40))) for name in "abc")
    space = Space((FamilySpace("big", knobs), FamilySpace("small", (Knob("a", (1, 2)),))))
    assert space.size > ENUMERABLE
    return space


def test_a_large_space_is_drawn_from_by_seed_and_number(large):
    first = list(itertools.islice(random_order(large, 5), 20))
    assert first == list(itertools.islice(random_order(large, 5), 20))
    assert first != list(itertools.islice(random_order(large, 6), 20))
    assert all(each in large for each in first)


def test_families_of_a_large_space_come_by_their_size(large):
    assert {each.family for each in itertools.islice(random_order(large, 0), 200)} == {"big"}
