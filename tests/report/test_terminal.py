"""Nothing overflows a terminal, whatever its width and whatever the names."""

import io
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from steelyard.core.outcome import Outcome
from steelyard.report.compare import compare
from steelyard.report.terminal import MOST_ROWS, TerminalComparison, TerminalReport

WIDTHS = (40, 80, 120, 200)


def printed(renderable: RenderableType, width: int) -> str:
    """What a terminal of that width would show, without colour."""
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, legacy_windows=False).print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", ["certified", "hostile", "estimated", "infeasible"])
def test_nothing_overflows(kind: str, width: int, request: pytest.FixtureRequest) -> None:
    text = printed(TerminalReport(request.getfixturevalue(kind)), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_does_not_overflow(width: int, certified: Outcome, infeasible: Outcome) -> None:
    text = printed(TerminalComparison(compare(certified, infeasible)), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width


def test_figures_are_never_cut_at_80_columns(certified: Outcome) -> None:
    lines = [line.rstrip() for line in printed(TerminalReport(certified), 80).splitlines()]
    assert "★  cnn depth 2, width 16, quantize    94.0 %     +2.74  46.2 µs  40.3 kB" in lines
    assert "R  cnn depth 2, width 64              96.7 %         0   373 µs   616 kB" in lines


def test_the_path_and_the_next_command_end_it(certified: Outcome) -> None:
    assert [line.rstrip() for line in printed(TerminalReport(certified), 120).splitlines()][-2:] == [
        "report: /data/steelyard-out/digits cnn/report.html",
        "next: steelyard predict '/data/steelyard-out/digits cnn' --data FILE",
    ]


def test_markup_in_names_is_text(hostile: Outcome) -> None:
    assert "[/bold]" in printed(TerminalReport(_noticed(hostile, "[bold]x[/bold]")), 120)


def test_hundreds_of_points_are_shortened_and_the_choice_stays(five_hundred: Outcome) -> None:
    text = printed(TerminalReport(five_hundred), 120)
    assert text.count("\n") < MOST_ROWS + 20
    assert "★" in text
    assert "475 more points in the report." in text


def _noticed(outcome: Outcome, notice: str) -> Outcome:
    return replace(outcome, notices=(notice,))
