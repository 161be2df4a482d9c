"""The choice by another machine's costs, on points whose costs there are turned round."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.core.candidate import Candidate, Scale
from steelyard.core.environment import Environment
from steelyard.core.errors import InputError, StudyError
from steelyard.core.goal import Goal
from steelyard.core.measured import Measured, MeasuredPoint
from steelyard.core.outcome import Drop, Outcome, Point
from steelyard.core.quantity import Quantity
from steelyard.engine.elsewhere import choose_elsewhere

HERE = Environment("Here CPU", 2, 10**9, "Linux", "3.11")
THERE = Environment("There CPU", 4, 10**9, "Linux", "3.11")
STUDY, KIT = "d" * 12, "c" * 12


def proof(value, *, proved):
    return {
        "value": value,
        "high": value + 0.005,
        "p_value": 0.01 if proved else 0.4,
        "rejected": proved,
        "applicable": True,
        "method": "trinomial",
        "exact": True,
        "n": 700,
        "why": "",
        "proved": proved,
    }


def point(width, latency_s, drop, tested=None, **notes):
    metrics = {
        "accuracy": Quantity(0.99 - drop, "1", n=200),
        "latency_p50_s": Quantity(latency_s, "s", latency_s * 0.99, latency_s * 1.01, 1000),
        "latency_p95_s": Quantity(latency_s * 1.2, "s", latency_s * 1.1, latency_s * 1.3, 1000),
        "throughput_per_s": Quantity(1 / latency_s, "1/s"),
        "latency_floor_s": Quantity(1e-6, "s"),
        "size_bytes": Quantity.exact(1000 * width, "B"),
        "peak_memory_bytes": Quantity(1e6, "B"),
        "parameters": Quantity.exact(10 * width),
        "macs": Quantity.exact(10 * width),
        "train_s": Quantity(1.0, "s"),
    }
    told = {"proof": tested} if tested else {}
    return Point(
        Candidate("mlp", Scale.of(width=width)), "x", metrics, "old", notes={"valid_drop": drop, **told, **notes}
    )


REFERENCE = point(64, 8e-5, 0.0)
SMALL = point(8, 1e-5, 0.009, proof(0.008, proved=True), times_faster={"value": 8.0, "low": 7.0, "high": 9.0})
MIDDLE = point(16, 2e-5, 0.005, proof(0.004, proved=True))
UNPROVED = point(32, 4e-5, 0.002, proof(0.003, proved=False))
UNTESTED = point(48, 5e-5, 0.001)
EVERY = (REFERENCE, SMALL, MIDDLE, UNPROVED, UNTESTED)
GOAL = Goal(max_drop=0.01, metric="accuracy", relative=False)
OLD = Outcome(
    study=STUDY,
    task="digits",
    status="certified",
    goal=GOAL,
    chosen=SMALL,
    reference=REFERENCE,
    front=(SMALL, MIDDLE, UNPROVED, UNTESTED, REFERENCE),
    points=EVERY,
    misses=(),
    drop=Drop("accuracy", 0.008, 0.0095, 0.01, False, 0.95, "trinomial", True, 700, 402, 1),
    counts={},
    failures=(),
    splits={},
    spent={},
    wall_s=1.0,
    bundle=Path("/bundle"),
    environment=HERE,
    notices=("the reference itself has the lower latency; it is in the bundle too", "kept"),
)
SUMS = {each.key: f"{index}" * 64 for index, each in enumerate(EVERY)}


def there(latencies, *, memory=None, ratios=None, **fields):
    """Figures from there: p50 in seconds by point, intervals of 1 %."""
    points = {}
    for key, seconds in latencies.items():
        metrics = {
            "latency_p50_s": Quantity(seconds, "s", seconds * 0.99, seconds * 1.01, 1000),
            "latency_p95_s": Quantity(seconds * 1.5, "s", seconds * 1.4, seconds * 1.6, 1000),
            "throughput_per_s": Quantity(1 / seconds, "1/s"),
        }
        if memory is not None:
            metrics["peak_memory_bytes"] = Quantity(memory, "B")
        points[key] = MeasuredPoint(SUMS[key], metrics)
    how = {"batch": 1, "threads": 1, "processes": 8, "inputs": "random", "twin": None}
    values = {"kit": KIT, "study": STUDY, "environment": THERE, "ratios": ratios or {}, "how": how}
    return Measured(**{**values, "points": points, **fields})


TURNED = {REFERENCE.key: 3e-4, SMALL.key: 2e-4, MIDDLE.key: 1e-4, UNPROVED.key: 0.5e-4}


def answer(measured, **goal):
    return choose_elsewhere(OLD, measured, replace(GOAL, **goal), SUMS)


def test_the_cheapest_proved_point_there_is_chosen():
    outcome = answer(there(TURNED))
    assert (outcome.status, outcome.chosen.key, outcome.environment) == ("certified", MIDDLE.key, THERE)
    assert outcome.chosen.metrics["latency_p50_s"].value == 1e-4
    assert (outcome.drop.value, outcome.drop.high) == (0.004, 0.004 + 0.005)
    assert outcome.chosen.reason.startswith("Chosen: the lowest latency of 2 proved")
    small = next(each for each in outcome.points if each.key == SMALL.key)
    assert small.reason == "Proved too, but its latency is 100% higher than the chosen one's."


def test_no_cost_of_here_stays_beside_costs_of_there():
    outcome = answer(there(TURNED))
    for each in outcome.points:
        assert "latency_floor_s" not in each.metrics
        assert "peak_memory_bytes" not in each.metrics
        assert each.metrics["size_bytes"].value > 0
        assert "times_faster" not in each.notes


def test_points_that_were_not_measured_are_no_candidates_and_are_named():
    outcome = answer(there({REFERENCE.key: 3e-4, SMALL.key: 2e-4}))
    assert outcome.chosen.key == SMALL.key
    assert {each.key for each in outcome.points} == {REFERENCE.key, SMALL.key}
    assert f"not measured by the kit, so no candidates: {MIDDLE.candidate}; {UNPROVED.candidate}; " in " ".join(
        outcome.notices
    )


def test_the_reader_is_told_where_costs_are_from_and_stale_notices_go():
    notices = answer(there(TURNED)).notices
    assert notices == (
        "kept",
        f"latency and memory were measured on There CPU by a kit ({KIT}, batch 1, 1 thread, 8 processes, random "
        "inputs), not here; quality and training times are from Here CPU",
        f"not measured by the kit, so no candidates: {UNTESTED.candidate}",
    )


def test_a_paired_ratio_decides_ties_and_the_smaller_file_wins():
    apart = {REFERENCE.key: 3e-4, SMALL.key: 1.01e-4, MIDDLE.key: 1e-4}
    assert answer(there(apart)).chosen.key == SMALL.key
    pair = f"{SMALL.key}/{MIDDLE.key}"
    clear = there({**apart, SMALL.key: 1.03e-4}, ratios={pair: Quantity(1.03, "1", 1.025, 1.035)})
    assert answer(clear).chosen.key == MIDDLE.key
    same = there({**apart, SMALL.key: 1.03e-4}, ratios={pair: Quantity(1.03, "1", 0.99, 1.07)})
    assert answer(same).chosen.key == SMALL.key


def test_the_gain_over_the_reference_is_the_paired_one():
    pair = f"{REFERENCE.key}/{MIDDLE.key}"
    outcome = answer(there(TURNED, ratios={pair: Quantity(2.9, "1", 2.8, 3.0)}))
    assert outcome.chosen.notes["times_faster"]["value"] == 2.9


def test_limits_are_judged_by_the_upper_end_there():
    assert answer(there(TURNED), max_latency_s=1.6e-4).status == "certified"
    outcome = answer(there({**TURNED, MIDDLE.key: 2.5e-4}), max_latency_s=3.3e-4)
    assert (outcome.status, outcome.chosen.key) == ("certified", SMALL.key)


def test_without_a_proved_point_within_the_limits_the_smallest_drop_is_estimated():
    outcome = answer(there(TURNED), max_latency_s=1e-4)
    assert (outcome.status, outcome.chosen.key, outcome.misses) == ("estimated", UNPROVED.key, ())
    assert (
        outcome.chosen.reason
        == "Chosen by the validation rows: the lowest latency within the permitted drop; not proved."
    )


def test_where_nothing_meets_the_limits_the_nearest_is_named():
    outcome = answer(there(TURNED), max_latency_s=1e-5)
    assert (outcome.status, outcome.chosen.key) == ("infeasible", UNPROVED.key)
    assert [(miss.limit, miss.got, miss.is_judged) for miss in outcome.misses] == [("max_latency", 0.5e-4 * 1.6, True)]


def test_a_limit_on_what_was_not_measured_there_is_not_judged_and_not_met_in_silence():
    outcome = answer(there(TURNED, absent={"peak_memory_bytes": "no /proc."}), max_memory_bytes=2e6)
    assert (outcome.status, outcome.chosen.key) == ("estimated", MIDDLE.key)
    assert [(miss.limit, miss.got, miss.is_judged) for miss in outcome.misses] == [("max_memory", None, False)]
    assert outcome.notices[-1] == (
        "the limit max_memory was not judged: peak_memory_bytes was not measured there (no /proc), "
        "and figures from here say nothing of it"
    )
    assert answer(there(TURNED, memory=1e6), max_memory_bytes=2e6).status == "certified"


def test_a_size_is_of_the_file_and_is_judged():
    outcome = answer(there(TURNED), max_size_bytes=9_000)
    assert (outcome.status, outcome.chosen.key) == ("certified", SMALL.key)


def test_a_reference_that_is_too_large_for_that_machine_stays_the_reference():
    outcome = answer(there({SMALL.key: 2e-4, MIDDLE.key: 1e-4}, failures={REFERENCE.key: "out of memory."}))
    assert (outcome.status, outcome.chosen.key, outcome.reference.key) == ("certified", MIDDLE.key, REFERENCE.key)
    assert "latency_p50_s" not in outcome.reference.metrics
    assert f"{REFERENCE.key} could not be measured there: out of memory" in outcome.notices


def test_a_quality_that_was_not_proved_is_not_certified():
    unsure = replace(MIDDLE, notes={**MIDDLE.notes, "proof": {**MIDDLE.notes["proof"], "proved": False}})
    old = replace(OLD, points=(REFERENCE, SMALL, unsure), front=(SMALL, unsure))
    outcome = choose_elsewhere(old, there({REFERENCE.key: 3e-4, SMALL.key: 2e-4, MIDDLE.key: 1e-4}), GOAL, SUMS)
    assert outcome.chosen.key == SMALL.key


@pytest.mark.parametrize(
    ("measured", "goal", "kind", "message"),
    [
        (
            there(TURNED, study="e" * 12),
            {},
            StudyError,
            f"'measured' is of study {'e' * 12}, and this is study {STUDY}; measure with a kit of this one.",
        ),
        (
            there(TURNED),
            {"minimize": "memory"},
            InputError,
            "'minimize' memory needs peak_memory_bytes, which 'measured' lacks (no figure); minimise another cost.",
        ),
        (
            there({REFERENCE.key: 1e-4}),
            {},
            InputError,
            "'measured' has figures of the reference alone, so nothing can be chosen.",
        ),
    ],
)
def test_what_can_not_answer_is_refused(measured, goal, kind, message):
    with pytest.raises(kind) as caught:
        answer(measured, **goal)
    assert caught.value.message == message


def test_figures_of_other_files_are_refused():
    other = {**SUMS, SMALL.key: "f" * 64}
    with pytest.raises(InputError, match=r"the kit was changed, so make it anew\.$"):
        choose_elsewhere(OLD, there(TURNED), GOAL, other)
    gone = {key: digest for key, digest in SUMS.items() if key != SMALL.key}
    with pytest.raises(InputError, match=r"^'measured' has figures of a point .* that is not here; measure with"):
        choose_elsewhere(OLD, there(TURNED), GOAL, gone)


def test_every_report_of_the_answer_can_be_drawn():
    from steelyard.report import card, html, plain

    missing = answer(there({SMALL.key: 2e-4, MIDDLE.key: 1e-4}), max_energy_j=1e-3)
    for outcome in (answer(there(TURNED)), missing):
        for text in (card.render(outcome), plain.render(outcome), html.render(outcome)):
            assert "There CPU" in text
    assert "was not judged" in plain.render(missing)
    assert "estimated, because a limit was not judged" in " ".join(plain.render(missing).split())
    assert math.isfinite(missing.wall_s)
