"""The walk of compress through the tree of pipelines."""

from collections.abc import Callable

from steelyard.core.candidate import Candidate, FamilySpace, Scale, Space, StepSetting
from steelyard.core.trial import Trial
from steelyard.strategies.shrink import SHRINK
from steelyard.testing.fakes import FakeProblem, failed, measured
from steelyard.testing.strategies import check_strategy

DISTILL, INT8 = StepSetting("distill"), StepSetting("quantize")


def cut(keep: float) -> tuple[StepSetting, ...]:
    return (StepSetting("prune", (("keep", keep),)), DISTILL)


BODIES = [(), cut(0.25), cut(0.5), cut(0.25) + cut(0.25), cut(0.25) + cut(0.5), (*cut(0.25), DISTILL)]
SPACE = Space((FamilySpace("net"),), (*BODIES, *((*body, INT8) for body in BODIES)))


def walked(quality: Callable[[Candidate], float], count: int) -> list[tuple[StepSetting, ...]]:
    """The first pipelines that are proposed, one at a time."""
    finished: list[Trial] = []
    for number in range(count):
        candidate = SHRINK.propose(SPACE, finished, [], FakeProblem(good_enough=0.9))
        if candidate is None:
            break
        finished.append(measured(number, candidate, quality=quality(candidate)))
    return [trial.candidate.steps for trial in finished]


def test_it_keeps_the_contract() -> None:
    check_strategy(SHRINK, SPACE, exhausts=False)


def test_the_whole_space_is_walked_where_nothing_fails() -> None:
    assert len(walked(lambda each: 1.0, 99)) == SPACE.size


def test_what_begins_with_a_step_that_failed_is_not_tried() -> None:
    finished = [measured(0, Candidate("net", Scale()), quality=1.0), failed(1, Candidate("net", Scale(), cut(0.25)))]
    proposed = []
    while (candidate := SHRINK.propose(SPACE, finished, [], FakeProblem(good_enough=0.9))) is not None:
        proposed.append(candidate.steps)
        finished.append(measured(len(finished), candidate, quality=1.0))
    assert proposed == [(INT8,), cut(0.5), (*cut(0.5), INT8)]


def test_the_model_as_it_is_comes_first_and_its_finishes_next() -> None:
    assert walked(lambda each: 1.0, 2) == [(), (INT8,)]


def test_while_bodies_are_good_it_cuts_deeper_and_then_finishes_the_deepest() -> None:
    deepest = cut(0.25) + cut(0.25)
    assert walked(lambda each: 1.0, 5)[2:] == [cut(0.25), deepest, (*deepest, INT8)]


def test_where_a_bold_cut_fails_the_milder_one_is_tried() -> None:
    found = walked(lambda each: 0.5 if each.steps.count(DISTILL) > 1 and cut(0.5)[0] not in each.steps else 1.0, 6)
    bold, milder = cut(0.25) + cut(0.25), cut(0.25) + cut(0.5)
    assert found[2:] == [cut(0.25), bold, (*cut(0.25), INT8), milder]


def test_where_every_cut_fails_more_training_is_tried_before_what_is_left() -> None:
    found = walked(lambda each: 0.5 if each.steps else 1.0, 5)
    assert found[2:] == [cut(0.25), cut(0.5), (*cut(0.25), DISTILL)]


def test_a_body_that_uses_up_two_thirds_of_the_permitted_drop_is_not_built_on() -> None:
    # Good enough is 0.9: a loss of 0.07 is 70 % of what is permitted.
    found = walked(lambda each: 0.93 if each.steps else 1.0, 4)
    assert found[2:] == [cut(0.25), cut(0.5)]


def test_while_a_bold_cut_is_in_the_making_files_are_finished_before_anything_milder_is_begun() -> None:
    problem = FakeProblem(good_enough=0.9)
    finished = [measured(0, Candidate("net", Scale()), quality=1.0)]
    pending = [Candidate("net", Scale(), cut(0.25))]
    first = SHRINK.propose(SPACE, finished, pending, problem)
    assert first is not None
    assert first.steps == (INT8,)
    second = SHRINK.propose(SPACE, finished, [*pending, first], problem)
    assert second is not None
    assert second.steps == cut(0.5)


def test_a_step_that_fails_is_passed_over() -> None:
    finished = [measured(0, Candidate("net", Scale()), quality=1.0), failed(1, Candidate("net", Scale(), (INT8,)))]
    candidate = SHRINK.propose(SPACE, finished, [], FakeProblem(good_enough=0.9))
    assert candidate is not None
    assert candidate.steps == cut(0.25)
