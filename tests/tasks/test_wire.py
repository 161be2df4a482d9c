import subprocess
import sys

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.tasks import builtin
from steelyard.tasks.reading import from_arrays
from steelyard.tasks.wire import load, save


@pytest.mark.parametrize("make", [builtin.digits, builtin.wine, builtin.linear])
def test_a_task_comes_back_as_it_was(make, tmp_path):
    task = make(0)
    save(task, tmp_path, with_test=True)
    back = load(tmp_path)
    for name in ("train", "valid", "test"):
        there, here = getattr(back, name), getattr(task, name)
        assert np.array_equal(there.x, here.x, equal_nan=True)
        assert np.array_equal(there.y, here.y)
    for name in ("name", "kind", "input", "output", "split_how", "data_hash", "facts", "metric", "defaults"):
        assert getattr(back, name) == getattr(task, name)


def test_without_test_rows_none_are_written(tmp_path):
    save(builtin.digits(0), tmp_path, with_test=False)
    back = load(tmp_path)
    assert (len(back.test), back.test.x.shape) == (0, (0, 8, 8))
    assert not list(tmp_path.glob("*test*"))


def test_groups_travel(tmp_path):
    x = np.arange(60.0).reshape(30, 2)
    task = from_arrays(x, np.arange(30) % 2, groups=np.arange(30) // 3)
    save(task, tmp_path, with_test=True)
    assert np.array_equal(load(tmp_path).train.groups, task.train.groups)


def test_writing_to_a_loaded_row_leaves_the_file_alone(tmp_path):
    save(builtin.digits(0), tmp_path, with_test=False)
    load(tmp_path).train.x[:] = 99
    assert load(tmp_path).train.x.max() == 16


def test_a_directory_without_a_task_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"must hold a saved task, but it can't be read"):
        load(tmp_path)
    (tmp_path / "task.json").write_text('{"schema": 2}')
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{tmp_path} must hold a task of schema 1, got 2; save it anew."


def test_a_pickled_array_is_never_loaded(tmp_path):
    save(builtin.wine(0), tmp_path, with_test=False)
    np.save(tmp_path / "x_train.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="must hold a saved task"):
        load(tmp_path)


@pytest.mark.slow
def test_loading_needs_neither_sklearn_nor_polars(tmp_path):
    save(builtin.wine(0), tmp_path, with_test=False)
    code = (
        "import sys, pathlib; from steelyard.tasks.wire import load; load(pathlib.Path(sys.argv[1]));"
        "print([m for m in ('sklearn', 'polars', 'PIL', 'torch', 'onnx') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
