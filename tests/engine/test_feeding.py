"""Inputs of a profile: drawn to the shapes that a model takes, or real ones that fit it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError, InputError, UnknownNameError
from steelyard.core.port import Port, Signature
from steelyard.engine.feeding import drawn, from_arrays, from_file, parse_shapes

IMAGE = Signature((Port("x", "float32", ("n", 3, 8, 8)),))
TOKENS = Signature((Port("ids", "int64", ("n", "length")), Port("mask", "bool", ("n", "length"))), (), {"ids": 50})
FIXED = Signature((Port("x", "float32", (4, 5)),))
APART = Signature((Port("x", "float32", ("n", 5)), Port("scale", "float32", (2,))))


@given(sizes=st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=5), name=st.sampled_from(["", "x", "a:b"]))
def test_a_shape_is_read_back_from_its_text(sizes, name) -> None:
    text = ",".join(map(str, sizes))
    assert parse_shapes([f"{name}:{text}" if name else text]) == {name: tuple(sizes)}


@pytest.mark.parametrize("text", ["", "x:", "1,,2", "0,3", "-1", "1.5", "a", "x:1,b", "1e3", "٣", "99999999999"])
def test_a_text_that_is_no_shape_is_refused(text) -> None:
    with pytest.raises(InputError) as error:
        parse_shapes([text])
    assert error.value.message == (f"'shape' must be sizes such as 1,3,32,32 or NAME:1,3,32,32, got {text!r}.")


def test_a_model_without_inputs_is_refused() -> None:
    sentence = "^'model' must take an input, got one that takes none.$"
    with pytest.raises(InputError, match=sentence):
        drawn(Signature(()), {}, batch=None, seed=0)
    with pytest.raises(InputError, match=sentence):
        from_arrays({"x": np.ones((2, 3))}, Signature(()), "rows.npz", batch=None)


def test_a_shape_that_stands_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"^'shape' is given twice for 'x'; give it once\.$"):
        parse_shapes(["x:1,2", "x:1,3"])


def test_floats_are_drawn_for_every_inference_and_the_seed_fixes_them() -> None:
    feed = drawn(IMAGE, {}, batch=2, seed=3)
    assert feed.rows.shape == (128, 3, 8, 8)
    assert feed.rows.dtype == np.float32
    assert (feed.batch, feed.stacked, feed.can_batch) == (2, False, True)
    assert np.array_equal(feed.rows, drawn(IMAGE, {}, batch=2, seed=3).rows)
    assert not np.array_equal(feed.rows, drawn(IMAGE, {}, batch=2, seed=4).rows)
    assert feed.example().shape == (2, 3, 8, 8)


def test_indices_are_drawn_below_their_table_and_masks_are_flags() -> None:
    feed = drawn(TOKENS, {"ids": (1, 16), "mask": (1, 16)}, batch=None, seed=0)
    assert feed.rows["ids"].max() == 49
    assert feed.rows["ids"].min() == 0
    assert feed.rows["mask"].dtype == bool
    assert feed.rows["ids"].shape == (64, 16)


def test_bytes_are_drawn_over_their_whole_range() -> None:
    feed = drawn(Signature((Port("x", "uint8", ("n", 100)),)), {}, batch=None, seed=0)
    assert (feed.rows["x"].min(), feed.rows["x"].max()) == (0, 255)


def test_inputs_that_share_no_first_axis_are_drawn_whole() -> None:
    feed = drawn(APART, {"x": (3, 5)}, batch=None, seed=0)
    assert feed.stacked
    assert (feed.rows["x"].shape, feed.rows["scale"].shape) == ((64, 3, 5), (64, 2))
    assert {name: each.shape for name, each in feed.example().items()} == {"x": (3, 5), "scale": (2,)}


@pytest.mark.parametrize(
    ("signature", "shapes", "batch", "message"),
    [
        (
            TOKENS,
            {},
            None,
            "'shape' must say how long the free axes of ids int64 (n, length) are; give --shape ids:N,N",
        ),
        (TOKENS, {"": (1, 4)}, None, "'shape' must name its input, because the model has 2: ids, mask."),
        (IMAGE, {"x": (1, 3, 8)}, None, "'shape' must fit the input x float32 (n, 3, 8, 8), got 1,3,8."),
        (IMAGE, {"": (1, 4, 8, 8)}, None, "'shape' must fit the input x float32 (n, 3, 8, 8), got 1,4,8,8."),
        (IMAGE, {"": (1, 3, 8, 8)}, 2, "'batch' 2 contradicts the shape 1,3,8,8; give one of them."),
        (FIXED, {}, 2, "'batch' must be 4, which the model is made for, got 2."),
        (
            Signature((Port("x", "float32", ("n", "m")),)),
            {"": (30000, 30000)},
            None,
            "'shape' asks for 3,600 MB an inference, and at most 256 are drawn; give a smaller shape, or --data.",
        ),
        (
            Signature((Port("x", "string", ("n",)),)),
            {},
            None,
            "input x string (n) can't be fed: only numbers of numpy's own types can.",
        ),
        (
            Signature((Port("x", "bfloat16", ("n",)),)),
            {},
            None,
            "input x bfloat16 (n) can't be fed: only numbers of numpy's own types can.",
        ),
    ],
)
def test_what_can_not_be_drawn_is_refused_in_one_sentence(signature, shapes, batch, message) -> None:
    with pytest.raises(InputError) as error:
        drawn(signature, shapes, batch=batch, seed=0)
    assert error.value.message.startswith(message)


def test_a_name_that_is_no_input_brings_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"^input 'idz' is not known; did you mean 'ids'\?$"):
        drawn(TOKENS, {"idz": (1, 4)}, batch=None, seed=0)


def test_real_rows_are_taken_by_name_or_as_the_only_ones() -> None:
    x = np.ones((10, 3, 8, 8), np.float32)
    for name in ("x", "x_test", "whatever"):
        assert from_arrays({name: x}, IMAGE, "data.npz", batch=None).rows is x
    arrays = {"ids_valid": np.ones((6, 4), np.int32), "mask_valid": np.ones((6, 4), bool), "y_valid": np.ones(6)}
    feed = from_arrays(arrays, TOKENS, "data.npz", batch=2)
    assert feed.rows["ids"].dtype == np.int64
    assert feed.batch == 2


@pytest.mark.parametrize(
    ("signature", "arrays", "message"),
    [
        (
            IMAGE,
            {"x": np.ones((4, 3, 9, 8))},
            "data must fit the input x float32 (n, 3, 8, 8), got an array (4, 3, 9, 8).",
        ),
        (IMAGE, {"x": np.ones((4, 3, 8))}, "data must fit the input x float32 (n, 3, 8, 8), got an array (4, 3, 8)."),
        (IMAGE, {"x": np.ones((0, 3, 8, 8))}, "data must hold at least one row for the input x float32 (n, 3, 8, 8)"),
        (IMAGE, {"a": np.ones(2), "b": np.ones(2)}, "data must hold an array 'x' for the input x float32"),
        (TOKENS, {"ids": np.ones((4, 2))}, "data must hold an array 'mask' for the input mask bool (n, length)"),
        (
            TOKENS,
            {"ids": np.ones((4, 2)), "mask": np.ones((4, 2), bool)},
            "data must hold int64 for the input ids int64 (n, length), got float64.",
        ),
        (
            TOKENS,
            {"ids": np.ones((4, 2), np.int64), "mask": np.ones((3, 2), bool)},
            "data must hold as many rows for every input, got [3, 4].",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_expected_and_got(signature, arrays, message) -> None:
    with pytest.raises(DataError) as error:
        from_arrays(arrays, signature, "data", batch=None)
    assert error.value.message.startswith(message)


def test_rows_are_read_from_npy_npz_and_tables_of_numbers(tmp_path: Path) -> None:
    table = Signature((Port("x", "float32", ("n", 2)),))
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "rows.npz", x=rows)
    (tmp_path / "rows.csv").write_text("a,b,label\n0,1,yes\n2,3,no\n4,5,no\n6,7,yes\n", encoding="utf-8")
    for name in ("rows.npy", "rows.npz", "rows.csv"):
        assert np.array_equal(from_file(tmp_path / name, table, batch=None).rows, rows)


@pytest.mark.parametrize("content", [b"no array", b"\x93NUMPY\x01\x00", b"\x80\x04K\x01."])
def test_a_file_that_is_no_array_is_refused(tmp_path: Path, content) -> None:
    path = tmp_path / "rows.npy"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        from_file(path, FIXED, batch=None)
    assert error.value.message == f"{path} is no array of numbers, or is cut short; write it anew."
