import datetime
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steelyard.core.errors import DataError
from steelyard.core.task import ClassOutput, Column, ImageInput, TableInput, ValueOutput
from steelyard.tasks.preprocess import decode, encode

TABLE = TableInput(
    (Column("age", "number", mean=40.0, std=10.0), Column("city", "category", categories=("Bonn", "Rome")))
)
IMAGES = ImageInput(2, 3, 1, "hw", (0.0,), (1.0,))
EXPECTED = [[30.0, 2.0], [np.nan, 0.0], [41.5, 0.0]]


@given(hnp.arrays(np.float32, (5, 4), elements=st.floats(-1e6, 1e6, width=32)))
def test_numbers_reach_the_graph_unchanged(x):
    spec = TableInput(tuple(Column(name, "number") for name in "abcd"))
    assert np.array_equal(encode(spec, x), x)


@given(st.lists(st.text() | st.none(), min_size=1))
def test_any_text_is_a_code_within_the_categories(values):
    codes = encode(TABLE, {"age": [1] * len(values), "city": values})[:, 1]
    assert set(codes.tolist()) <= {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    "raw",
    [
        {"age": [30, None, 41.5], "city": ["Rome", "?", "Oslo"]},
        {"age": ["30", "NA", " 41.5 "], "city": np.array(["Rome", "", "Oslo"])},
        [{"age": 30, "city": "Rome"}, {"age": None, "city": None}, {"age": 41.5, "city": "Oslo", "more": 1}],
        [[30, "Rome"], [None, None], [41.5, "Oslo"]],
        pl.DataFrame({"city": ["Rome", None, "Oslo"], "age": [30.0, None, 41.5]}),
        np.array([[30, "Rome"], [None, None], [41.5, "Oslo"]], dtype=object),
    ],
    ids=["mapping", "texts", "records", "lists", "polars", "array"],
)
def test_every_form_of_a_table_gives_the_same_rows(raw):
    assert np.array_equal(encode(TABLE, raw), np.array(EXPECTED, dtype=np.float32), equal_nan=True)


def test_a_pandas_frame_is_a_table():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"city": ["Rome", None, "Oslo"], "age": [30, np.nan, 41.5]})
    assert np.array_equal(encode(TABLE, frame), np.array(EXPECTED, dtype=np.float32), equal_nan=True)


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9) | st.none(), st.sampled_from(["Bonn", "Rome", "Oslo", None])), min_size=1)
)
def test_rows_that_are_encoded_stay_as_they_are(rows):
    encoded = encode(TABLE, {"age": [age for age, _ in rows], "city": [city for _, city in rows]})
    assert np.array_equal(encode(TABLE, encoded), encoded, equal_nan=True)


def test_dates_are_days_since_1970():
    spec = TableInput((Column("day", "number"),))
    texts = encode(spec, {"day": ["1970-01-02", "1970-01-01T12:00:00", "1970-01-02T00:00:00+00:00"]})
    assert texts[:, 0].tolist() == [1.0, 0.5, 1.0]
    assert encode(spec, {"day": np.array(["1970-01-03", "NaT"], dtype="datetime64[D]")})[0, 0] == 2.0
    assert encode(spec, {"day": [datetime.date(1970, 1, 5)]})[0, 0] == 4.0


def test_truth_values_and_whole_floats_are_texts_of_one_spelling():
    spec = TableInput((Column("flag", "category", categories=("3", "false", "true")),))
    assert encode(spec, {"flag": [True, "True", "FALSE", 3.0, 3, "3"]})[:, 0].tolist() == [3, 3, 2, 1, 1, 1]


def test_images_of_any_kind_of_number_are_float32():
    for dtype in (np.uint8, np.int64, np.float64, bool):
        encoded = encode(IMAGES, np.ones((4, 2, 3), dtype=dtype))
        assert (encoded.dtype, encoded.shape) == (np.float32, (4, 2, 3))


def test_outputs_become_labels_in_the_users_form():
    scores = np.array([[0.1, 0.9], [0.8, np.nan]])
    assert decode(ClassOutput(("no", "yes")), scores).tolist() == ["yes", "no"]
    assert decode(ClassOutput((3, 7)), scores).tolist() == [7, 3]
    assert decode(ValueOutput(0.0, 1.0), np.array([[1.5], [2.0]])).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("spec", "raw", "message"),
    [
        (
            IMAGES,
            np.zeros((2, 3)),
            "'x' must have shape (n, 2, 3), got (2, 3); resize or reshape the images.",
        ),
        (
            IMAGES,
            np.zeros((1, 2, 3), dtype=complex),
            "'x' must hold numbers, got complex128; pass pixels as integers or floats.",
        ),
        (
            TABLE,
            np.zeros((1, 3)),
            "'x' must have shape (n, 2), the columns age, city, got (1, 3); pass one row for each prediction.",
        ),
        (
            TABLE,
            {"age": [1]},
            "'x' must have a column 'city', got age; add it, empty where it is unknown.",
        ),
        (
            TABLE,
            [{"age": 1, "city": "Rome"}, {"age": 1}],
            "row 2 must have a column 'city'; add it, with null where it is unknown.",
        ),
        (
            TABLE,
            {"age": [1, 2], "city": ["Rome"]},
            "'x' must have columns of one length, got [1, 2]; pass as many values in each.",
        ),
        (
            TABLE,
            {"age": [1, 10**400], "city": ["Rome", "Bonn"]},
            "column 'age' must hold numbers within float32 (up to 3.4e38), got inf in row 2; "
            "rescale the column, or leave the value empty where it is unknown.",
        ),
        (
            TABLE,
            7,
            "'x' must be an array, a data frame, a mapping or a list of mappings, got <class 'int'>.",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(spec, raw, message):
    with pytest.raises(DataError) as caught:
        encode(spec, raw)
    assert str(caught.value) == message


def test_outputs_of_another_width_are_refused():
    with pytest.raises(DataError) as caught:
        decode(ClassOutput(("a", "b")), np.zeros((2, 3)))
    assert str(caught.value) == "'outputs' must have shape (n, 2), got (2, 3); is it another model?"


@pytest.mark.slow
def test_preprocessing_needs_numpy_only():
    heavy = ("torch", "onnx", "onnxruntime", "sklearn", "polars", "pandas", "PIL", "scipy", "optuna")
    code = f"import sys, steelyard.tasks.preprocess; print([m for m in {heavy!r} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
