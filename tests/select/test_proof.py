import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.errors import DataError, InputError
from steelyard.select.proof import prove, prove_quality
from steelyard.statistics import trinomial
from steelyard.tasks.metrics import METRICS

LAW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
ASKED = {"epsilon": 0.02, "relative": False, "confidence": 0.95}


@given(
    table=st.tuples(
        st.integers(0, 500), st.integers(0, 20), st.integers(0, 20), st.sampled_from([0.005, 0.02, 0.1]), st.booleans()
    )
)
@LAW
def test_drop_is_proved_exactly_when_its_limit_is_not_above_epsilon(accuracy, votes, table):
    both, b, c, epsilon, relative = table
    pair = votes(both + 1, b, c, 5)
    proof = prove(accuracy, *pair, epsilon=epsilon, relative=relative, confidence=0.95)
    assert proof.exact
    assert proof.applicable
    assert proof.rejected == (proof.p_value <= 0.05)
    assert (proof.high <= epsilon) if proof.rejected else (proof.high >= epsilon)
    assert proof.high >= max(proof.value, 0) - 1e-9


@given(st.integers(100, 500), st.integers(0, 20), st.integers(0, 20))
@LAW
def test_relative_drop_of_accuracy_is_harder_to_prove_than_the_absolute_one(accuracy, votes, both, b, c):
    pair = votes(both, b, c, 30)
    p = [prove(accuracy, *pair, epsilon=0.03, relative=each, confidence=0.95).p_value for each in (True, False)]
    assert p[0] >= p[1]


@given(st.integers(0, 3))
@LAW
def test_order_of_rows_does_not_matter_to_exact_proofs(accuracy, votes, seed):
    reference, candidate, targets = votes(400, 5, 3, 10)
    order = np.random.default_rng(seed).permutation(len(targets))
    plain = prove(accuracy, reference, candidate, targets, **ASKED)
    assert prove(accuracy, reference[order], candidate[order], targets[order], **ASKED) == plain


def test_accuracy_is_proved_by_the_trinomial_test(accuracy, votes):
    proof = prove(accuracy, *votes(700, 8, 4, 7), **ASKED)
    assert proof.p_value == trinomial.p_value(8, 4, 719, 0.02)
    assert proof.high == pytest.approx(trinomial.upper_limit(8, 4, 719, 0.95), rel=1e-3)
    assert (proof.value, proof.n, proof.rejected) == (pytest.approx(4 / 719), 719, True)


def test_disagreement_is_proved_by_the_binomial_test(agreement, votes):
    proof = prove(agreement, *votes(990, 6, 4), **ASKED)
    assert proof.p_value == pytest.approx(stats.binom.cdf(10, 1000, 0.02))
    assert proof.high == pytest.approx(stats.binomtest(10, 1000, alternative="less").proportion_ci(0.95).high)
    assert (proof.value, proof.rejected, proof.exact) == (0.01, True, True)


@pytest.mark.parametrize("relative", [False, True])
def test_equal_regressors_lose_nothing_and_worse_ones_are_not_proved(rmse, r2, values, relative):
    for metric in (rmse, r2):
        good = prove(metric, *values(2000, 0.3, 0.3), epsilon=0.05, relative=relative, confidence=0.95)
        bad = prove(metric, *values(2000, 0.3, 0.45), epsilon=0.05, relative=relative, confidence=0.95)
        assert good.rejected
        assert not bad.rejected
        assert good.value <= good.high <= 0.05 < bad.high
        assert not good.exact


@pytest.mark.parametrize("relative", [False, True])
def test_limit_of_a_mean_is_near_the_normal_one(rmse, values, relative):
    reference, candidate, targets = values(5000, 0.3, 0.31, seed=3)
    proof = prove(rmse, reference, candidate, targets, epsilon=0.1, relative=relative, confidence=0.95)
    squares = [(each[:, 0] - targets) ** 2 for each in (candidate, reference)]
    root = [np.sqrt(each.mean()) for each in squares]
    if relative:
        influence = squares[0] / (2 * root[0] * root[1]) - root[0] * squares[1] / (2 * root[1] ** 3)
        seen = root[0] / root[1] - 1
    else:
        influence = squares[0] / (2 * root[0]) - squares[1] / (2 * root[1])
        seen = root[0] - root[1]
    error = influence.std() / np.sqrt(5000)
    assert proof.value == pytest.approx(seen)
    assert proof.high == pytest.approx(seen + 1.645 * error, abs=0.25 * error)


def test_perfect_reference_leaves_the_floor_as_room(rmse):
    targets = np.linspace(0, 1, 200)
    reference, noise = targets[:, None], np.random.default_rng(0).normal(0, 1, (200, 1))
    asked = {"epsilon": 0.5, "relative": True, "confidence": 0.95, "floor": 1e-3}
    assert prove(rmse, reference, targets[:, None] + 1e-4 * noise, targets, **asked).rejected
    assert not prove(rmse, reference, targets[:, None] + 1e-3 * noise, targets, **asked).rejected


def test_other_metrics_are_proved_by_a_bootstrap_of_the_drop(balanced, votes):
    good = prove(balanced, *votes(980, 6, 4, 10), **ASKED)
    bad = prove(balanced, *votes(980, 30, 4, 10), **ASKED)
    assert (good.rejected, bad.rejected) == (True, False)
    assert (good.method, good.exact, good.n) == ("BCa bootstrap", False, 1000)
    assert 0 < good.high < 0.02 < bad.high


def test_no_difference_on_few_rows_proves_nothing_by_resampling_either(accuracy, balanced, votes):
    pair = votes(500, 0, 0, 20)
    assert not prove(balanced, *pair, epsilon=0.004, relative=False, confidence=0.95).rejected
    groups = np.arange(520) // 4
    proof = prove(accuracy, *pair, epsilon=0.02, relative=False, confidence=0.95, groups=groups)
    assert (proof.rejected, proof.n) == (False, 130)
    assert proof.p_value == pytest.approx(0.98**130)


def test_groups_of_one_row_say_nearly_the_same_as_rows(accuracy, agreement, votes):
    pair = votes(1900, 30, 20, 50)
    groups = np.random.default_rng(9).permutation(2000)
    for metric in (accuracy, agreement):
        alone = prove(metric, *pair, epsilon=0.03, relative=False, confidence=0.95)
        grouped = prove(metric, *pair, epsilon=0.03, relative=False, confidence=0.95, groups=groups)
        assert grouped.high == pytest.approx(alone.high, abs=0.001)
        assert not grouped.exact


def test_copies_of_a_row_are_no_evidence(accuracy, values, rmse, votes):
    reference, candidate, targets = (np.repeat(each, 5, axis=0) for each in votes(480, 8, 4, 8))
    groups = np.repeat(np.arange(500), 5)
    once = prove(accuracy, *votes(480, 8, 4, 8), **ASKED, groups=np.arange(500))
    copied = prove(accuracy, reference, candidate, targets, **ASKED, groups=groups)
    assert copied.p_value == pytest.approx(once.p_value, abs=0.01)
    assert copied.n == 500


def test_too_few_rows_can_only_estimate(rmse, balanced, accuracy, votes, values):
    few = "independent rows or groups"
    mean = f"a studentised bootstrap needs at least 100 {few}, got"
    cases = (
        (rmse, values(99, 0.1, 0.1), None, f"{mean} 99."),
        (accuracy, votes(400, 0, 0), np.arange(400) % 50, f"{mean} 50."),
        (
            balanced,
            votes(400, 0, 0),
            None,
            f"a BCa bootstrap needs at least 500 {few}, 100 of them of the rarest class, got 400 and 200.",
        ),
    )
    for metric, rows, groups, why in cases:
        proof = prove(metric, *rows, **ASKED, groups=groups)
        assert (proof.applicable, proof.rejected, proof.high, proof.p_value) == (False, False, None, 1.0)
        assert proof.why == why


def test_candidate_without_numbers_is_never_proved(rmse, values):
    reference, candidate, targets = values(500, 0.1, 0.1)
    proof = prove(rmse, reference, candidate * np.nan, targets, **ASKED)
    assert (proof.value, proof.high, proof.rejected) == (None, None, False)
    assert proof.why == "nothing can be proved, because the outputs give no finite rmse."


def test_equal_seeds_give_equal_proofs(balanced, votes):
    first, second = (prove(balanced, *votes(980, 6, 4, 10), **ASKED, seed=5) for _ in range(2))
    assert first == second


def test_quality_of_accuracy_is_proved_by_the_binomial_test(accuracy, votes):
    outputs, _, targets = votes(960, 0, 0, 40)
    proof = prove_quality(accuracy, outputs, targets, at_least=0.945, confidence=0.95)
    assert proof.p_value == pytest.approx(stats.binom.sf(959, 1000, 0.945))
    assert (proof.rejected, proof.value, proof.exact) == (True, 0.96, True)
    assert proof.high == pytest.approx(stats.binomtest(960, 1000, alternative="greater").proportion_ci(0.95).low)
    assert not prove_quality(accuracy, outputs, targets, at_least=0.96, confidence=0.95).rejected


def test_quality_where_lower_is_better_has_an_upper_limit(rmse, values):
    outputs, _, targets = values(3000, 0.3, 0.3)
    proof = prove_quality(rmse, outputs, targets, at_least=0.32, confidence=0.95)
    assert proof.rejected
    assert proof.value < proof.high < 0.32
    assert not prove_quality(rmse, outputs, targets, at_least=proof.value, confidence=0.95).rejected


def test_quality_where_higher_is_better_has_a_lower_limit(r2, balanced, values, votes):
    outputs, _, targets = values(3000, 0.3, 0.3)
    proof = prove_quality(r2, outputs, targets, at_least=0.85, confidence=0.95)
    assert proof.rejected
    assert 0.85 < proof.high < proof.value
    outputs, _, targets = votes(960, 0, 0, 40)
    proof = prove_quality(balanced, outputs, targets, at_least=0.94, confidence=0.95)
    assert proof.rejected
    assert 0.94 < proof.high < proof.value


def test_flawless_groups_prove_no_more_than_their_number(accuracy, votes):
    outputs, _, targets = votes(400, 0, 0)
    proof = prove_quality(accuracy, outputs, targets, at_least=0.99, confidence=0.95, groups=np.arange(400) // 2)
    assert (proof.rejected, proof.n) == (False, 200)
    assert proof.p_value == pytest.approx(0.99**200)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"epsilon": -0.1}, InputError, "'epsilon' must be a finite number of at least 0, got -0.1."),
        ({"confidence": 1.0}, InputError, "'confidence' must lie between 0 and 1, got 1.0."),
        ({"targets": 3}, DataError, "outputs and targets must be of one length of at least 1, got 10, 10, 3."),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(accuracy, votes, asked, error, message):
    reference, candidate, targets = votes(10, 0, 0)
    targets = targets[: asked.pop("targets", 10)]
    with pytest.raises(error) as caught:
        prove(accuracy, reference, candidate, targets, **{**ASKED, **asked})
    assert str(caught.value) == message


def test_a_drop_of_perplexity_is_proved_in_blocks_of_tokens():
    random = np.random.default_rng(0)
    targets = random.integers(0, 5, size=(3000, 64))
    scores = random.normal(size=(3000, 64, 5)) + 2 * (targets[..., None] == np.arange(5))
    worse = scores - 0.001 * random.normal(size=scores.shape)
    proof = prove(METRICS["perplexity"], scores, worse, targets, epsilon=0.02, relative=True, confidence=0.95)
    assert proof.rejected
    assert proof.n == 3000 // 16
    much = prove(METRICS["perplexity"], scores, -scores, targets, epsilon=0.02, relative=True, confidence=0.95)
    assert not much.rejected
    few = prove(
        METRICS["perplexity"], scores[:99], worse[:99], targets[:99], epsilon=0.02, relative=True, confidence=0.95
    )
    assert not few.applicable


def test_an_output_error_is_proved_against_its_bound():
    wanted = np.random.default_rng(0).normal(size=(400, 3))
    near, far = wanted * 1.005, wanted * 1.05
    asked = {"epsilon": 0.01, "relative": False, "confidence": 0.95}
    assert prove(METRICS["output_error"], wanted, near, wanted, **asked).rejected
    assert not prove(METRICS["output_error"], wanted, far, wanted, **asked).rejected


def test_several_decisions_a_row_disagree_where_one_does():
    wanted = np.random.default_rng(0).normal(size=(500, 4, 3))
    other = wanted.copy()
    other[:10, 2] *= -1
    proof = prove(METRICS["agreement"], wanted, other, wanted, epsilon=0.05, relative=False, confidence=0.95)
    assert proof.value == pytest.approx(0.02)
    assert proof.rejected


def test_a_drop_of_return_is_the_mean_loss_an_episode():
    """Returns in place of outputs; the oracle is the t-test of the same differences."""
    metric, rng = METRICS["return"], np.random.default_rng(3)
    reference = rng.normal(100, 10, 400)
    candidate = reference - rng.normal(1, 2, 400)
    arguments = (metric, reference[:, None], candidate[:, None], np.zeros((400, 1), dtype=np.int64))
    for epsilon, relative, shift in ((0.02, True, 0.02 * reference), (2.0, False, np.full(400, 2.0))):
        proof = prove(*arguments, epsilon=epsilon, relative=relative, confidence=0.95)
        assert proof.rejected
        assert proof.method == "studentised bootstrap"
        assert proof.value == pytest.approx(np.mean(reference - candidate) / (reference.mean() if relative else 1))
        differences = reference - candidate - shift
        assert stats.ttest_1samp(differences, 0, alternative="less").pvalue < 0.05
        assert not prove(*arguments, epsilon=epsilon / 2.5, relative=relative, confidence=0.95).rejected


def test_a_negative_return_is_a_share_of_its_size():
    metric = METRICS["return"]
    reference = np.linspace(-120.0, -100.0, 200)[:, None]
    seeds = np.arange(200)[:, None]
    proof = prove(metric, reference, reference * 1.03, seeds, epsilon=0.05, relative=True, confidence=0.95)
    assert (proof.rejected, proof.value) == (True, pytest.approx(0.03))
    assert not prove(metric, reference, reference * 1.06, seeds, epsilon=0.05, relative=True, confidence=0.95).rejected


def test_a_least_return_is_proved():
    returns = np.random.default_rng(0).normal(10, 1, 200)[:, None]
    arguments = (METRICS["return"], returns, np.zeros((200, 1)))
    assert prove_quality(*arguments, at_least=9.5, confidence=0.95).rejected
    assert not prove_quality(*arguments, at_least=10.0, confidence=0.95).rejected
