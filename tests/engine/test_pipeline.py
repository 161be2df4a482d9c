import threading
from types import SimpleNamespace

import pytest

from steelyard.core.goal import Budget
from steelyard.engine.busy import BusyClock
from steelyard.engine.lane import lanes
from steelyard.engine.pipeline import is_finished


def plan(wall_s, trials, strategy="tpe"):
    return SimpleNamespace(budget=Budget(wall_s, trials), strategy=SimpleNamespace(name=strategy), earlier=())


def study(why, wall_s, trials, strategy="tpe"):
    ended = {"why": why, "budget": {"wall_s": wall_s, "trials": trials}, "strategy": strategy}
    return SimpleNamespace(get=lambda name, default=None: ended, trials=tuple)


@pytest.mark.parametrize(
    ("asked", "ended", "finished"),
    [
        ((60, None), ("the budget is used up", 60, None), True),
        ((30, None), ("the budget is used up", 60, None), True),
        ((90, None), ("the budget is used up", 60, None), False),
        ((None, None), ("the budget is used up", 60, None), False),
        ((None, 8), ("8 trials are confirmed", None, 8), True),
        ((None, 9), ("8 trials are confirmed", None, 8), False),
        ((600, 99), ("the strategy has nothing left to propose", 60, 8), True),
    ],
)
def test_a_study_is_finished_where_no_more_is_asked_than_was_searched(asked, ended, finished):
    assert is_finished(plan(*asked), study(*ended)) is finished


def test_an_exhausted_strategy_says_nothing_of_another():
    why = "the strategy has nothing left to propose"
    assert not is_finished(plan(90, None, "grid"), study(why, 60, None, "grow"))


def test_a_study_that_never_ended_is_not_finished():
    assert not is_finished(plan(60, None), SimpleNamespace(get=lambda name, default=None: default))


def test_activities_that_overlap_count_once():
    clock = BusyClock()
    started = threading.Barrier(2)

    def work():
        with clock.working():
            started.wait()

    thread = threading.Thread(target=work)
    with clock.working():
        thread.start()
        started.wait()
        thread.join()
    total = clock.seconds
    assert total > 0
    assert clock.seconds == total


def test_the_measuring_core_never_trains_where_there_is_another():
    measuring, training = lanes(4)
    assert training
    assert measuring not in training or len(training) == 1
