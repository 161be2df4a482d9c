"""Where a smaller module's numbers lie in a larger one's."""

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.elastic.sharing import layout_of, places_of


def net(width: int, *, kernel: int = 3, pixels: int = 2, depth: int = 2) -> nn.Sequential:
    layers: list[nn.Module] = []
    incoming = 1
    for number in range(depth):
        layers += [nn.Conv2d(incoming, width * 2**number, kernel, padding=kernel // 2), nn.ReLU()]
        incoming = width * 2**number
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(pixels), nn.Flatten(), nn.Linear(incoming * pixels**2, 3))


def layout(module: nn.Module):
    return layout_of(module, (torch.randn(2, 1, 8, 8),))


def test_a_module_lies_in_itself_whole():
    own = layout(net(4))
    assert all(places_of(name, own, own) == {} for name in own.shapes)


@pytest.mark.parametrize(("small", "large"), [(2, 4), (1, 6), (3, 8)])
def test_narrower_layers_are_the_first_channels(small, large):
    one, other = layout(net(small)), layout(net(large))
    assert {axis: index.tolist() for axis, index in places_of("2.weight", one, other).items()} == {
        0: list(range(2 * small)),
        1: list(range(small)),
    }


def test_a_flattened_picture_takes_all_pixels_of_the_first_channels():
    one, other = layout(net(2)), layout(net(4))
    # Two blocks: 4 and 8 channels of 4 pixels each.
    assert places_of("6.weight", one, other)[1].tolist() == list(range(16))


def test_pictures_of_other_sizes_share_no_last_layer():
    one, other = layout(net(4, pixels=1)), layout(net(4, pixels=2))
    assert places_of("6.weight", one, other) is None
    assert places_of("6.bias", one, other) == {}


def test_a_smaller_kernel_is_the_middle_of_a_larger_one():
    one, other = layout(net(4, kernel=3)), layout(net(4, kernel=5))
    assert {axis: index.tolist() for axis, index in places_of("0.weight", one, other).items()} == {
        2: [1, 2, 3],
        3: [1, 2, 3],
    }


def test_a_window_of_even_difference_has_no_middle():
    one, other = layout(nn.Sequential(nn.Conv2d(1, 4, 2), nn.Flatten())), layout(net(4, kernel=3))
    assert places_of("0.weight", one, other) is None


def test_what_is_larger_or_of_another_rank_does_not_lie_in_it():
    one, other = layout(net(4)), layout(net(2))
    assert places_of("0.weight", one, other) is None
    flat = layout(nn.Sequential(nn.Linear(8, 2), nn.Flatten()))
    assert places_of("0.weight", flat, one) is None
    assert places_of("0.weight", one, flat) is None


def test_concatenated_channels_keep_their_sides():
    class Both(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.left, self.right, self.last = nn.Linear(3, width), nn.Linear(3, width), nn.Linear(2 * width, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(torch.cat([self.left(x), self.right(x)], dim=1))

    rows = (torch.randn(2, 3),)
    one, other = layout_of(Both(2), rows), layout_of(Both(5), rows)
    assert places_of("last.weight", one, other)[1].tolist() == [0, 1, 5, 6]
    np.testing.assert_array_equal(places_of("left.weight", one, other)[0], [0, 1])


def test_a_module_without_a_fixed_graph_is_refused():
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) if x.sum() > 0 else x

    wanted = r"^the module can't be traced: the module itself decides by a tensor's values \(__bool__\)"
    with pytest.raises(InputError, match=wanted):
        layout_of(Choosing(), (torch.randn(2, 3),))
