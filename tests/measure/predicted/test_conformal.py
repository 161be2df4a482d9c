"""Intervals hold: the law they are named for, on data that they know nothing of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.measure.predicted.conformal import conformal_quantile, interval


@given(st.integers(0, 10_000), st.sampled_from([0.8, 0.9, 0.95]))
def test_the_quantile_is_the_smallest_score_that_enough_others_stay_below(seed: int, level: float) -> None:
    scores = np.random.default_rng(seed).exponential(size=50)
    found = conformal_quantile(scores, level)
    assert (scores <= found).sum() == math.ceil(51 * level)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_a_new_score_stays_below_at_the_level_whatever_the_scores_are_like(level: float) -> None:
    rng = np.random.default_rng(7)
    hits = []
    for _ in range(3000):
        draws = rng.standard_cauchy(41) ** 2
        hits.append(draws[-1] <= conformal_quantile(draws[:-1], level))
    # Three standard errors of 3000 draws around what exchangeability promises: level to level + 1/41.
    spread = 3 * math.sqrt(level * (1 - level) / 3000)
    assert level - spread <= np.mean(hits) <= level + 1 / 41 + spread


def test_too_few_scores_promise_nothing() -> None:
    assert conformal_quantile(np.array([0.1, 0.2, 0.3]), 0.9) == math.inf


def test_an_interval_is_symmetric_in_the_logarithm_and_never_infinite() -> None:
    low, high = interval(2e-3, 0.1, 1.5)
    assert low * high == pytest.approx(4e-6)
    assert high / 2e-3 == pytest.approx(math.exp(0.15))
    assert math.isfinite(interval(1.0, 1.0, math.inf)[1])
