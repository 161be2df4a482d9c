"""What compress tells of its steps, in tables and sentences."""

import itertools
from dataclasses import replace

import pytest

from steelyard.core.outcome import Outcome
from steelyard.report import answer, card, chart_data, charts, explained, plain


def texts(table: explained.Table) -> list[list[str]]:
    return [[cell.brief for cell in row.cells] for row in table.rows]


def test_the_waterfall_tells_what_each_step_changed(compressed: Outcome) -> None:
    table = explained.waterfall_table(compressed).select(
        ["name", "accuracy", "accuracy_change", "latency_p50_s", "latency_p50_s_change", "size_bytes_change"]
    )
    assert texts(table) == [
        ["as given", "98.0 %", "", "120 µs", "", ""],
        ["1. prune (keep 0.6), distill", "98.3 %", "+0.30", "80.0 µs", "−33 %", "−33 %"],
        ["2. prune (keep 0.6), distill", "97.6 %", "−0.70", "52.0 µs", "−35 %", "−38 %"],
        ["3. quantize (mode dynamic)", "97.4 %", "−0.20", "56.0 µs", "+8 %", "−68 %"],
    ]


def test_bars_of_the_waterfall_join_and_end_at_the_chosen_point(compressed: Outcome) -> None:
    rows = [row for row in chart_data.waterfall_rows(compressed) if row["panel"] == "latency_p50_s"]
    assert [row["kind"] for row in rows] == ["whole", "saved", "saved", "cost", "whole"]
    assert all(after["start"] == before["end"] for before, after in itertools.pairwise(rows[:-1]))
    assert (rows[0]["start"], rows[-1]["start"]) == (0.0, 0.0)
    assert rows[-1]["end"] == rows[-2]["end"] == compressed.chosen.metrics["latency_p50_s"].value
    assert len({row["label"] for row in rows}) == len(rows)


def test_the_waterfall_is_drawn_for_latency_and_size(compressed: Outcome) -> None:
    assert [figure.key for figure in charts.draw(compressed).of("steps")] == [
        "chart-waterfall-latency_p50_s",
        "chart-waterfall-size_bytes",
    ]


def test_a_search_that_trained_its_candidates_tells_nothing_of_steps(certified: Outcome) -> None:
    assert explained.sentences(certified) == ()
    assert not explained.waterfall_table(certified).rows
    assert charts.draw(certified).of("steps") == ()
    assert "## Compression" not in card.render(certified)


def test_flips_are_one_sentence(compressed: Outcome) -> None:
    told = explained.flips_sentence(compressed)
    assert told.startswith(
        "12 of 797 test rows are decided otherwise than by the model given (3 now right, 8 now wrong), 9 from 3 to 8"
    )
    assert "\x1b" not in told
    without = {**compressed.explanation["flips"], "helped": None, "harmed": None}
    label_free = replace(compressed, explanation={**compressed.explanation, "flips": without})
    assert "now right" not in explained.flips_sentence(label_free)
    assert [column.key for column in explained.flips_table(label_free).columns] == ["name", "to", "n"]


def test_no_flip_at_all_is_said_too(compressed: Outcome) -> None:
    none = {"n": 797, "changed": 0, "helped": 0, "harmed": 0, "by_class": [], "rows": []}
    quiet = replace(compressed, explanation={**compressed.explanation, "flips": none})
    assert explained.flips_sentence(quiet) == "every one of 797 test rows is decided as by the model given."


def test_flipped_rows_say_how_many_more_there_are(compressed: Outcome) -> None:
    assert explained.flipped_rows(compressed) == "4, 17, 90 and 9 more"


def test_the_gate_names_what_it_dropped(compressed: Outcome) -> None:
    assert [row[4] for row in texts(explained.gate_table(compressed))] == ["passed", "dropped"]
    assert explained.sentences(compressed)[0] == (
        "dropped by the gate: distill made it neither smaller nor faster than net."
    )


def test_many_dropped_are_shortened_on_a_terminal(compressed: Outcome) -> None:
    many = replace(compressed, gate=compressed.gate[1:] * 9)
    told = explained.sentences(many)
    assert len(told) == explained.MOST_DROPPED + 2
    assert told[explained.MOST_DROPPED] == "dropped by the gate likewise: 4 more, all in the report."


def test_layers_stand_beside_steps(compressed: Outcome) -> None:
    table = explained.sensitivity_table(compressed)
    assert [column.title for column in table.columns] == ["layer", "prune", "quantize"]
    assert texts(table) == [
        ["conv1", "32 → 20", "—"],
        ["conv2", "64 → 40", "error 0.0120"],
        ["fc", "—", "error 0.200"],
    ]


def test_what_is_kept_as_given_is_the_right_size_already(kept_as_given: Outcome) -> None:
    kept = kept_as_given
    assert answer.proof_sentence(kept) == (
        "certified: it is the reference itself, which loses nothing; 0.02 worse in accuracy would be permitted."
    )
    assert explained.flips_sentence(kept) == ""
    assert chart_data.waterfall_rows(kept) == []


def test_every_text_says_what_the_steps_did(compressed: Outcome) -> None:
    for told in (plain.render(compressed), card.render(compressed)):
        assert "3. quantize (mode dynamic)" in told
        assert "test rows are decided otherwise" in told.replace("\n", " ")
    assert "<img" not in card.render(compressed)


def test_time_is_not_told_of_what_was_never_trained(compressed: Outcome) -> None:
    assert "training time 0 s" not in plain.render(compressed)


@pytest.mark.slow
def test_the_page_has_a_section_for_the_steps(compressed: Outcome, kept_as_given: Outcome) -> None:
    from steelyard.report import html

    page = html.render(compressed)
    assert 'id="steps"' in page
    for table in ("table-waterfall", "table-gate", "table-flips", "table-layers"):
        assert f'id="{table}"' in page
    assert "<img src=x" not in page
    kept = html.render(kept_as_given)
    assert "The chosen model is the one given" in kept
    assert "table-waterfall" not in kept
    assert Outcome.from_json(compressed.to_json()).to_json() == compressed.to_json()
