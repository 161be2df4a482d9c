"""Plain text: golden at 80 columns, no colour, no boxes."""

import pytest
from rich.cells import cell_len

from steelyard.core.outcome import Outcome
from steelyard.report import plain

INFEASIBLE = """\
Nothing found meets the goal; the nearest is mlp (width 10).
infeasible: the drop in accuracy was not judged on test rows; permitted 0.02.
misses max-size: asked 1.00 kB, got 35.9 kB.
misses max-latency: asked 1.00 µs, got unknown.
No number of test rows is expected to be enough: the drop on validation is not
below the permitted one.
2 certificates were issued on these test rows; all hold together with a
confidence of at least 90 %.

                      accuracy      drop
        candidate      (valid)  (points)
chosen  mlp width 10    91.0 %         0

26 explored, 14 trained, 24 measured, 2 failed, in 59.4 s.

Every figure, with its 95 % interval:
mlp (width 10): accuracy (valid) 91.0 %, drop (points) 0.

report: /data/steelyard-out/digits cnn/report.html
next: steelyard predict '/data/steelyard-out/digits cnn' --data FILE
"""


def test_plain_text_of_an_infeasible_outcome(infeasible: Outcome) -> None:
    assert plain.render(infeasible, 80) == INFEASIBLE


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("kind", ["certified", "hostile", "estimated", "infeasible"])
def test_only_paths_may_be_wider_than_asked(kind: str, width: int, request: pytest.FixtureRequest) -> None:
    lines = plain.render(request.getfixturevalue(kind), width).splitlines()
    assert all(cell_len(line) <= width for line in lines if not line.startswith(("report: ", "next: ")))
    assert not any("\u2500" <= character <= "\u257f" or character == "\x1b" for line in lines for character in line)


def test_every_point_is_there(certified: Outcome) -> None:
    assert plain.render(certified, 100).count("cnn depth") == 20


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a long name", ["a", "long", "name"]),
        ("abcdefgh", ["abcd", "efgh"]),
        ("", [""]),
        ("漢字漢字", ["漢字", "漢字"]),
    ],
)
def test_text_is_chopped_at_blanks_then_anywhere(text: str, pieces: list[str]) -> None:
    assert plain.chopped(text, 4) == pieces
