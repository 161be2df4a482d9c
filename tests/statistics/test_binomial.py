import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import InputError
from steelyard.statistics import binomial


@st.composite
def counts(draw):
    n = draw(st.integers(1, 500))
    return draw(st.integers(0, n)), n


confidences = st.floats(0.5, 0.999)


@given(counts(), confidences)
def test_limits_agree_with_scipys_exact_interval(count, confidence):
    k, n = count
    assert binomial.lower(k, n, confidence) == pytest.approx(
        stats.binomtest(k, n, alternative="greater").proportion_ci(confidence).low, abs=1e-9
    )
    assert binomial.upper(k, n, confidence) == pytest.approx(
        stats.binomtest(k, n, alternative="less").proportion_ci(confidence).high, abs=1e-9
    )
    both = stats.binomtest(k, n).proportion_ci(confidence)
    assert binomial.two_sided(k, n, confidence) == pytest.approx((both.low, both.high), abs=1e-9)


@given(counts(), st.floats(0, 1))
def test_p_values_agree_with_scipys_exact_test(count, proportion):
    k, n = count
    greater = stats.binomtest(k, n, proportion, alternative="greater").pvalue
    less = stats.binomtest(k, n, proportion, alternative="less").pvalue
    assert binomial.p_at_least(k, n, proportion) == pytest.approx(greater, abs=1e-9)
    assert binomial.p_at_most(k, n, proportion) == pytest.approx(less, abs=1e-9)


@given(counts(), confidences)
def test_limits_are_where_the_test_turns(count, confidence):
    k, n = count
    limit = binomial.lower(k, n, confidence)
    if k > 0:
        assert binomial.p_at_least(k, n, limit) == pytest.approx(1 - confidence, rel=1e-6)


def test_limits_reach_the_ends():
    assert binomial.lower(0, 9, 0.95) == 0.0
    assert binomial.upper(9, 9, 0.95) == 1.0
    assert binomial.two_sided(0, 9)[0] == 0.0
    assert binomial.two_sided(9, 9)[1] == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binomial.lower(3, 2, 0.95), "'k' must be a count from 0 to n, and n at least 1, got 3 and 2."),
        (lambda: binomial.upper(1, 2, 0.0), "'confidence' must lie between 0 and 1, got 0.0."),
        (lambda: binomial.two_sided(-1, 2), "'k' must be a count from 0 to n, and n at least 1, got -1 and 2."),
        (lambda: binomial.p_at_least(1, 2, 1.5), "'proportion' must lie in [0, 1], got 1.5."),
        (lambda: binomial.p_at_most(1, 2, -0.5), "'proportion' must lie in [0, 1], got -0.5."),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message
