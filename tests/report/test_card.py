"""The model card says how to use the model, what is proved, and what is not."""

import pytest

from steelyard.core.outcome import Outcome
from steelyard.report import card


def test_the_card_holds_the_claim_and_its_limits(certified: Outcome) -> None:
    text = card.render(certified)
    assert "Certified: at 95 % confidence at most 0.02 worse in accuracy" in text
    assert "other architectures, of other seeds, or of data that have shifted" in text
    assert 'steelyard.load("digits cnn")' in text
    assert "Mitchell et al." in text
    for title in ("Intended use", "Data", "Evidence", "Measurements", "Caveats"):
        assert f"## {title}\n" in text


def test_hostile_text_is_neither_html_nor_markdown(hostile: Outcome) -> None:
    text = card.render(hostile)
    assert "<img" not in text
    assert "<script" not in text
    assert "\\[a\\](b)" in text
    assert "\x1b" not in text


def test_a_card_of_few_figures_is_whole(infeasible: Outcome) -> None:
    text = card.render(infeasible)
    assert "**Status: infeasible**" in text
    assert "- Misses max-size: asked 1.00 kB, got 35.9 kB." in text


def test_table_rows_have_as_many_cells_as_their_head(certified: Outcome) -> None:
    lines = card.render(certified).splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith("| ---")]
    assert len(starts) == 2
    for start in starts:
        assert lines[start - 1].count("|") == lines[start].count("|") == lines[start + 1].count("|")


@pytest.mark.parametrize(("text", "fence"), [("a", "```"), ("``` a", "````")])
def test_a_fence_is_longer_than_what_it_holds(text: str, fence: str) -> None:
    assert card.code_block(text, "") == f"{fence}\n{text}\n{fence}"
