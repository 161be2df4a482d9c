"""Rows to predict with a model that names its inputs itself."""

from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.core.port import Port
from steelyard.core.task import TensorInput, TensorOutput
from steelyard.tasks.preprocess import decode, encode
from steelyard.tasks.rows import read_rows

ONE = TensorInput((Port("pixels", "float32", ("n", 4)),))
TWO = TensorInput((Port("tokens", "int64", ("n", 3)), Port("mask", "bool", ("n", 3))))


@pytest.mark.parametrize(
    "names", [("x",), ("x_test", "y_test"), ("pixels", "y"), ("pixels_test", "x_train"), ("anything",)]
)
def test_a_single_input_is_found_by_each_of_its_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    rows = np.arange(8.0).reshape(2, 4)
    np.savez(tmp_path / "rows.npz", **{names[0]: rows}, **{name: np.zeros(2) for name in names[1:]})
    encoded = encode(ONE, read_rows(tmp_path / "rows.npz", ONE))
    assert encoded["pixels"].dtype == np.float32
    assert np.array_equal(encoded["pixels"], rows)


def test_an_array_is_read_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((3, 4)))
    assert encode(ONE, read_rows(tmp_path / "rows.npy", ONE)).shape == (3,)


def test_the_columns_of_a_table_are_one_inputs_features(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,c,d,label\n1,2,3,4,cat\n5,6,7,8,dog\n", encoding="utf-8")
    encoded = encode(ONE, read_rows(tmp_path / "rows.csv", ONE))
    assert encoded["pixels"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_several_inputs_are_found_by_their_names_and_keep_their_types(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", tokens_test=np.ones((2, 3), dtype=np.int32), mask=np.ones((2, 3), dtype=bool))
    encoded = encode(TWO, read_rows(tmp_path / "rows.npz", TWO))
    assert (encoded["tokens"].dtype, encoded["mask"].dtype) == (np.int64, bool)


def test_an_input_without_an_array_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, tokens=np.ones((2, 3), dtype=np.int64), x=np.ones((2, 3)))
    with pytest.raises(DataError) as caught:
        read_rows(path, TWO)
    assert str(caught.value) == f"{path} must hold an array for the input 'mask', got tokens, x."


def test_outputs_that_are_no_decisions_stay_as_they_are() -> None:
    outputs = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(decode(TensorOutput(3), outputs), outputs)
