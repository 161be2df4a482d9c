"""What indices take to encode."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steelyard.graph.codes import Layout, code_array
from steelyard.graph.rangecoder import BitWriter
from steelyard.steps.rates import Prices, entropy_bits


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200))
def test_the_entropy_is_that_of_the_shares(indices: list[int]) -> None:
    _, counts = np.unique(indices, return_counts=True)
    shares = counts / counts.sum()
    wanted = -(counts * np.log2(shares)).sum()
    assert entropy_bits(torch.tensor(indices)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.4])
def test_the_prices_come_near_to_what_the_coder_takes(density: float) -> None:
    # The coder also has to learn the shares that the prices know.
    draw = np.random.default_rng(0)
    rows, columns = draw.gamma(1.0, size=(120, 1)), draw.gamma(1.0, size=(1, 100))
    used = draw.random((120, 100)) < np.minimum(0.95, density * rows * columns)
    taken = np.where(used, draw.choice([1, 2, 3], p=[0.6, 0.3, 0.1], size=used.shape), 0)
    writer = BitWriter()
    code_array(writer, (taken.astype(np.float32) * 0.25).view(np.uint32), Layout())
    coded = 8 * len(writer.finish())
    assert Prices.of(torch.from_numpy(taken), 0, 4).total() == pytest.approx(coded, rel=0.3)


def test_an_entry_that_is_taken_more_often_costs_less() -> None:
    prices = Prices.of(torch.tensor([[0, 1, 1, 2], [0, 1, 0, 1]]), 0, 3)
    bits = prices.bits()
    assert bits.shape == (2, 4, 3)
    assert bool((bits[..., 1] < bits[..., 2]).all())
