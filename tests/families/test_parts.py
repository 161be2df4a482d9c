"""The first layer against numpy, row by row."""

import math

import numpy as np
import pytest
import torch

from steelyard.core.task import ClassOutput, Column, ImageInput, TableInput, ValueOutput
from steelyard.families.parts import ImageFront, TableFront, back_of
from steelyard.testing.fakes import FakeTask


def run(front, rows):
    return front(torch.tensor(rows, dtype=torch.float32)).numpy()


def test_a_mixed_row_is_filled_standardised_flagged_and_coded():
    front = TableFront(FakeTask.table().input)
    # The columns are age, dose, colour (code 1 is blue) and place (code 0 is missing).
    rows = [[60.0, -1.5, 1, 2], [50.0, math.nan, 3, 0], [math.nan, -2.0, 0, 1]]
    assert front.shape == (8,)
    np.testing.assert_allclose(
        run(front, rows),
        [
            # Two numbers, whether the dose is missing, three colours, two places.
            [1.0, 1.0, 0.0, 1, 0, 0, 0, 1],
            [0.0, 0.0, 1.0, 0, 0, 1, 0, 0],
            [0.0, 0.0, 0.0, 0, 0, 0, 1, 0],
        ],
        atol=1e-6,
    )


def test_categories_alone_are_coded():
    front = TableFront(TableInput((Column("a", "category", categories=("x", "y")),)))
    np.testing.assert_array_equal(run(front, [[0.0], [1.0], [2.0]]), [[0, 0], [1, 0], [0, 1]])


def test_a_number_that_is_missing_is_the_mean_even_where_training_lacked_none():
    front = TableFront(FakeTask.values(features=2).input)
    np.testing.assert_allclose(run(front, [[7.0, math.nan], [5.0, 3.0]]), [[1.0, 0.0], [0.0, -1.0]])


@pytest.mark.parametrize("layout", ["hw", "chw", "hwc"])
def test_an_image_is_standardised_by_channel_whatever_its_layout(layout):
    channels = 1 if layout == "hw" else 3
    mean, std = (1.0, 2.0, 3.0)[:channels], (2.0, 4.0, 5.0)[:channels]
    chw = np.random.default_rng(0).normal(size=(2, channels, 4, 6)).astype(np.float32)
    raw = {"hw": chw[:, 0], "chw": chw, "hwc": chw.transpose(0, 2, 3, 1)}[layout]
    front = ImageFront(ImageInput(4, 6, channels, layout, mean, std))
    shape = (1, channels, 1, 1)
    assert front.shape == (channels, 4, 6)
    expected = (chw - np.reshape(mean, shape)) / np.reshape(std, shape)
    np.testing.assert_allclose(run(front, raw), expected, rtol=1e-5, atol=1e-6)


def test_halving_an_image_averages_two_by_two_pixels():
    raw = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    front = ImageFront(ImageInput(8, 8, 1, "hw", (0.0,), (1.0,)), 4)
    expected = raw.reshape(3, 4, 2, 4, 2).mean(axis=(2, 4))[:, None]
    np.testing.assert_allclose(run(front, raw), expected, rtol=1e-5, atol=1e-6)


def test_a_resized_image_keeps_its_proportions():
    assert ImageFront(ImageInput(8, 16, 1, "hw", (0.0,), (1.0,)), 4).shape == (1, 4, 8)
    assert ImageFront(ImageInput(100, 1, 1, "hw", (0.0,), (1.0,)), 4).shape == (1, 4, 1)


def test_values_go_back_to_the_targets_unit_and_scores_stay():
    x = torch.tensor([[-1.0], [2.0]])
    np.testing.assert_allclose(back_of(ValueOutput(300.0, 90.0))(x).numpy(), [[210.0], [480.0]])
    assert torch.equal(back_of(ValueOutput(0.0, 1.0))(x), x)
    assert torch.equal(back_of(ClassOutput((0, 1)))(x), x)
