"""Fronts of sequences: in the graph what numpy says outside of it."""

import numpy as np
import pytest
import torch

from steelyard.core.sequence import UNKNOWN, SoundInput
from steelyard.families.fronts import SeriesFront, SoundFront, Stem, TextFront
from steelyard.tasks.mel import log_mel
from steelyard.testing.fakes import FakeTask

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("samples", [30, 400, 417])
def test_the_spectrogram_of_the_graph_is_the_one_that_was_fitted(samples):
    spec = SoundInput(4_000, samples, 64, 32, 5, tuple(RNG.normal(size=5)), tuple(1 + RNG.random(5)))
    x = RNG.normal(size=(3, samples)).astype(np.float32)
    front = SoundFront(spec)
    found = front(torch.from_numpy(x)).numpy()
    wanted = (log_mel(x, spec) - np.array(spec.mean)[:, None]) / np.array(spec.std)[:, None]
    assert found.shape == (3, *front.shape)
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_missing_steps_are_zero_and_marked():
    task = FakeTask.series()
    front = SeriesFront(task.input)
    out = front(torch.from_numpy(task.train.x))
    assert out.shape == (60, *front.shape)
    there = torch.from_numpy(~np.isnan(task.train.x).all(axis=1)).float()
    assert torch.equal(out[:, -1], there)
    assert not (out[:, :-1] * (1 - there[:, None])).any()
    wanted = (task.train.x[1] - np.array(task.input.mean)[:, None]) / np.array(task.input.std)[:, None]
    np.testing.assert_allclose(out[1, :-1], wanted, rtol=1e-5)


def test_one_missing_channel_is_filled_and_the_step_is_there():
    task = FakeTask.series(is_ragged=False)
    x = task.train.x[:1].copy()
    x[0, 0, 3] = np.nan
    out = SeriesFront(task.input)(torch.from_numpy(x))
    assert out.shape == (1, 2, 20)
    assert out[0, 0, 3] == 0
    assert torch.isfinite(out).all()


def test_a_smaller_vocabulary_does_not_know_the_rarer_words():
    spec = FakeTask.text().input
    x = torch.arange(20.0).reshape(1, 20)
    assert TextFront(spec, "word")(x).tolist() == [list(range(10, 20))]
    assert TextFront(spec, "word-15")(x).tolist() == [[10, 11, 12, 13, 14, *[UNKNOWN] * 5]]
    assert TextFront(spec, "char")(x).tolist() == [list(range(10))]
    with pytest.raises(ValueError, match="vocabulary must be one of char, word, got 'bpe'"):
        TextFront(spec, "bpe")


def test_padding_of_texts_is_embedded_as_nothing():
    stem = Stem(TextFront(FakeTask.text().input, "word"), 6)
    sequence, mask = stem(torch.tensor([[3.0, 5.0, 0.0, 0.0]]))
    assert sequence.shape == (1, 6, 4)
    assert mask.tolist() == [[[1, 1, 0, 0]]]
    assert not sequence[:, :, 2:].any()
    assert sequence[:, :, :2].any()
