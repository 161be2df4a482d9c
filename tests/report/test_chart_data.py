"""The rows behind the charts."""

from dataclasses import replace

from steelyard.core.outcome import Outcome
from steelyard.report import chart_data, charts


def luminance(colour: str) -> float:
    """Relative luminance of a colour such as `#3f83c8` (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.1)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_far_baseline_is_only_in_the_table(certified: Outcome) -> None:
    rows = chart_data.point_rows(certified)
    assert len(rows) == len(certified.points) - 1
    assert not any(row["is_baseline"] for row in rows)


def test_the_staircase_only_rises_and_reaches_the_dearest_point(certified: Outcome) -> None:
    rows = chart_data.point_rows(certified)
    steps = chart_data.staircase(certified, rows)
    assert [step["quality"] for step in steps] == sorted(step["quality"] for step in steps)
    assert steps[-1]["cost"] == max(row["cost"] for row in rows)


def test_the_staircase_of_an_error_only_falls(certified: Outcome) -> None:
    error = replace(certified, drop=replace(certified.drop, value=-0.0028))
    steps = chart_data.staircase(error, chart_data.point_rows(error))
    assert [step["quality"] for step in steps] == sorted((step["quality"] for step in steps), reverse=True)


def test_the_permitted_quality_is_epsilon_below_the_reference(certified: Outcome) -> None:
    reference = certified.reference.metrics["accuracy"].value
    assert chart_data.permitted_quality(certified) == reference - 0.02


def test_curves_may_lack_any_key(certified: Outcome) -> None:
    bare = {"valid_loss": [3.0, None, 1.0]}
    chosen = replace(certified.chosen, notes={"curve": bare})
    only = replace(certified, chosen=chosen, reference=chosen, points=(chosen,), front=(chosen,))
    assert [(row["epoch"], row["value"]) for row in chart_data.curve_rows(only)] == [(1, 3.0), (3, 1.0)]


def test_long_curves_are_thinned_and_keep_their_end(certified: Outcome) -> None:
    chosen = replace(certified.chosen, notes={"curve": {"train_loss": [float(n) for n in range(1000)]}})
    only = replace(certified, chosen=chosen, reference=chosen, points=(chosen,), front=(chosen,))
    rows = chart_data.curve_rows(only)
    assert len(rows) <= chart_data.MOST_EPOCHS + 1
    assert rows[-1]["epoch"] == 1000


def test_a_compressed_point_shares_the_curve_of_its_source(certified: Outcome) -> None:
    names = {row["name"] for row in chart_data.curve_rows(certified)}
    assert len(names) == len({point.candidate.uncompressed for point in certified.points}) - 1


def test_colours_show_on_both_pages() -> None:
    for colour in charts.PALETTE:
        assert contrast(colour, "#ffffff") >= 3
        assert contrast(colour, "#191d23") >= 3


def test_charts_without_data_are_left_out(infeasible: Outcome) -> None:
    assert charts.draw(infeasible).figures == ()


def test_a_chart_for_each_knob_that_varies(certified: Outcome) -> None:
    assert [figure.title for figure in charts.draw(certified).of("scale")] == ["By depth", "By width"]
