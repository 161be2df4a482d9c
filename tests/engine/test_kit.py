import numpy as np
import pytest

from steelyard.core.port import Port
from steelyard.core.task import Column, ImageInput, TableInput, TensorInput
from steelyard.engine.kit import random_rows


@pytest.mark.parametrize(
    ("layout", "channels", "shape", "axis"),
    [("hw", 1, (6, 4), None), ("hwc", 3, (6, 4, 3), 3), ("chw", 3, (3, 6, 4), 1)],
)
def test_images_have_the_mean_and_the_spread_of_each_channel(layout, channels, shape, axis):
    mean, std = (10.0, 100.0, 200.0)[:channels], (1.0, 5.0, 20.0)[:channels]
    rows = random_rows(ImageInput(6, 4, channels, layout, mean, std), seed=0, rows=200)
    assert rows.shape == (200, *shape)
    assert rows.dtype == np.float32
    for channel in range(channels):
        own = rows if axis is None else np.take(rows, channel, axis=axis)
        assert own.mean() == pytest.approx(mean[channel], abs=std[channel] / 10)
        assert own.std() == pytest.approx(std[channel], rel=0.1)
        assert np.abs(own - mean[channel]).max() <= 3**0.5 * std[channel] + 1e-3


def test_codes_of_categories_lie_below_the_table_that_they_index():
    columns = (Column("age", "number", mean=40.0, std=10.0), Column("job", "category", categories=("a", "b")))
    rows = random_rows(TableInput(columns), seed=1, rows=100)
    assert rows.shape == (100, 2)
    assert set(rows[:, 1].tolist()) == {0.0, 1.0, 2.0}
    assert rows[:, 0].mean() == pytest.approx(40, abs=5)


def test_rows_depend_on_the_seed_alone():
    spec = TableInput((Column("age", "number"),))
    assert np.array_equal(random_rows(spec, 3), random_rows(spec, 3))
    assert not np.array_equal(random_rows(spec, 3), random_rows(spec, 4))


def test_a_model_that_names_its_inputs_gets_rows_of_each_in_its_type():
    spec = TensorInput((Port("tokens", "int64", ("n", 5)), Port("image", "float32", ("n", 1, 2, 2))))
    rows = random_rows(spec, seed=0, rows=7)
    assert rows.shape == (7,)
    assert (rows["tokens"].dtype, rows["tokens"].shape) == (np.int64, (7, 5))
    assert (rows["image"].dtype, rows["image"].shape) == (np.float32, (7, 1, 2, 2))
