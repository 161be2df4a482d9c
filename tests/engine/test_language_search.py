"""A search over decoders, from a text to a bundle that scores the next token."""

from pathlib import Path

import numpy as np
import pytest

import steelyard
from steelyard import Budget, Goal


@pytest.mark.slow
def test_a_decoder_is_found_packed_and_asked(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcdefgh " * 1_500, encoding="utf-8")
    outcome = steelyard.find(
        "language-modelling",
        data=str(path),
        goal=Goal(max_drop=0.5, relative=True),
        budget=Budget(wall_s=None, trials=3),
        knobs={"depth": (1,), "width": (8, 16), "heads": (2,)},
        strategy="grid",
        epochs=6,
        out=tmp_path / "out",
    )
    # Nine letters in turn are as hard to guess as one of nine where nothing was learned.
    assert outcome.reference.metrics["perplexity_test"].value < 6
    assert {"perplexity", "bits_per_token"} <= outcome.chosen.metrics.keys()
    model = steelyard.load(outcome.bundle)
    scores = model.scores(["abcd"])
    assert scores.shape == (1, 128, 11)
    assert np.isfinite(scores).all()
    assert model.manifest["outputs"] == [{"name": "y", "shape": ["n", 128, 11], "type": "float32"}]
