"""Rows for a model that says itself what it takes."""

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.core.port import Port
from steelyard.tasks.tensors import fitted, rows_for

IMAGE = Port("x", "float32", ("n", 3, 4, 5))
TOKENS = Port("ids", "int64", ("n", 7))


def test_several_inputs_become_fields_in_the_types_that_they_take() -> None:
    rows = rows_for((IMAGE, TOKENS), {"ids": np.ones((2, 7), np.int32), "x": np.zeros((2, 3, 4, 5))}, origin="data")
    assert rows.dtype.names == ("x", "ids")
    assert rows["x"].dtype == np.float32
    assert rows["ids"].dtype == np.int64


def test_images_with_channels_last_are_turned_and_a_lacking_channel_is_added() -> None:
    pixels = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    assert np.array_equal(fitted(IMAGE, pixels, origin="data"), pixels.transpose(0, 3, 1, 2).astype(np.float32))
    grey = Port("x", "float32", ("n", 1, 4, 5))
    assert fitted(grey, pixels[..., 0], origin="data").shape == (2, 1, 4, 5)


def test_a_series_of_one_value_a_step_gets_its_last_axis() -> None:
    assert fitted(Port("x", "float32", ("n", 9, 1)), np.zeros((3, 9)), origin="data").shape == (3, 9, 1)


@pytest.mark.parametrize(
    ("port", "array", "message"),
    [
        (IMAGE, np.zeros((2, 4, 4)), "data must fit the input x float32 (n, 3, 4, 5), got an array (2, 4, 4)."),
        (TOKENS, np.zeros((2, 7)), "data must hold int64 for the input ids int64 (n, 7), got float64."),
        (
            IMAGE,
            np.zeros((0, 3, 4, 5)),
            "data must hold at least one row for the input x float32 (n, 3, 4, 5), got none.",
        ),
        (TOKENS, np.array([["a"] * 7]), "data must hold int64 for the input ids int64 (n, 7), got <U1."),
        (
            Port("b", "uint8", ("n",)),
            np.array([300]),
            "data must hold uint8 for the input b uint8 (n), got int64.",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_what_was_expected_and_got(port: Port, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError) as error:
        fitted(port, array, origin="data")
    assert error.value.message == message


def test_a_missing_input_and_uneven_lengths_are_named() -> None:
    with pytest.raises(DataError, match=r"^data must hold an array for the input 'ids', got x\.$"):
        rows_for((IMAGE, TOKENS), {"x": np.zeros((2, 3, 4, 5))}, origin="data")
    with pytest.raises(DataError, match=r"^data must hold as many rows for every input, got x 2, ids 3\.$"):
        rows_for((IMAGE, TOKENS), {"x": np.zeros((2, 3, 4, 5)), "ids": np.ones((3, 7), int)}, origin="data")
    with pytest.raises(DataError, match=r"^data must hold an array for each input \(x, ids\), got one\.$"):
        rows_for((IMAGE, TOKENS), np.zeros((2, 7)), origin="data")


def test_flat_rows_get_the_axis_of_one_channel_that_an_input_has() -> None:
    flat = np.arange(10.0).reshape(2, 5)
    assert fitted(Port("x", "float32", ("n", 1, 5)), flat, origin="data").shape == (2, 1, 5)
    assert fitted(Port("x", "float32", ("n", 5, 1)), flat, origin="data").shape == (2, 5, 1)
