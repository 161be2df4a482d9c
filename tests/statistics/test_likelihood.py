"""Likelihoods of tokens."""

import numpy as np
import pytest
import torch

from steelyard.statistics.likelihood import token_losses


def test_it_is_the_cross_entropy_that_torch_computes() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(5, 7, 11)).astype(np.float32)
    targets = random.integers(-1, 11, size=(5, 7))
    sums, counts = token_losses(scores, targets)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(scores.reshape(-1, 11)), torch.from_numpy(targets.reshape(-1)), ignore_index=-1
    )
    assert sums.sum() / counts.sum() == pytest.approx(float(expected), rel=1e-6)
    assert counts.tolist() == (targets >= 0).sum(axis=1).tolist()


def test_flat_scores_are_the_same() -> None:
    random = np.random.default_rng(1)
    scores, targets = random.normal(size=(4, 3, 5)), random.integers(0, 5, size=(4, 3))
    assert np.allclose(token_losses(scores.reshape(4, 15), targets)[0], token_losses(scores, targets)[0])


def test_a_score_that_is_no_number_loses_everything() -> None:
    scores = np.zeros((2, 2, 3))
    scores[0, 0, 0] = np.nan
    sums, _ = token_losses(scores, np.zeros((2, 2), dtype=np.int64))
    assert sums[0] == np.inf
    assert sums[1] == pytest.approx(2 * np.log(3))
