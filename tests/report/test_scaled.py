"""How knobs should grow, told in words, as a table and as charts."""

import json
from dataclasses import replace

import pytest

from steelyard.core.outcome import Outcome, Point
from steelyard.core.quantity import Quantity
from steelyard.core.scaling import COMPOUND, Growth, Line, Scaling
from steelyard.report import charts, html, plain, scaled


def quantity(value: float, low: float, high: float) -> Quantity:
    return Quantity(value, "1", low, high, 10)


def growth(cost: str, depth: Quantity, width: Quantity) -> Growth:
    alone = {"depth": quantity(0.004, 0.001, 0.006), "width": quantity(-0.0012, -0.002, 0.007)}
    exponents = {"depth": 1.0, "width": 2.0} if cost == "published" else {"depth": 0.8, "width": 1.25}
    factors = {"depth": depth, "width": width}
    return Growth(cost, {"depth": 2.0, "width": 16.0}, exponents, factors, quantity(0.01, 0.008, 0.013), alone)


def scaling_of(points: tuple[Point, ...], family: str = "cnn") -> Scaling:
    """Ten scales of two knobs whose lines hold measured points."""
    keys = {str(point.candidate): point.key for point in points}
    sure, unsure = (quantity(1.2, 1.1, 1.3), quantity(1.29, 1.25, 1.34)), (quantity(1.4, 1.0, 2.0),) * 2
    curve = ((1e4, 0.9), (2e4, 0.93), (4e4, 0.95))
    names = ("depth", "width")
    lines = [
        Line(name, cost, curve, tuple(keys[f"cnn (depth {d}, kernel 3, width {w})"] for d, w in on))
        for cost in ("macs", "latency_p50_s")
        for name, on in ((COMPOUND, ((1, 8), (2, 16))), (names[0], ((1, 16), (2, 16))), (names[1], ((2, 8), (2, 16))))
    ]
    base = {"depth": 2, "width": 16, "kernel": 3}
    growths = (growth("published", *sure), growth("macs", *sure), growth("latency_p50_s", *unsure))
    return Scaling(family, 10, base, growths, tuple(lines), 0.934)


@pytest.fixture
def grown(certified: Outcome) -> Outcome:
    return replace(certified, scaling=(scaling_of(certified.points),))


def test_a_sentence_tells_the_factors_the_rule_and_what_is_behind_them(grown: Outcome) -> None:
    told = (
        "cnn grows best with depth × 1.20 [1.10, 1.30], width × 1.29 [1.25, 1.34] a doubling of products "
        "(α β² = 2; a fit to 10 scales, from depth 2, width 16)."
    )
    assert scaled.scaling_sentences(grown) == (told,)
    assert told in " ".join(plain.render(grown).split())


def test_points_that_leave_it_open_are_said_to(grown: Outcome) -> None:
    (only,) = grown.scaling
    unsure = growth("published", quantity(1.4, 1.0, 2.0), quantity(1.2, 1.0, 1.41))
    open_ = replace(grown, scaling=(replace(only, growths=(unsure,)),))
    assert scaled.scaling_sentences(open_)[1] == "For cnn these points leave open which knob should grow."


def test_the_table_has_a_row_a_cost_and_base(grown: Outcome) -> None:
    table = scaled.scaling_table(grown)
    assert [column.title for column in table.columns] == [
        *("family", "what doubles", "from", "α (depth)", "β (width)"),
        *("gain together, points", "depth alone, points", "width alone, points"),
    ]
    assert [row.cells[1].text for row in table.rows] == ["α β² = 2", "MACs", "latency p50"]
    assert [cell.text for cell in table.rows[0].cells[2:]] == [
        *("depth 2, width 16", "1.20 [1.10, 1.30]", "1.29 [1.25, 1.34]"),
        *("+1.00 [+0.80, +1.30]", "+0.40 [+0.10, +0.60]", "−0.12 [−0.20, +0.70]"),
    ]


def test_measured_points_are_drawn_once_on_the_line_that_comes_first(grown: Outcome) -> None:
    rows = [row for row in scaled.measured_rows(grown) if row["panel"] == "0-macs"]
    assert [(row["line"], row["scale"]) for row in rows] == [
        ("together", "depth 1, kernel 3, width 8"),
        ("together", "depth 2, kernel 3, width 16"),
        ("depth alone", "depth 1, kernel 3, width 16"),
        ("width alone", "depth 2, kernel 3, width 8"),
    ]


def test_a_chart_a_cost_with_its_caption(grown: Outcome) -> None:
    drawn = charts.draw(grown)
    assert [figure.title for figure in drawn.of("growth")] == ["cnn by MACs", "cnn by latency p50"]
    assert drawn.of("growth")[1].caption == (
        "Lines are the fit (latency p50: α^0.80 β^1.25 = 2; depth × 1.40 [1.00, 2.00], width × 1.40 [1.00, 2.00] "
        "together), through depth 2, kernel 3, width 16, as far as settings were measured; signs are measured scales "
        "on the lines, with 95 % intervals. 10 scales; the fit explains 93 % of the scatter."
    )
    assert len(drawn.data["scaling_curves"]) == 18


def test_without_a_fit_there_is_no_section(certified: Outcome) -> None:
    assert scaled.scaling_sentences(certified) == ()
    assert charts.draw(certified).of("growth") == ()
    assert "scaling" not in certified.to_json()


def test_an_outcome_with_a_fit_reads_back(grown: Outcome) -> None:
    assert Outcome.from_json(json.loads(json.dumps(grown.to_json()))).scaling == grown.scaling


@pytest.mark.slow
def test_the_page_has_the_section_and_no_markup_of_a_users_family(certified: Outcome, hostile: Outcome) -> None:
    page = html.render(replace(certified, scaling=(scaling_of(certified.points, hostile.task),)))
    assert 'id="growth"' in page
    assert "How depth, width and resolution should grow" in page
    assert "<img src=x" not in page
    assert "<script>alert(2)" not in page
