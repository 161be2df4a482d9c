import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steelyard.core.errors import InputError
from steelyard.select.pareto import hypervolume, knee, non_dominated, normalised

tables = st.integers(1, 3).flatmap(
    lambda m: st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (n, m), elements=st.integers(0, 5)))
)


def dominates(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@given(tables)
def test_front_is_what_no_point_dominates(costs):
    expected = [not any(dominates(other, point) for other in costs) for point in costs]
    assert non_dominated(costs).tolist() == expected


@given(tables)
def test_front_of_the_front_is_the_front(costs):
    assert non_dominated(costs[non_dominated(costs)]).all()


@given(tables)
@settings(deadline=None)
def test_hypervolume_counts_the_unit_cells_dominated(costs):
    corner = np.full(costs.shape[1], 6.0)
    cells = np.stack(np.meshgrid(*[np.arange(6)] * costs.shape[1], indexing="ij"), -1).reshape(-1, costs.shape[1])
    covered = [any(np.all(point <= cell) for point in costs) for cell in cells]
    assert hypervolume(costs, corner) == pytest.approx(sum(covered))


@given(tables, st.integers(0, 7))
@settings(deadline=None)
def test_hypervolume_never_shrinks_with_one_more_point(costs, index):
    corner = np.full(costs.shape[1], 6.0)
    assert hypervolume(costs, corner) >= hypervolume(np.delete(costs, index % len(costs), axis=0), corner) - 1e-12


@given(tables)
def test_knee_is_on_the_front(costs):
    assert non_dominated(costs)[knee(costs)]


def test_identical_points_are_all_kept():
    assert non_dominated(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 2.0]])).tolist() == [True, True, False]


def test_points_with_nan_neither_dominate_nor_stand_on_the_front():
    assert non_dominated(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [False, True]


def test_points_beyond_the_corner_add_no_volume():
    assert hypervolume(np.array([[7.0, 0.0], [np.nan, 1.0]]), np.array([6.0, 6.0])) == 0.0


def test_knee_is_farthest_below_the_line_through_the_ends():
    assert knee(np.array([[0.0, 10.0], [1.0, 2.0], [5.0, 1.0], [10.0, 0.0]])) == 1


def test_equal_columns_scale_to_zero():
    assert normalised(np.array([[3.0, 1.0], [3.0, 2.0]])).tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: non_dominated(np.zeros(3)), "'costs' must be a table of shape (points, columns), got shape (3,)."),
        (lambda: knee(np.array([[np.nan]])), "a knee needs at least one point whose costs are all known, got none."),
    ],
)
def test_bad_tables_are_refused_in_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message
