"""What a chosen pipeline did, told step by step, row by row and layer by layer."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.environment import Environment
from steelyard.core.goal import Goal
from steelyard.core.outcome import Drop, Outcome, Point
from steelyard.core.quantity import Quantity
from steelyard.core.task import ClassOutput, TensorOutput
from steelyard.core.wire import canonical
from steelyard.engine.explaining import MOST_ROWS, explained_anew, explanation, flips_of, sensitivity, waterfall

PRUNE = StepSetting("prune", (("keep", 0.6),))
DISTILL = StepSetting("distill")
QUANTIZE = StepSetting("quantize")
CATS = ClassOutput(("cat", "dog", "owl"))


def point(*steps: StepSetting, quality: float = 0.9, latency: float = 1e-3, notes: object = ()) -> Point:
    metrics = {"accuracy": Quantity(quality, "1", n=100), "latency_p50_s": Quantity(latency, "s")}
    return Point(Candidate("net", Scale(), steps), "", metrics, "", notes={"steps": notes})


def scores(*classes: int) -> np.ndarray:
    """Outputs that decide for these classes."""
    return np.eye(3, dtype=np.float32)[list(classes)]


def test_the_waterfall_has_a_row_for_each_beginning_that_was_measured() -> None:
    given_, pruned = point(), point(PRUNE, DISTILL, quality=0.88, latency=0.6e-3)
    chosen = point(PRUNE, DISTILL, QUANTIZE, quality=0.89, latency=0.2e-3)
    rows = waterfall((given_, pruned, chosen, point(QUANTIZE, latency=5.0)), chosen, metric="accuracy")
    assert [row["key"] for row in rows] == [given_.key, pruned.key, chosen.key]
    assert [[step["name"] for step in row["steps"]] for row in rows] == [[], ["prune", "distill"], ["quantize"]]
    assert rows[0]["change"] == {}
    assert rows[1]["change"] == {"accuracy": 0.88 - 0.9, "latency_p50_s": 0.6e-3 - 1e-3}
    assert rows[2]["metrics"]["latency_p50_s"]["value"] == 0.2e-3


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=5))
def test_the_changes_add_up_to_the_whole(latencies: list[float]) -> None:
    points = [point(*[PRUNE] * count, latency=latency) for count, latency in enumerate(latencies)]
    rows = waterfall(points, points[-1], metric="accuracy")
    whole = sum(row["change"].get("latency_p50_s", 0.0) for row in rows)
    assert np.isclose(whole, latencies[-1] - latencies[0], rtol=1e-9, atol=1e-12)


def test_a_candidate_with_options_has_a_row_of_its_own() -> None:
    chosen = point(QUANTIZE)
    quick = Point(Candidate("net", Scale(), (QUANTIZE,), options=(("threads", 2),)), "", chosen.metrics, "")
    rows = waterfall((point(), chosen, quick), quick, metric="accuracy")
    assert [row["key"] for row in rows] == [point().key, chosen.key, quick.key]
    assert rows[2]["steps"] == []


def test_flips_are_counted_by_class_and_by_what_they_did() -> None:
    found = flips_of(scores(0, 0, 0, 1, 2), scores(1, 1, 0, 0, 2), np.array([1, 0, 0, 2, 2]), CATS, has_labels=True)
    assert found == {
        "n": 5,
        "changed": 3,
        "helped": 1,
        "harmed": 1,
        "by_class": [
            {"from": "cat", "to": "dog", "n": 2, "helped": 1, "harmed": 1},
            {"from": "dog", "to": "cat", "n": 1, "helped": 0, "harmed": 0},
        ],
        "rows": [0, 1, 3],
    }


def test_without_labels_nothing_is_helped_or_harmed() -> None:
    found = flips_of(scores(0, 1), scores(1, 1), scores(0, 1), CATS, has_labels=False)
    assert found is not None
    assert (found["changed"], found["helped"], found["harmed"]) == (1, None, None)
    assert found["by_class"] == [{"from": "cat", "to": "dog", "n": 1, "helped": None, "harmed": None}]


def test_outputs_that_decide_nothing_flip_nothing() -> None:
    assert flips_of(np.zeros((3, 1)), np.ones((3, 1)), np.zeros(3), TensorOutput(1), has_labels=False) is None


def test_a_hundred_rows_are_listed_and_all_are_counted() -> None:
    found = flips_of(scores(*[0] * 150), scores(*[1] * 150), np.zeros(150), CATS, has_labels=True)
    assert found is not None
    assert found["changed"] == found["harmed"] == 150
    assert found["rows"] == list(range(MOST_ROWS))


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=40))
def test_helped_less_harmed_is_the_change_of_the_right_ones(rows: list[tuple[int, int, int]]) -> None:
    before, after, targets = (np.array(each) for each in zip(*rows, strict=True))
    found = flips_of(scores(*before), scores(*after), targets, CATS, has_labels=True)
    assert found is not None
    assert found["helped"] - found["harmed"] == (after == targets).sum() - (before == targets).sum()
    assert sum(each["n"] for each in found["by_class"]) == found["changed"] == (before != after).sum()


def test_layers_are_told_from_whatever_a_step_reports_of_them() -> None:
    pruned = {"name": "prune", "groups": {"conv1": [32, 20]}, "macs_before": 5}
    quantized = {"name": "quantize", "layers": [{"name": "conv1", "error": 0.01}, {"name": "fc", "error": 0.2}]}
    chosen = point(PRUNE, QUANTIZE, notes=[pruned, quantized])
    rows = sensitivity((chosen,), chosen)
    assert [(row["step"], row["layer"], row["figures"]) for row in rows] == [
        ("prune", "conv1", {"before": 32, "after": 20}),
        ("quantize", "conv1", {"error": 0.01}),
        ("quantize", "fc", {"error": 0.2}),
    ]
    assert {row["key"] for row in rows} == {chosen.key}


def test_a_step_that_the_chosen_lacks_is_told_from_the_simplest_point_that_has_it() -> None:
    report = {"name": "quantize", "left_float": [{"name": "fc", "operator": "Gemm", "why": "it is excluded"}]}
    simple, deep = point(QUANTIZE, notes=[report]), point(PRUNE, QUANTIZE, notes=[report])
    rows = sensitivity((deep, simple), point())
    assert [(row["key"], row["layer"]) for row in rows] == [(simple.key, "fc")]


def answer_of(chosen: Point, points: tuple[Point, ...], told: object) -> Outcome:
    """An answer with no more than what explaining reads."""
    drop = Drop("accuracy", 0.0, 0.0, 0.01, False, 0.95, "trinomial", True, 5, None, 1)
    where = Environment("cpu", 1, 1, "system", "3.11", {}, ())
    return Outcome(
        "s",
        "t",
        "certified",
        Goal(),
        chosen,
        points[0],
        points,
        points,
        (),
        drop,
        {},
        (),
        {},
        {},
        0.0,
        Path(),
        where,
        explanation=told,  # type: ignore[arg-type]
    )


def test_another_point_is_explained_without_flips_that_nobody_counted() -> None:
    points = (point(), point(QUANTIZE), point(PRUNE))
    flips = flips_of(scores(0), scores(1), np.array([0]), CATS, has_labels=True)
    told = answer_of(points[1], points, explanation(points, points[1], metric="accuracy", flips=flips))
    other = explained_anew(told, points, points[2])
    assert "flips" not in other
    assert [row["key"] for row in other["waterfall"]] == [points[0].key, points[2].key]
    assert explained_anew(told, points, points[1]) == told.explanation
    assert explained_anew(answer_of(points[1], points, {}), points, points[2]) == {}


def test_an_explanation_is_plain_json() -> None:
    chosen = point(QUANTIZE)
    flips = flips_of(scores(0), scores(1), np.array([0]), CATS, has_labels=True)
    told = explanation((point(), chosen), chosen, metric="accuracy", flips=flips)
    assert set(told) == {"waterfall", "flips", "sensitivity"}
    assert canonical(told)
    assert "flips" not in explanation((point(), chosen), chosen, metric="accuracy", flips=None)
