"""A search by shared weights, end to end: explored, confirmed, asked again."""

import json
from pathlib import Path

import jsonschema
import pytest

import steelyard
from steelyard import Budget, Goal

KNOBS = {"depth": (1, 2), "width": (4, 8), "kernel": (3,), "resolution": (4, 8)}
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas" / "find.schema.json"
pytestmark = pytest.mark.slow


def ask(out, max_drop, trials):
    heard = []
    outcome = steelyard.find(
        "digits",
        model="cnn",
        knobs=KNOBS,
        strategy="elastic",
        goal=Goal(max_drop=max_drop),
        budget=Budget(wall_s=None, trials=trials),
        epochs=4,
        out=out,
        listen=lambda event: heard.append(event.text),
    )
    return outcome, heard


def test_scales_are_explored_confirmed_from_their_slices_and_asked_again(tmp_path):
    first, heard = ask(tmp_path / "study", 0.2, 5)
    assert any(text.startswith("cnn: 8 scales explored by shared weights") for text in heard)
    found = first.exploring["cnn"]
    assert (found["explored"], found["files"]["cut"]) == (8, 8)
    forms = found["forms"]
    assert forms["explored"] >= 1
    assert first.counts["explored"] >= 8 + forms["explored"]
    assert first.reference.notes["start"] == "shared weights"
    plain = json.loads(json.dumps(first.to_json()))
    jsonschema.validate(plain, json.loads(SCHEMA.read_text(encoding="utf-8")))
    second, heard = ask(tmp_path / "study", 0.4, 5)
    assert "the study is finished; answering from what it holds" in heard
    assert second.counts == first.counts
    assert second.exploring == first.exploring
