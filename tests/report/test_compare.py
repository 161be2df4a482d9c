"""Figures of different environments are shown, marked, and never set in ratio."""

from dataclasses import replace

from steelyard.core.outcome import Outcome
from steelyard.report.compare import compare
from steelyard.report.plain import render_comparison


def change(outcome_a: Outcome, outcome_b: Outcome, figure: str) -> str:
    """The text of the change of one figure."""
    table = compare(outcome_a, outcome_b).tables[0]
    return next(row.cells[3].text for row in table.rows if row.cells[0].raw == figure)


def test_one_environment_is_compared_without_a_notice(certified: Outcome) -> None:
    other = replace(certified, chosen=certified.reference)
    comparison = compare(certified, other)
    assert comparison.notices == ()
    assert comparison.is_one_environment
    assert change(certified, other, "latency_p50_s") == "× 8.1"
    assert change(other, certified, "size_bytes") == "× 0.065"
    assert change(certified, other, "accuracy") == "no clear difference"


def test_another_environment_is_named_and_its_timings_are_not_compared(certified: Outcome) -> None:
    where = replace(certified.environment, cores=4, versions={**certified.environment.versions, "torch": "2.12.0"})
    other = replace(certified, chosen=certified.reference, environment=where)
    comparison = compare(certified, other, ("one", "two"))
    assert comparison.notices == (
        "one and two were measured in different environments (cores: 2, 4; torch: 2.13.0, 2.12.0): figures marked † "
        "can't be compared; measure both on one machine with the same versions.",
    )
    assert change(certified, other, "latency_p50_s") == "not comparable"
    assert change(certified, other, "size_bytes") == "× 15.3"
    assert "46.2 µs †" in render_comparison(comparison)


def test_another_task_is_named_and_its_quality_is_not_compared(certified: Outcome) -> None:
    other = replace(certified, task="wine", chosen=certified.reference)
    assert "answer different questions" in compare(certified, other).notices[0]
    assert change(certified, other, "accuracy_test") == "not comparable"
    assert change(certified, other, "latency_p50_s") == "× 8.1"


def test_a_figure_that_one_side_lacks_is_a_dash(certified: Outcome, infeasible: Outcome) -> None:
    assert change(certified, infeasible, "size_bytes") == "—"


def test_the_json_holds_raw_values(certified: Outcome) -> None:
    figures = {each["figure"]: each for each in compare(certified, certified).to_json()["figures"]}
    assert figures["size_bytes"]["a"] == 40_300
    assert figures["status"] == {"figure": "status", "a": "certified", "b": "certified"}
