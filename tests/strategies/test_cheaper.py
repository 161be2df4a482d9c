"""A goal that is asked again is answered by what is likely to be cheaper, and by nothing else."""

import pytest

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space
from steelyard.strategies.cheaper import Cheaper
from steelyard.testing.fakes import FakeProblem, measured

WIDTHS = tuple(range(1, 13))
SPACE = Space((FamilySpace("fake", (Knob("width", WIDTHS),)),))


def accuracy(width: int) -> float:
    return 0.5 + 0.08 * min(width, 6)


def of(width: int) -> Candidate:
    return Candidate("fake", Scale.of(width=width))


def trials(*widths: int):
    return [
        measured(number, of(width), quality=accuracy(width), latency_s=float(width))
        for number, width in enumerate(widths)
    ]


def problem(good_from: int, *, explored: bool = True) -> FakeProblem:
    estimates = {of(width): (1 - accuracy(width), float(width)) for width in WIDTHS} if explored else {}
    return FakeProblem(
        good_enough=accuracy(good_from) - 1e-9, objectives=("accuracy", "latency_p50_s"), estimates=estimates
    )


@pytest.mark.parametrize("least", [3, 4, 5])
def test_the_cheapest_that_is_good_enough_is_found_at_once_by_good_estimates(least):
    asked = Cheaper(allowed=1 - accuracy(least) + 0.02)
    proposed = asked.propose(SPACE, trials(12, 10, 9, 8), [], problem(least))
    assert int(proposed.scale["width"]) == least


def test_nothing_is_proposed_where_the_cheapest_good_one_is_confirmed():
    asked = Cheaper(allowed=1 - accuracy(4) + 0.02)
    assert asked.propose(SPACE, trials(12, 10, 3, 4), [], problem(4)) is None


def test_what_is_begun_is_not_proposed_again():
    asked = Cheaper(allowed=1 - accuracy(4) + 0.02)
    proposed = asked.propose(SPACE, trials(12, 10, 9, 8), [of(4)], problem(4))
    assert proposed not in (None, of(4))
    assert int(proposed.scale["width"]) > 4


def test_without_a_good_answer_or_without_estimates_there_is_nothing_to_save():
    asked = Cheaper(allowed=0.5)
    assert asked.propose(SPACE, trials(1, 2), [], problem(3)) is None
    assert asked.propose(SPACE, trials(12, 10), [], problem(3, explored=False)) is None
