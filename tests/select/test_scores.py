import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.select.scores import Scored, columns, efficiency

figures = st.floats(1, 1e6)


@given(figures, figures, figures, figures, st.floats(1.01, 10))
def test_efficiency_falls_with_parameters_and_rises_when_slower(parameters, macs, train_s, speed, factor):
    score = efficiency(parameters, macs, train_s, speed)
    assert efficiency(factor * parameters, macs, train_s, speed) < score
    assert efficiency(parameters, macs, factor * train_s, speed) > score
    assert efficiency(parameters, macs, train_s, speed / factor) > score


@given(st.lists(st.tuples(figures, figures, figures), min_size=1, max_size=10))
def test_one_knee_and_weighted_scores_between_0_and_1(rows):
    scores = columns([Scored(str(i), *row) for i, row in enumerate(rows)])
    assert sum(each["knee"] for each in scores.values()) == 1
    assert all(-1e-9 <= each["weighted"] <= 1 + 1e-9 for each in scores.values())


def test_efficiency_is_the_published_formula():
    assert efficiency(10.0, 600.0, 20.0, 30.0) == (20 + 600 / 30) / 10


def test_unknown_figures_leave_the_efficiency_unknown():
    points = [Scored("a", 0.1, 1.0, 1.0), Scored("b", 0.2, 1.0, 1.0, 10.0, 600.0, 20.0, 30.0)]
    scores = columns(points)
    assert [scores[key]["efficiency"] for key in "ab"] == [None, 4.0]
    assert columns([]) == {}


def test_weights_decide_what_counts():
    points = [Scored("good", 0.1, 2.0, 2.0), Scored("fast", 0.2, 1.0, 2.0)]
    only_loss = columns(points, {"loss": 1.0, "latency_s": 0.0, "size_bytes": 0.0})
    assert (only_loss["good"]["weighted"], only_loss["fast"]["weighted"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: columns([], {"loss": 1.0}),
            "'weights' must hold loss, latency_s, size_bytes, each at least 0 and not all 0, got {'loss': 1.0}.",
        ),
        (
            lambda: efficiency(0.0, 1.0, 1.0, 1.0),
            "an efficiency score needs positive parameters and speed and no negative figure, "
            "got S=0.0, R=1.0, T=1.0, V=1.0.",
        ),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message
