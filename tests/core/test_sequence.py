"""Specifications of sequences."""

import pytest

from steelyard.core.sequence import SeriesInput, SoundInput, TextInput, Tokens
from steelyard.core.task import input_from_json, input_to_json

SERIES = SeriesInput(2, 9, (0.5, 1.0), (1.0, 2.0), has_padding=True, steps_first=True)
TEXT = TextInput((Tokens("char", 5, 9, "abc"), Tokens("word", 3, 40, "{}")), column="said")
SOUND = SoundInput(8_000, 1_000, 256, 128, 2, (0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize("spec", [SERIES, TEXT, SOUND], ids=lambda spec: type(spec).__name__)
def test_the_plain_form_comes_back(spec):
    assert input_from_json(input_to_json(spec)) == spec


def test_rows_have_the_shape_of_what_they_hold():
    assert (SERIES.shape, TEXT.shape, SOUND.shape) == ((2, 9), (8,), (1_000,))


def test_tokens_stand_side_by_side():
    assert (TEXT.place("char"), TEXT.place("word")) == (slice(0, 5), slice(5, 8))
    assert TEXT.of("word").size == 40
    with pytest.raises(KeyError):
        TEXT.place("bpe")


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (256, 1), (257, 2), (384, 2), (385, 3), (1_000, 7)])
def test_windows_cover_every_sample(samples, frames):
    assert SoundInput(8_000, samples, 256, 128, 1, (0.0,), (1.0,)).frames == frames
