import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from steelyard.steps.lowrank import Ranks, Seen, by_outputs, tucker

FULL = Ranks(1.0, 1.0, 1)


def seen_by(layer, x):
    """What the layer gives on x, by definition."""
    with torch.no_grad():
        y = layer(x).double()
    flat = y.movedim(1, -1).flatten(0, -2) if y.ndim == 4 else y
    taken = x.double().movedim(1, -1).flatten(0, -2) if x.ndim == 4 else x.double()
    return Seen(flat.mean(0), torch.cov(flat.T, correction=0), taken.T @ taken / len(taken), len(flat))


def conv(seed=0, **settings):
    torch.manual_seed(seed)
    return nn.Conv2d(6, 8, 3, **settings)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize("form", [by_outputs, tucker])
@pytest.mark.parametrize(
    "settings",
    [{}, {"padding": 1, "stride": 2}, {"padding": "same", "dilation": 2}, {"padding": 1, "padding_mode": "circular"}],
)
def test_at_full_rank_a_convolution_is_itself(settings, form, is_seen, bias):
    layer = conv(bias=bias, **settings)
    x = torch.randn(4, 6, 9, 9)
    found = form(layer, seen_by(layer, x) if is_seen else None, FULL)
    assert torch.allclose(found.layer(x), layer(x), atol=1e-4)
    assert found.error == pytest.approx(0, abs=1e-3)
    assert torch.allclose(found.layer.weight, layer.weight, atol=1e-4)


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_without_rows_the_error_of_a_matrix_is_that_of_its_best_approximation(rows, columns, seed):
    torch.manual_seed(seed)
    layer = nn.Linear(columns, rows)
    found = by_outputs(layer, None, Ranks(0.8, None, 1))
    values = torch.linalg.svdvals(layer.weight.detach().double())
    rank = found.ranks[0]
    expected = float((values[rank:] ** 2).sum() / (values**2).sum()) ** 0.5
    apart = torch.linalg.norm((found.layer.weight - layer.weight).detach()) / torch.linalg.norm(layer.weight.detach())
    assert float(apart) == pytest.approx(expected, abs=1e-4)
    assert found.error == pytest.approx(expected, abs=1e-4)
    assert expected**2 <= 0.2 + 1e-6


def test_a_rank_too_many_is_not_taken():
    layer = nn.Linear(8, 8)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(8, 3) @ torch.randn(3, 8))
    assert by_outputs(layer, None, Ranks(1 - 1e-9, None, 1)).ranks == (3,)


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        (Ranks(0.9, None, 1), 2),
        (Ranks(0.7, None, 1), 1),
        (Ranks(0.9, None, 4), 4),
        (Ranks(1.0, 0.5, 1), 2),
        (Ranks(0.1, 0.01, 1), 1),
        (Ranks(0.9, 1.0, 3), 5),
    ],
)
def test_ranks_follow_the_energy_or_the_share_and_are_rounded_up(ranks, expected):
    assert ranks.of(torch.tensor([8.0, 1.5, 0.3, 0.1, 0.1])) == expected


def test_rows_seen_lower_the_error_of_the_outputs():
    """Inputs vary in few directions, which the weights alone don't tell."""
    layer = conv(padding=1)
    mixed = torch.randn(6, 2, generator=torch.Generator().manual_seed(1)) @ torch.randn(2, 6)
    x = torch.einsum("nchw,dc->ndhw", torch.randn(16, 6, 9, 9), mixed) + 3
    ranks = Ranks(1.0, 0.4, 1)
    for form in (by_outputs, tucker):
        blind, aware = (form(layer, each, ranks) for each in (None, seen_by(layer, x)))
        lost = [float((each.layer(x) - layer(x)).square().mean().detach()) for each in (blind, aware)]
        assert lost[1] < 0.5 * lost[0], form.__name__


def test_the_mean_of_the_outputs_is_kept():
    layer = nn.Linear(5, 7)
    x = torch.randn(100, 5) + 4
    found = by_outputs(layer, seen_by(layer, x), Ranks(1.0, 0.2, 1))
    assert torch.allclose(found.layer(x).mean(0), layer(x).mean(0), atol=1e-4)
