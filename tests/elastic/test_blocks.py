"""Residual blocks that can be left out."""

import torch
from torch import nn

from steelyard.elastic.blocks import blocks_of, without_block


def test_blocks_with_a_shortcut_are_found_and_no_others(make):
    case = make("residual")
    assert blocks_of(case.module, case.example) == ("1", "2", "4")


def test_an_encoder_s_layers_are_blocks(make):
    for name in ("encoder", "encoder-post"):
        case = make(name)
        assert blocks_of(case.module, case.example) == ("layers.layers.0", "layers.layers.1")


def test_an_encoder_without_its_first_layer_is_its_second(make):
    case = make("encoder")
    short = without_block(case.module, "layers.layers.0")
    module = case.module
    with torch.no_grad():
        expected = module.last(module.layers.layers[1](module.table(case.example[0]) + module.places).mean(1))
        torch.testing.assert_close(short(*case.example), expected)


def test_a_plain_layer_of_equal_shape_is_no_block(make):
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert blocks_of(module, (torch.randn(2, 6),)) == ()


def test_a_module_without_a_block_passes_its_input_on(make):
    case = make("residual")
    short = without_block(case.module, "2")
    direct = nn.Sequential(*(each for place, each in enumerate(case.module) if place != 2))
    with torch.no_grad():
        assert torch.equal(short(*case.example), direct(*case.example))
    assert sum(p.numel() for p in short.parameters()) < sum(p.numel() for p in case.module.parameters())
