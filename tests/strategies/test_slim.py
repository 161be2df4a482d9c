"""Structures of a given model, explored by shared weights: which is confirmed, and what is done with it."""

from collections.abc import Callable

from steelyard.core.candidate import Candidate, FamilySpace, Scale, Space, StepSetting
from steelyard.core.trial import Trial
from steelyard.strategies.elastic import ELASTIC
from steelyard.testing.fakes import FakeProblem, failed, measured

DISTILL, INT8, SMALL = StepSetting("distill"), StepSetting("quantize"), StepSetting("encode")
CUT = StepSetting("prune", (("keep", 0.25),))
BODIES = [(), (CUT, DISTILL)]
FINISHES = [(INT8,), (SMALL,)]
SPACE = Space((FamilySpace("net"),), (*BODIES, *(body + finish for body in BODIES for finish in FINISHES)))


def body(size: int) -> Candidate:
    return Candidate("net", Scale(), (StepSetting("prune", (("sizes", f"{size}-8"),)), DISTILL))


LOSSES = {64: 0.01, 32: 0.03, 16: 0.06, 8: 0.4}
PROBLEM = FakeProblem(good_enough=0.9, estimates={body(size): (lost, size / 1e6) for size, lost in LOSSES.items()})


def latency(candidate: Candidate) -> float:
    size = int(str(dict(candidate.steps[0].settings).get("sizes", "128")).split("-")[0]) if candidate.steps else 128
    return size / 1e6 / (2 if INT8 in candidate.steps else 1)


def walked(quality: Callable[[Candidate], float], count: int) -> list[Candidate]:
    finished: list[Trial] = []
    for number in range(count):
        candidate = ELASTIC.propose(SPACE, finished, [], PROBLEM)
        if candidate is None:
            break
        finished.append(measured(number, candidate, quality=quality(candidate), latency_s=latency(candidate)))
    return [trial.candidate for trial in finished]


def as_estimated(candidate: Candidate) -> float:
    sizes = dict(candidate.steps[0].settings).get("sizes") if candidate.steps else None
    return 1.0 - (LOSSES[int(str(sizes).split("-")[0])] if sizes else 0.0)


def test_the_model_and_its_finishes_come_first_then_a_structure_and_its_best_finish() -> None:
    found = walked(as_estimated, 5)
    assert [each.steps for each in found[:3]] == [(), (INT8,), (SMALL,)]
    assert found[3] in PROBLEM.estimates
    assert found[4].steps == (*found[3].steps, INT8)


def test_what_has_lost_more_than_is_permitted_is_not_confirmed_first() -> None:
    order = [each for each in walked(as_estimated, 40) if each in PROBLEM.estimates]
    assert order[0] != body(8)
    assert set(order) == set(PROBLEM.estimates)


def test_nothing_is_proposed_twice_and_the_walk_of_shrink_comes_last() -> None:
    found = walked(as_estimated, 99)
    assert len(found) == len({each.key for each in found})
    assert set(SPACE.candidates()) <= set(found)
    assert set(PROBLEM.estimates) <= set(found)


def test_a_structure_that_nearly_passed_learns_once_more() -> None:
    found = walked(lambda each: 0.88 if each.steps[:1] == body(16).steps[:1] else as_estimated(each), 40)
    assert any(each.steps == (*body(16).steps, DISTILL) for each in found)


def test_a_structure_that_could_not_be_made_is_let_be() -> None:
    finished: list[Trial] = []
    for number in range(30):
        candidate = ELASTIC.propose(SPACE, finished, [], PROBLEM)
        if candidate is None:
            break
        is_broken = candidate.steps[:1] == body(32).steps[:1]
        trial = failed(number, candidate) if is_broken else measured(number, candidate, quality=as_estimated(candidate))
        finished.append(trial)
    assert sum(each.candidate.steps[:1] == body(32).steps[:1] for each in finished) == 1


def test_where_nothing_was_explored_the_pipelines_are_walked_as_by_shrink() -> None:
    assert ELASTIC.propose(SPACE, [], [], FakeProblem()) == Candidate("net", Scale(), ())
    first = measured(0, Candidate("net", Scale(), ()), quality=1.0)
    assert ELASTIC.propose(SPACE, [first], [], FakeProblem()).steps == (INT8,)
