"""The tables hold every point once, in order, with its raw value."""

from dataclasses import replace

from steelyard.core.outcome import Outcome
from steelyard.report import tables
from steelyard.report.answer import all_points
from steelyard.report.layout import fitted


def test_points_are_sorted_by_the_minimised_cost_and_stand_once(certified: Outcome) -> None:
    table = tables.points_table(certified)
    place = [column.key for column in table.columns].index("latency_p50_s")
    known = [row.cells[place].raw for row in table.rows if row.cells[place].raw is not None]
    assert known == sorted(known)
    assert len({row.key for row in table.rows}) == len(table.rows) == len(certified.points)


def test_every_row_has_a_cell_for_every_column(certified: Outcome, infeasible: Outcome) -> None:
    for outcome in (certified, infeasible):
        for table in (
            tables.points_table(outcome),
            tables.reasons_table(outcome),
            tables.ratios_table(outcome),
            tables.spent_table(outcome),
            tables.failures_table(outcome),
            tables.facts_table(outcome),
            tables.environment_table(outcome),
        ):
            assert all(len(row.cells) == len(table.columns) for row in table.rows)


def test_columns_that_nobody_fills_are_left_out(infeasible: Outcome) -> None:
    assert [column.key for column in tables.points_table(infeasible).columns] == ["mark", "name", "quality", "drop"]


def test_a_missing_figure_is_a_dash(certified: Outcome) -> None:
    table = tables.points_table(certified)
    baseline = next(row for row in table.rows if "baseline" in row.marks)
    assert "—" in [cell.text for cell in baseline.cells]


def test_a_worse_point_has_a_positive_drop(certified: Outcome) -> None:
    assert tables.drop_cell(certified, certified.chosen).text == "+2.74"
    assert tables.drop_cell(certified, certified.reference).text == "0"
    assert tables.drop_title(certified) == "drop (points)"
    assert tables.drop_title(replace(certified, drop=replace(certified.drop, relative=True))) == "drop (% of reference)"


def test_short_names_leave_out_knobs_that_never_vary(certified: Outcome) -> None:
    cell = tables.name_cell(certified.chosen, tables.varying_knobs(certified))
    assert cell.text == "cnn (depth 2, kernel 3, width 16), quantize"
    assert cell.brief == "cnn depth 2, width 16, quantize"


def test_a_name_says_the_options_that_differ_from_the_defaults(certified: Outcome) -> None:
    options = (("optimisation", "none"), ("threads", 2))
    point = replace(certified.chosen, candidate=replace(certified.chosen.candidate, options=options))
    cell = tables.name_cell(point, tables.varying_knobs(certified))
    assert cell.text == "cnn (depth 2, kernel 3, width 16), quantize, optimisation none, threads 2"
    assert cell.brief == "cnn depth 2, width 16, quantize, optimisation none, threads 2"


def test_time_is_longest_first_and_shares_sum_to_all(certified: Outcome) -> None:
    table = tables.spent_table(certified)
    assert [row.cells[0].text for row in table.rows] == [
        "training",
        "measuring",
        "certifying",
        "exporting and compressing",
        "everything else",
    ]
    assert sum(float(row.cells[2].text.removesuffix(" %")) for row in table.rows) == 100


def test_reasons_start_with_the_choice_and_the_reference(certified: Outcome) -> None:
    keys = [row.key for row in tables.reasons_table(certified).rows]
    assert keys[:2] == [certified.chosen.key, certified.reference.key]
    assert len(keys) == len(all_points(certified))


def test_less_important_columns_leave_before_a_name_is_wrapped(certified: Outcome) -> None:
    table = tables.points_table(certified)
    kept = {width: [column.key for column in fitted(table, width)[0].columns] for width in (40, 80, 200)}
    assert kept[40] == ["mark", "name", "quality", "latency_p50_s"]
    assert kept[80] == ["mark", "name", "quality", "drop", "latency_p50_s", "size_bytes"]
    assert kept[200] == [column.key for column in table.columns]
