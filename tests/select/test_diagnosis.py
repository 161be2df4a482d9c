import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.core.quantity import Quantity
from steelyard.select.diagnosis import diagnose

LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
shares = st.floats(0.1, 0.9)


def around(value, half=0.02):
    return Quantity(value, "1", value - half, value + half, 500)


@given(shares, shares, shares)
@LAW
def test_differences_within_chance_are_balanced(accuracy, train, valid, best):
    wide = Quantity(train, "1", train - 2, train + 2), Quantity(valid, "1", valid - 2, valid + 2)
    assert diagnose(*wide, best, accuracy).verdict == "balanced"


@given(shares, shares, shares)
@LAW
def test_turning_the_metric_around_turns_nothing(accuracy, rmse, train, valid, best):
    lower = type(rmse)("error", "mean", higher_is_better=False)
    plain = diagnose(around(train), around(valid), best, accuracy)
    mirrored = diagnose(around(1 - train), around(1 - valid), 1 - best, lower)
    if abs(abs(plain.gap) - 0.0283) > 1e-3 and abs(abs(best - train) - 0.02) > 1e-3:
        assert mirrored.verdict == plain.verdict


def test_wide_gap_is_over_fitting(accuracy):
    found = diagnose(around(0.99), around(0.90), 0.92, accuracy)
    assert (found.verdict, found.gap) == ("over-fits", pytest.approx(0.09))
    assert found.sentence == (
        "Over-fits: accuracy is 0.99 on training and 0.9 on validation rows, a gap of 0.09, more than chance."
    )


def test_poor_on_its_own_training_rows_is_under_fitting(accuracy):
    found = diagnose(around(0.80), around(0.79), 0.95, accuracy)
    assert found.verdict == "under-fits"
    assert found.sentence == (
        "Under-fits: accuracy is 0.8 on training and 0.79 on validation rows, a gap of 0.01; "
        "the best model reaches 0.95."
    )


def test_larger_of_both_decides(accuracy):
    assert diagnose(around(0.80), around(0.50), 0.95, accuracy).verdict == "over-fits"
    assert diagnose(around(0.60), around(0.55), 0.95, accuracy).verdict == "under-fits"


def test_sure_but_small_gap_is_balanced(accuracy, rmse):
    assert diagnose(Quantity.exact(0.955), Quantity.exact(0.95), 0.95, accuracy).verdict == "balanced"
    found = diagnose(Quantity.exact(10.0), Quantity.exact(10.4), 10.4, rmse)
    assert found.sentence == "Balanced: rmse is 10 on training and 10.4 on validation rows, a gap of 0.4."
