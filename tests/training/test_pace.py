import math

import pytest

from steelyard.training.pace import LEAST, Pace


def test_steps_drive_the_rate_where_there_is_no_limit_of_time():
    pace = Pace(math.inf, 100)
    assert pace.factor(0) == pytest.approx(0.1)
    assert pace.factor(9) > 0.95
    assert pace.factor(50) == pytest.approx(0.5)
    assert pace.factor(100) == LEAST
    assert [pace.is_over(step) for step in (99, 100)] == [False, True]


def test_the_rate_never_rises_after_the_warm_up():
    factors = [Pace(math.inf, 200).factor(step) for step in range(10, 201)]
    assert factors == sorted(factors, reverse=True)


def test_time_ends_it_where_that_is_up_first():
    pace = Pace(0.5, 10**6)
    pace.start -= 0.25
    assert pace.progress(0) >= 0.5
    pace.start -= 0.25
    assert pace.is_over(0)
    assert Pace(0.0, 10).is_over(0)


def test_a_hurried_pace_ends_within_its_span_from_where_it_is():
    pace = Pace(math.inf, 1000)
    pace.hurry(200, 20)
    assert pace.is_hurried
    assert pace.progress(200) == pytest.approx(0.2)
    assert pace.progress(210) == pytest.approx(0.6)
    assert [pace.is_over(step) for step in (219, 220)] == [False, True]


def test_what_ended_it_is_told():
    over, hurried, late = Pace(math.inf, 1), Pace(math.inf, 10), Pace(1.0, 10)
    hurried.hurry(2, 1)
    late.start -= 2
    assert [each.why_over() for each in (over, hurried, late)] == ["epochs", "no longer improving", "time limit"]
