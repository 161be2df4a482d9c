"""Generations as people read them: every figure in its column, nothing at all for another search."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from steelyard.core.generation import Generation
from steelyard.core.outcome import Outcome
from steelyard.report import charts, evolved, plain
from steelyard.report.terminal import TerminalReport


@pytest.fixture
def bred(certified):
    """Twelve generations, whose hall of fame has the chosen one, another, and one that is no point any more."""
    hall = ((certified.chosen.key, 0.75), (certified.points[0].key, -0.5), ("0123456789ab", -1.0))
    first = Generation(0, 20, 17, 2, 0, -1200.5, -3.0, 0.25, hall[1:])
    later = [Generation(number, 20, 2, 0, 0, -2.0, 0.5, 0.75, hall) for number in range(1, 11)]
    return replace(certified, generations=(first, *later, Generation(11, 20, 1, 0, 3, -1.0, 0.6, 0.75, hall)))


def texts(table):
    return [[cell.text for cell in row.cells] for row in table.rows]


def test_a_row_a_generation(bred):
    table = evolved.generations_table(bred)
    titles = ["generation", "individuals", "new", "failed", "unfinished", "min fitness", "avg fitness", "max fitness"]
    assert [column.title for column in table.columns] == titles
    assert texts(table)[0] == ["0", "20", "17", "2", "0", "−1,200.50", "−3.00", "0.25"]
    assert texts(table)[-1] == ["11", "20", "1", "0", "3", "−1.00", "0.60", "0.75"]


def test_the_hall_of_fame_names_its_candidates(bred):
    rows = texts(evolved.hall_table(bred))
    assert rows[0][:3] == ["chosen, on front", "cnn (depth 2, kernel 3, width 16), quantize", "0.75"]
    assert rows[2] == ["—", "0123456789ab", "−1.00", "—", "—"]


def test_a_sentence_tells_how_far_it_came(bred):
    assert evolved.sentence(bred) == (
        "12 generations of 20, 38 different candidates; the best fitness went from 0.25 to 0.75 (the reference has 0), "
        "the average from −3.00 to 0.60."
    )
    none = Generation(0, 8, 6, 8, 0, None, None, None)
    assert evolved.sentence(replace(bred, generations=(none,))) == (
        "1 generation of 8, 6 different candidates; none has a fitness."
    )


def test_text_shows_the_last_ten(bred):
    shown, hall = evolved.tables_shown(bred)
    assert (shown.title, len(shown.rows), hall.title) == ("The last 10 generations", 10, "Hall of fame")
    few, _ = evolved.tables_shown(replace(bred, generations=bred.generations[:3]))
    assert (few.title, len(few.rows)) == ("Generations", 3)


def test_the_chart_has_three_lines(bred):
    rows = evolved.chart_rows(bred)
    assert rows[:3] == [
        {"generation": 0, "statistic": "max", "fitness": 0.25},
        {"generation": 0, "statistic": "avg", "fitness": -3.0},
        {"generation": 0, "statistic": "min", "fitness": -1200.5},
    ]
    (figure,) = charts.draw(bred).of("generations")
    assert figure.spec["data"] == {"name": "generations"}


def test_plain_text_and_terminal_tell_them(bred):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(TerminalReport(bred))
    for text in (plain.render(bred), console.export_text()):
        assert "The last 10 generations:" in text
        assert "Hall of fame:" in text
        assert "12 generations of 20, 38 different candidates" in text


def test_another_search_tells_of_none(certified):
    assert (evolved.sentence(certified), evolved.tables_shown(certified), evolved.chart_rows(certified)) == ("", (), [])
    assert "eneration" not in plain.render(certified)
    assert charts.draw(certified).of("generations") == ()


def test_the_outcome_survives_json(bred, certified):
    assert Outcome.from_json(bred.to_json()).generations == bred.generations
    assert "generations" not in certified.to_json()
