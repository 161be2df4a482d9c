"""Arrays of few values through the coder."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.task import Array
from steelyard.graph.codes import Alphabet, Layout, book_of, code_array, code_cells
from steelyard.graph.rangecoder import BitReader, BitWriter


def through(array: Array, layout: Layout) -> tuple[Array, int]:
    """An array written and read back, and the bytes it took."""
    writer = BitWriter()
    code_array(writer, array.copy(), layout)
    data = writer.finish()
    back = np.zeros_like(array)
    code_array(BitReader(data), back, Layout())
    return back, len(data)


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    st.integers(0, 2**32 - 1),
    st.builds(Layout, st.booleans(), st.integers(0, 12), st.integers(0, 40)),
)
def test_every_layout_brings_the_same_array_back(shape: tuple[int, ...], seed: int, layout: Layout) -> None:
    array = np.random.default_rng(seed).choice([0, 0, 0, 1, 2, 7], shape).astype(np.float32).view(np.uint32)
    assert np.array_equal(through(array, layout)[0], array)


def test_neighbours_a_row_up_make_pictures_cheaper() -> None:
    draw = np.random.default_rng(0)
    pictures = np.zeros((60, 16, 16), np.float32)
    for each in pictures:
        top, left = draw.integers(0, 10, 2)
        each[top : top + 6, left : left + 6] = 1
    array = pictures.reshape(60, 256).view(np.uint32)
    assert through(array, Layout(False, 16, 0))[1] < 0.8 * through(array, Layout())[1]


@pytest.mark.parametrize(
    ("values", "bits"),
    [([0.25, -0.5, 0.75], 16), ([0.1, -0.3000001], 64), ([1.0, 3.140625], 32), ([1e-40, 2e-40], 64)],
)
def test_codebooks_take_as_few_bits_as_their_values_allow(values: list[float], bits: int) -> None:
    array = np.array(values, np.float32).view(np.uint32)
    back, size = through(array, Layout())
    assert np.array_equal(back, array)
    assert size <= (bits + 7) // 8 + 6


def test_the_codebook_leaves_zero_out_and_puts_positives_first() -> None:
    book = book_of(np.array([0.0, -1.0, 2.0, -0.0, 1.0], np.float32).view(np.uint32))
    assert book.patterns.view(np.float32).tolist() == [0.0, 1.0, 2.0, -0.0, -1.0]
    assert book.positives == 2


def test_an_index_outside_of_its_codebook_is_refused() -> None:
    writer = BitWriter()
    code_cells(writer, np.array([[4, 4, 4, 4]]), Alphabet(4, 0), Layout())
    with pytest.raises(ValueError, match="an index lies outside its codebook"):
        code_cells(BitReader(writer.finish()), np.array([[1, 1, 1, 1]]) * 0, Alphabet(3, 0), Layout())
