import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.quantity import Quantity

finite = st.floats(allow_nan=False, allow_infinity=False)
units = st.sampled_from(["s", "B", "J", "1/s", "1"])


@st.composite
def quantities(draw):
    low, high = sorted((draw(finite), draw(finite)))
    return Quantity(
        draw(finite),
        draw(units),
        draw(st.sampled_from([low, None])),
        draw(st.sampled_from([high, None])),
        draw(st.none() | st.integers(0, 10**9)),
    )


@given(quantities())
def test_a_quantity_comes_back_from_json(quantity):
    assert Quantity.from_json(json.loads(json.dumps(quantity.to_json(), allow_nan=False))) == quantity


@given(finite, units)
def test_a_count_is_its_own_interval(value, unit):
    quantity = Quantity.exact(value, unit)
    assert (quantity.low, quantity.value, quantity.high, quantity.unit) == (value, value, value, unit)
    assert quantity.n is None


@given(st.sampled_from(["value", "low", "high"]), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_a_figure_that_is_no_number_is_refused(name, figure):
    with pytest.raises(ValueError) as caught:
        Quantity(**{"value": 1.0, name: figure})
    assert str(caught.value) == f"'{name}' must be finite, got {figure!r}."


@given(finite, finite)
def test_an_interval_upside_down_is_refused(one, other):
    if one <= other:
        Quantity(0.0, low=one, high=other)
        return
    with pytest.raises(ValueError) as caught:
        Quantity(0.0, low=one, high=other)
    assert str(caught.value) == f"'low' must be at most 'high', got {one!r} > {other!r}."


def test_a_quantity_can_not_be_changed():
    with pytest.raises(AttributeError):
        Quantity(1.0).value = 2.0
