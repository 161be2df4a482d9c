"""Confirmations follow the estimates where there are any."""

import math

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Space, StepSetting
from steelyard.strategies.elastic import ELASTIC
from steelyard.testing.fakes import FakeProblem, failed, fake_space, measured

WIDTHS = tuple(range(1, 13))
SPACE = Space((FamilySpace("fake", (Knob("width", WIDTHS),)),))


def accuracy(width: int) -> float:
    """Rises to width 6 and stays there: wider is dearer and no better."""
    return 0.5 + 0.08 * min(width, 6)


def trial(number: int, candidate: Candidate):
    width = int(candidate.scale["width"])
    return measured(number, candidate, quality=accuracy(width), latency_s=float(width))


def problem(*, noise: float = 0.0, cost: bool = True) -> FakeProblem:
    estimates = {
        each: (
            1 - accuracy(int(each.scale["width"])) + noise * (-1) ** int(each.scale["width"]),
            float(each.scale["width"]) if cost else math.nan,
        )
        for each in SPACE.candidates()
        if not each.steps
    }
    return FakeProblem(objectives=("accuracy", "latency_p50_s"), estimates=estimates)


def confirmed(asked: FakeProblem, count: int) -> list[int]:
    reference = SPACE.references()[0]
    finished = [trial(0, reference)]
    while len(finished) < count:
        finished.append(trial(len(finished), ELASTIC.propose(SPACE, finished, [], asked)))
    return [int(each.candidate.scale["width"]) for each in finished[1:]]


def test_with_good_estimates_only_the_front_is_confirmed():
    assert set(confirmed(problem(), 7)) >= set(range(2, 7))


def test_while_the_reference_is_measured_nothing_that_looks_dominated_is_confirmed():
    proposed = ELASTIC.propose(SPACE, [], [SPACE.references()[0]], problem())
    assert int(proposed.scale["width"]) <= 6


def test_costs_that_no_look_was_taken_at_are_learned():
    assert set(confirmed(problem(cost=False), 9)) >= {4, 5, 6}


def test_poor_estimates_are_still_no_trap():
    assert set(confirmed(problem(noise=0.2), 11)) >= {5, 6}


def test_a_failure_and_what_is_pending_are_not_proposed_again():
    first, second, *_ = ELASTIC.propose(SPACE, [], [], FakeProblem()), SPACE.references()[0]
    proposed = ELASTIC.propose(SPACE, [failed(0, first)], [second], FakeProblem())
    assert proposed not in (first, second)


def test_a_form_is_costed_by_what_was_confirmed_of_it():
    space = fake_space()
    estimates = {each: (0.1, 1.0) for each in space.candidates() if not each.steps}
    asked = FakeProblem(objectives=("accuracy", "latency_p50_s"), estimates=estimates)
    reference = space.references()[0]
    quick = Candidate(reference.family, reference.scale, (StepSetting("fake"),))
    finished = [
        measured(0, reference, quality=0.9, latency_s=1.0),
        measured(1, quick, quality=0.9, latency_s=0.5),
    ]
    # All scales are estimated alike, and the compressed form halves the cost: the next is compressed.
    assert ELASTIC.propose(space, finished, [], asked).steps == (StepSetting("fake"),)


def test_a_space_beyond_counting_is_sampled():
    knobs = tuple(Knob(f"knob{number}", tuple(range(1, 9))) for number in range(4))
    space = Space((FamilySpace("fake", knobs),))
    assert ELASTIC.propose(space, [], [], FakeProblem()) in space


def test_a_form_that_was_looked_at_is_judged_by_its_own_look():
    space, asked = looked(lambda scale: (0.1 if scale["width"] == 2 else 0.4, -1.0))
    finished = [measured(0, space.references()[0], quality=0.9, latency_s=1.0)]
    found = ELASTIC.propose(space, finished, [], asked)
    # All scales are alike in float; one alone bears the steps, which make it cheaper.
    assert (found.steps, found.scale["width"]) == ((StepSetting("fake"),), 2)


def test_a_form_nobody_saw_is_moved_as_it_moved_other_scales():
    space, asked = looked(lambda scale: (0.4, 0.01 * scale["width"]) if scale["width"] < 4 else None)
    finished = [measured(0, space.references()[0], quality=0.9, latency_s=1.0)]
    pending = [each for each in space.candidates() if not each.steps and each != space.references()[0]]
    found = ELASTIC.propose(space, finished, pending[:-1], asked)
    # What ruined the others is expected to ruin the largest: the last uncompressed one is worth more.
    assert found == pending[-1]


def looked(look):
    """A space whose scales are alike in float but for their cost, and what `look` says of each in its other form."""
    space = fake_space()
    estimates = {}
    for each in space.candidates():
        told = (0.1, 0.01 * float(each.scale["width"])) if not each.steps else look(each.scale)
        if told is not None:
            estimates[each] = told
    return space, FakeProblem(objectives=("accuracy", "latency_p50_s"), estimates=estimates)
