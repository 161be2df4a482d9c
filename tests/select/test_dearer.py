import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.select.dearer import Measured

settings_of = st.tuples(st.integers(0, 3), st.integers(0, 3))


def measured(settings, costs, forms=None, half=0.0):
    costs = np.asarray(costs, dtype=float).reshape(len(settings), -1)
    forms = np.zeros(len(settings), dtype=int) if forms is None else np.asarray(forms)
    return Measured(np.asarray(settings), forms, costs - half, costs + half)


@given(
    st.lists(settings_of, min_size=1, max_size=12, unique=True),
    settings_of,
    st.tuples(st.floats(0, 2), st.floats(0, 2)),
)
def test_where_costs_rise_with_every_knob_only_what_costs_no_more_is_said_to(found, asked, slopes):
    costs = [[1 + slopes[0] * a + slopes[1] * b] for a, b in found]
    mask = measured(found, costs).no_dearer(np.array(asked), 0)
    true = 1 + slopes[0] * asked[0] + slopes[1] * asked[1]
    assert all(cost <= true + 1e-9 for (cost,), cheaper in zip(costs, mask, strict=True) if cheaper)
    assert all(cheaper for (a, b), cheaper in zip(found, mask, strict=True) if a <= asked[0] and b <= asked[1])


def test_what_is_cheaper_than_a_smaller_one_is_cheaper_too():
    found = measured([(1, 0), (0, 3), (0, 2)], [5.0, 4.0, 3.0])
    # (0, 3) is no smaller than (2, 1) is, but cheaper than (1, 0), which is.
    assert found.no_dearer(np.array((2, 1)), 0).tolist() == [True, True, True]


def test_a_knob_that_made_a_model_cheaper_proves_nothing():
    found = measured([(0, 0), (0, 1), (1, 0)], [5.0, 4.0, 5.5])
    assert found.no_dearer(np.array((1, 1)), 0).tolist() == [False, True, False]
    assert found.no_dearer(np.array((2, 0)), 0).tolist() == [True, True, True]


def test_intervals_that_overlap_are_no_contradiction():
    found = measured([(0, 0), (0, 1)], [5.0, 4.9], half=0.2)
    assert found.no_dearer(np.array((0, 2)), 0).tolist() == [True, True]


def test_every_cost_must_be_no_higher():
    found = measured([(0, 0), (3, 3)], [[5.0, 1.0], [4.0, 2.0]], forms=[0, -1])
    assert found.no_dearer(np.array((1, 1)), 0).tolist() == [True, False]


def test_other_forms_are_compared_by_cost_alone():
    found = measured([(0, 0), (0, 0)], [5.0, 4.0], forms=[0, 1])
    assert found.no_dearer(np.array((1, 1)), 0).tolist() == [True, True]
    assert found.no_dearer(np.array((1, 1)), 1).tolist() == [False, True]
    assert found.no_dearer(np.array((1, 1)), 2).tolist() == [False, False]
