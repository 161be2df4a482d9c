"""What is kept of axes that are merged and split."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.graph.cutting import Resists, grid, part_of, refold

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def whole_or(picked, axis, size):
    return picked.get(axis, np.arange(size))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), sizes=SIZES)
def test_what_is_kept_is_what_numpy_keeps(data, sizes):
    # Axes merge and split again, in groups that lie together.
    places = sorted(data.draw(st.sets(st.integers(1, len(sizes)), max_size=3)) | {len(sizes)})
    groups = [sizes[start:end] for start, end in zip([0, *places], places, strict=False)]
    merged = tuple(math.prod(group) for group in groups)
    before, after = (tuple(sizes), merged) if data.draw(st.booleans()) else (merged, tuple(sizes))
    order = {axis: data.draw(st.permutations(range(size))) for axis, size in enumerate(sizes)}
    counts = {axis: data.draw(st.integers(1, size)) for axis, size in enumerate(sizes)}
    fine = {axis: np.array(order[axis][: counts[axis]]) for axis in range(len(sizes))}
    picked = fine if before == tuple(sizes) else refold(tuple(sizes), fine, merged)
    kept = np.arange(math.prod(sizes)).reshape(before)[
        np.ix_(*(whole_or(picked, axis, size) for axis, size in enumerate(before)))
    ]
    found = refold(before, picked, after)
    again = np.arange(math.prod(sizes)).reshape(after)[
        np.ix_(*(whole_or(found, axis, size) for axis, size in enumerate(after)))
    ]
    assert kept.ravel().tolist() == again.ravel().tolist()


def test_what_is_no_grid_can_t_be_split():
    with pytest.raises(Resists, match=r"^what is kept of an axis that it splits is no grid$"):
        grid(np.array([0, 1, 5]), (2, 4))
    with pytest.raises(Resists, match=r"^what is kept of an axis that it splits is no grid$"):
        refold((8,), {0: np.array([0, 1, 5, 7])}, (2, 4))


def test_shapes_that_hold_different_numbers_do_not_fit():
    with pytest.raises(Resists, match=r"^its shapes \(6,\) and \(4,\) do not fit$"):
        refold((6,), {}, (4,))


def test_a_part_counts_from_its_own_start():
    index, first = part_of(np.array([0, 3, 4, 7]), 3, 6)
    assert (index.tolist(), first) == ([0, 1], 1)


@pytest.mark.parametrize(
    ("index", "reason"),
    [([0, 1], "nothing is kept of a part that it takes"),
     ([4, 0, 5], "what is kept of a part that it takes does not lie together")],
)  # fmt: skip
def test_a_part_that_is_empty_or_torn_is_refused(index, reason):
    with pytest.raises(Resists) as caught:
        part_of(np.array(index), 3, 6)
    assert str(caught.value) == reason
