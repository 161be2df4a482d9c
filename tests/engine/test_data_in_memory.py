import numpy as np
import pytest

import steelyard
from steelyard.core.errors import DataError


def images(rows=200):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (rows, 8, 8), dtype=np.uint8), np.arange(rows) % 2


def test_a_pair_of_arrays_is_read_as_the_kind_asked_for():
    plan = steelyard.resolve("image-classification", data=images())
    assert plan.task.input.shape == (8, 8)
    assert len(plan.task.train) + len(plan.task.valid) + len(plan.task.test) == 200


def test_a_frame_is_read_by_the_name_of_its_target():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": range(100), "late": [i % 2 for i in range(100)], "b": ["x", "y"] * 50})
    plan = steelyard.resolve("tabular-classification", data=frame, target="late")
    assert [column.name for column in plan.task.input.columns] == ["a", "b"]


def test_arrays_of_two_lengths_are_refused():
    x, y = images()
    with pytest.raises(DataError):
        steelyard.resolve("image-classification", data=(x, y[:-1]))
