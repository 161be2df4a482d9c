"""Series: their axes, their ends, what is fitted on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.tasks.rows import read_rows
from steelyard.tasks.series import encode_series, fit_series, series_array
from steelyard.testing import check_task

KIND = "series-classification"
RNG = np.random.default_rng(0)
Y = np.arange(30) % 2


def fitted(x, lengths=None):
    series = series_array(x, origin="x", lengths=lengths)
    return series, fit_series(series, np.arange(len(series)), origin="x")[0]


@given(st.integers(1, 5), st.integers(6, 12), st.booleans())
def test_either_order_of_axes_gives_the_same_rows(channels, steps, is_ragged):
    x = RNG.normal(size=(8, channels, steps))
    lengths = RNG.integers(steps // 2, steps + 1, 8) if is_ragged else np.full(8, steps)
    lengths[0] = steps
    series, spec = fitted(x, lengths)
    turned, other = fitted(x.transpose(0, 2, 1), lengths)
    np.testing.assert_array_equal(encode_series(spec, series), encode_series(other, turned))
    assert (spec.mean, spec.std, spec.has_padding) == (other.mean, other.std, other.has_padding)
    assert (spec.channels, spec.steps) == (other.channels, other.steps) == (channels, steps)


def test_mean_and_std_are_those_of_the_steps_that_are_there():
    x = np.array([[1.0, 3.0, 99.0, 99.0], [5.0, 7.0, 9.0, 11.0]])
    _, spec = fitted(x, np.array([2, 4]))
    there = np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0])
    np.testing.assert_allclose((spec.mean[0], spec.std[0]), (there.mean(), there.std()))
    assert spec.has_padding


def test_a_constant_channel_is_not_divided_by_zero():
    _, spec = fitted(np.full((3, 2, 6), 4.0))
    assert (spec.mean, spec.std) == ((4.0, 4.0), (1.0, 1.0))
    assert not spec.has_padding


def test_rows_of_unequal_length_end_in_nan_and_longer_ones_are_cut():
    rows = [RNG.normal(size=(2, steps)) for steps in (5, 7, 6)]
    _, spec = fitted(rows)
    encoded = encode_series(spec, [*rows, RNG.normal(size=(2, 9))])
    assert encoded.shape == (4, 2, 7)
    assert np.isnan(encoded).any(axis=1).sum(axis=1).tolist() == [2, 0, 1, 0]


def test_a_file_with_true_lengths_becomes_a_task_and_its_rows_are_predicted(tmp_path):
    x = RNG.normal(size=(30, 3, 10)).astype(np.float32)
    lengths = RNG.integers(4, 11, 30).astype(np.uint8)
    splits = {"train": slice(0, 20), "valid": slice(20, 25), "test": slice(25, 30)}
    arrays = {
        f"{name}_{split}": each[at]
        for split, at in splits.items()
        for name, each in (("x", x), ("len", lengths), ("y", Y))
    }
    np.savez(tmp_path / "vowels.npz", **arrays)
    task = from_data(tmp_path / "vowels.npz", KIND)
    check_task(task)
    assert task.input.has_padding
    assert "series of 10 steps in 3 channels" in [fact.text for fact in task.facts]
    again = encode_series(task.input, read_rows(tmp_path / "vowels.npz", task.input))
    np.testing.assert_array_equal(again, task.test.x)


def test_splits_of_different_lengths_are_filled_up(tmp_path):
    np.savez(
        tmp_path / "waves.npz", x_train=RNG.normal(size=(20, 8)), y_train=Y[:20], x_test=RNG.normal(size=(10, 6)),
        y_test=Y[:10],
    )  # fmt: skip
    task = from_data(tmp_path / "waves.npz", KIND)
    assert task.test.x.shape == (10, 1, 8)
    assert np.isnan(task.test.x[:, :, 6:]).all()


def test_columns_of_a_table_are_steps(tmp_path):
    names = ",".join(f"t{step}" for step in range(6))
    lines = [",".join(f"{value:.3f}" for value in RNG.normal(size=6)) + f",{'ab'[row % 2]}" for row in range(30)]
    (tmp_path / "waves.csv").write_text("\n".join([f"{names},label", *lines]), encoding="utf-8")
    task = from_data(tmp_path / "waves.csv", KIND)
    assert task.train.x.shape[1:] == (1, 6)
    assert encode_series(task.input, read_rows(tmp_path / "waves.csv", task.input)).shape == (30, 1, 6)


def test_series_in_memory_may_have_unequal_lengths():
    task = from_arrays([RNG.normal(size=(2, 5 + row % 3)) for row in range(30)], Y, KIND)
    check_task(task)
    assert task.input.shape == (2, 7)


@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (np.full((3, 5), np.inf), None, "series of x must hold numbers within float32, got infinite or larger ones; "
         "clean or rescale them."),
        (np.zeros((3, 2, 2, 2)), None, "series of x must be numbers (n, steps) or (n, channels, steps), got float64 "
         "(3, 2, 2, 2)."),
        (np.zeros((3, 3)), None, "series of x must have at least 4 steps, got 3; is tabular-classification meant?"),
        (np.zeros((3, 5)), np.array([1, 6, 2]), "lengths of x must be one whole number a row from 1 to 5, got shape "
         "(3,) from 1 to 6."),
        ([np.zeros((2, 5)), np.zeros((3, 6))], None, "series of x must have as many channels in every row, got (2, 5) "
         "and (3, 6)."),
        (["ab", "c"], None, "series of x must be rows of numbers with equal axes, got others."),
    ],
)  # fmt: skip
def test_what_is_no_series_is_refused_in_a_sentence(x, lengths, message):
    with pytest.raises(DataError) as caught:
        fitted(x, lengths)
    assert str(caught.value) == message


def test_other_channels_are_refused():
    _, spec = fitted(np.zeros((3, 2, 6)))
    with pytest.raises(DataError) as caught:
        encode_series(spec, np.zeros((1, 3, 6)))
    assert str(caught.value) == "'x' must have shape (n, 2, steps), got (1, 3, 6); reshape the series."
