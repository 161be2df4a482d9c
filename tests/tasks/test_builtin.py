import numpy as np
import pytest

from steelyard.core.protocols import Task
from steelyard.core.task import ImageInput
from steelyard.tasks import builtin

ALL = [builtin.digits, builtin.breast_cancer, builtin.wine, builtin.diabetes, builtin.linear]


@pytest.mark.parametrize("make", ALL)
def test_each_built_in_task_satisfies_the_protocol(make):
    task = make(0)
    assert isinstance(task, Task)
    assert make.__name__.replace("_", "-") == task.name
    assert task.train.x.dtype == np.float32
    assert [fact.name for fact in task.facts][:2] == ["kind", "rows"]
    assert task.defaults["budget_s"] == 60


@pytest.mark.parametrize("make", ALL)
def test_a_seed_fixes_the_data_and_another_changes_them(make):
    assert make(3).data_hash == make(3).data_hash
    assert make(3).data_hash != make(4).data_hash


def test_digits_leave_719_rows_to_prove_with():
    task = builtin.digits(0)
    assert (len(task.train), len(task.valid), len(task.test)) == (898, 180, 719)
    assert isinstance(task.input, ImageInput)
    assert (task.input.layout, task.train.x.min(), task.train.x.max()) == ("hw", 0, 16)
    assert task.output.labels == tuple(range(10))
    assert task.split_how == "50/10/40 % train/valid/test, stratified, seed 0"


def test_linear_trains_on_one_to_five_and_proves_on_the_same_line():
    task = builtin.linear(0)
    assert task.train.x[:, 0].tolist() == task.train.y.tolist() == [1, 2, 3, 4, 5]
    assert (len(task.valid), len(task.test)) == (200, 1000)
    assert np.array_equal(task.test.x[:, 0], task.test.y)
    assert 0 <= task.test.x.min() <= task.test.x.max() <= 6
    assert (task.input.columns[0].mean, task.input.columns[0].std) == (0, 1)
    assert (task.output.mean, task.output.std, task.metric) == (0, 1, "rmse")
    assert task.defaults == {
        "families": ["linear"],
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "batch": "full",
        "budget_s": 60,
    }


def test_scaling_is_fitted_on_train_only():
    task = builtin.wine(0)
    for index, column in enumerate(task.input.columns):
        assert column.mean == pytest.approx(task.train.x[:, index].mean(dtype=np.float64), rel=1e-5)


def test_labels_of_breast_cancer_are_words():
    assert builtin.breast_cancer(0).output.labels == ("benign", "malignant")
