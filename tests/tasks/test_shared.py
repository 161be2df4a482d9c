"""The readers on real data: splits and rows are those of the manifest."""

from pathlib import Path

import numpy as np
import pytest

from steelyard.tasks.reading import from_data
from steelyard.tasks.wire import load, save

DATA = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data beside the checkout"),
]

IMAGES = "image-classification"


def sizes(task):
    return len(task.train), len(task.valid), len(task.test)


@pytest.mark.slow
def test_mnist_is_read_as_it_is_split():
    task = from_data(DATA / "mnist_35k.npz", IMAGES)
    assert sizes(task) == (20_000, 5_000, 10_000)
    assert (task.input.shape, task.train.x.dtype) == ((28, 28), np.uint8)
    assert task.output.labels == tuple(range(10))


@pytest.mark.slow
def test_cifar_is_decoded_from_a_zip_of_class_folders():
    task = from_data(DATA / "cifar10_12k.zip", IMAGES)
    assert sizes(task) == (8_000, 1_000, 3_000)
    assert (task.input.shape, task.train.x.dtype) == ((32, 32, 3), np.uint8)
    assert task.output.labels[:2] == ("airplane", "automobile")
    assert np.bincount(task.test.y).tolist() == [300] * 10
    assert len(set(task.train.y[:100].tolist())) == 10


def test_adult_has_mixed_columns_and_missing_values():
    task = from_data(DATA / "tab_adult_census.parquet", "tabular-classification", target="income")
    assert sizes(task) == (34_189, 4_885, 9_768)
    kinds = [column.kind for column in task.input.columns]
    assert (kinds.count("number"), kinds.count("category")) == (6, 8)
    missing = [column.name for column in task.input.columns if column.has_missing]
    assert missing == ["workclass", "occupation", "native-country"]
    assert task.output.labels == ("<=50K", ">50K")


def test_california_housing_is_a_regression():
    task = from_data(DATA / "tab_california_housing.parquet", "tabular-regression", target="MedHouseVal")
    assert sizes(task) == (14_512, 2_000, 4_128)
    assert (len(task.input.columns), task.metric) == (8, "rmse")


def test_wine_quality_counts_the_rows_that_splits_share():
    task = from_data(DATA / "tab_wine_quality.parquet", "tabular-regression", target="quality")
    assert sizes(task) == (4_547, 650, 1_300)
    assert next(fact for fact in task.facts if fact.name == "repeats").value == {"valid": 157, "test": 325}


def test_a_real_table_travels(tmp_path):
    task = from_data(DATA / "tab_adult_census.parquet", "tabular-classification", target="income")
    save(task, tmp_path, with_test=False)
    assert np.array_equal(load(tmp_path).train.x, task.train.x)
