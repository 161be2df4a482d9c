import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import InputError
from steelyard.statistics import trinomial
from steelyard.statistics.trinomial import p_value, score, upper_limit

ALPHA = 0.05


@st.composite
def tables(draw, largest=60):
    n = draw(st.integers(1, largest))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


drops = st.one_of(st.just(0.0), st.floats(1e-4, 0.6))


def tango_by_search(b, c, n, epsilon):
    """The score statistic with its restricted estimate found by maximising the likelihood on a fine grid."""
    q = np.linspace(0, (1 - epsilon) / 2, 200_001)[1:-1]
    log = b * np.log(q + epsilon) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - epsilon)
    best = q[np.argmax(log)]
    return (b - c - n * epsilon) / math.sqrt(n * (2 * best + epsilon * (1 - epsilon)))


def p_by_enumeration(b, c, n, epsilon):
    """Every outcome, every nuisance of a fine grid in the confidence set, with scipy's own multinomial."""
    outcomes = [(i, j) for i in range(n + 1) for j in range(n + 1 - i)]
    extreme = np.array([float(score(i, j, n, epsilon)) <= float(score(b, c, n, epsilon)) + 1e-10 for i, j in outcomes])
    cells = np.array([(i, j, n - i - j) for i, j in outcomes])
    interval = stats.binomtest(c, n).proportion_ci(1 - trinomial.GAMMA)
    edge = (1 - epsilon) / 2
    sums = []
    for q in np.linspace(min(interval.low, edge), min(interval.high, edge), 301):
        probabilities = np.array([q + epsilon, q, max(0.0, 1 - 2 * q - epsilon)])
        sums.append(stats.multinomial.pmf(cells, n, probabilities / probabilities.sum())[extreme].sum())
    return max(sums) + trinomial.GAMMA


@given(tables(300), drops)
def test_score_grows_with_losses_and_falls_with_gains(table, epsilon):
    _, c, n = table
    assert np.all(np.diff(score(np.arange(n - c + 1), c, n, epsilon)) >= -1e-12)
    assert np.all(np.diff(score(c, np.arange(n - c + 1), n, epsilon)) <= 1e-12)


@given(tables(40), drops)
@settings(max_examples=40, deadline=None)
def test_more_losses_are_never_more_evidence(table, epsilon):
    b, c, n = table
    if b + c < n:
        assert p_value(b + 1, c, n, epsilon) >= p_value(b, c, n, epsilon) - 1e-9


@given(tables(), st.floats(1e-3, 0.5), st.floats(1.01, 2))
@settings(max_examples=60, deadline=None)
def test_larger_drops_are_rejected_more_easily(table, epsilon, factor):
    p = p_value(*table, epsilon)
    assert p_value(*table, min(0.99, factor * epsilon)) <= p + 1e-4


@given(tables(), st.sampled_from([0.5, 0.8, 0.95, 0.999]), st.floats(0.01, 3))
@settings(max_examples=60, deadline=None)
def test_upper_limit_lies_below_epsilon_exactly_when_the_test_rejects(table, confidence, factor):
    limit = upper_limit(*table, confidence)
    epsilon = factor * limit
    if 0 < epsilon < 1 and abs(factor - 1) > 1e-3:
        assert (p_value(*table, epsilon) <= 1 - confidence) == (limit < epsilon)


@pytest.mark.parametrize("n", [7, 20, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("epsilon", [0.0, 0.02, 0.1, 0.3])
def test_size_never_exceeds_the_level_wherever_the_hypothesis_holds(n, epsilon):
    outcomes = [(b, c) for b in range(n + 1) for c in range(n + 1 - b) if b - c < n * epsilon]
    rejected = np.array([each for each in outcomes if p_value(*each, n, epsilon) <= ALPHA]).reshape(-1, 2)
    cells = np.column_stack([rejected, n - rejected.sum(axis=1)])
    for drop, q in itertools.product([epsilon, epsilon + 0.01, 0.5], np.linspace(0, (1 - epsilon) / 2, 40)):
        if drop >= epsilon and 2 * q + drop <= 1:
            probabilities = np.array([q + drop, q, max(0.0, 1 - 2 * q - drop)])
            size = stats.multinomial.pmf(cells, n, probabilities / probabilities.sum()).sum() if len(cells) else 0.0
            assert size <= ALPHA + 1e-9


@pytest.mark.parametrize(("b", "c", "n", "epsilon"), [(3, 5, 40, 0.1), (0, 2, 25, 0.02), (10, 1, 300, 0.05)])
def test_score_agrees_with_a_searched_likelihood(b, c, n, epsilon):
    assert float(score(b, c, n, epsilon)) == pytest.approx(tango_by_search(b, c, n, epsilon), rel=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 24])
@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.1, 0.4])
def test_p_value_agrees_with_enumeration(n, epsilon):
    for b, c in {(0, 0), (0, 1), (1, n - 1), (0, n // 2), (n // 4, n // 3)}:
        if b - c < n * epsilon:
            assert p_value(b, c, n, epsilon) == pytest.approx(min(1.0, p_by_enumeration(b, c, n, epsilon)), rel=2e-4)


def test_without_discordance_the_p_value_is_the_chance_of_seeing_none():
    assert p_value(0, 0, 299, 0.01) == pytest.approx(0.99**299 + trinomial.GAMMA, abs=1e-8)


@given(st.integers(1, 2000), st.floats(1e-3, 0.3))
@settings(max_examples=50, deadline=None)
def test_no_sample_claims_more_than_a_loss_without_trace_allows(n, epsilon):
    assert p_value(0, 0, n, epsilon) >= (1 - epsilon) ** n


@pytest.mark.parametrize(("n", "is_proved"), [(298, False), (299, True)])
def test_one_percent_can_be_proved_from_299_rows_on(n, is_proved):
    assert (p_value(0, 0, n, 0.01) <= ALPHA) == is_proved


def test_no_drop_at_all_can_be_proved_only_by_gains():
    assert p_value(0, 0, 1000, 0.0) == 1.0
    assert p_value(0, 30, 1000, 0.0) < 1e-3
    assert upper_limit(0, 30, 1000, 0.95) == 0.0


def test_observed_drop_of_epsilon_is_no_evidence():
    assert p_value(10, 0, 1000, 0.01) == 1.0


def test_nothing_is_rejected_where_every_row_is_lost():
    assert upper_limit(5, 0, 5, 0.95) == 1.0


def test_large_samples_are_finite():
    assert 1e-3 < p_value(10_000, 9_900, 100_000, 0.005) < 4e-3
    assert upper_limit(0, 0, 100_000, 0.95) == pytest.approx(1 - 0.05**1e-5, rel=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: p_value(3, 3, 5, 0.1),
            "'b' and 'c' must be counts of at least 0 with b + c <= n, got 3, 3 and 5.",
        ),
        (lambda: p_value(0, 0, 5, 1.0), "'epsilon' must be at least 0 and below 1, got 1.0."),
        (lambda: upper_limit(0, 0, 5, 1.0), "'confidence' must lie between 0 and 1, got 1.0."),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message
