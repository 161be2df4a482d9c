import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as oracle

from steelyard.core.errors import DataError, InputError
from steelyard.core.protocols import Metric
from steelyard.tasks.metrics import DEFAULT_METRICS, METRICS, OwnMetric, metrics_of, more_metrics_of

CLASSIFYING = ["accuracy", "f1", "auc", "agreement", "precision", "recall", "top_5"]


@st.composite
def scored(draw, classes=None):
    width = classes or draw(st.integers(2, 5))
    n = draw(st.integers(1, 40))
    whole = st.integers(-8, 8).map(lambda value: value / 4)
    outputs = draw(hnp.arrays(np.float64, (n, width), elements=whole))
    targets = draw(hnp.arrays(np.int64, (n,), elements=st.integers(0, width - 1)))
    return outputs, targets


@given(scored())
def test_classification_metrics_lie_in_the_unit_range(case):
    for name in CLASSIFYING:
        assert 0 <= METRICS[name](*case) <= 1


@given(scored(), st.integers(0, 100))
def test_the_order_of_rows_changes_nothing(case, seed):
    outputs, targets = case
    order = np.random.default_rng(seed).permutation(len(targets))
    for name in CLASSIFYING:
        assert METRICS[name](outputs[order], targets[order]) == pytest.approx(METRICS[name](outputs, targets))


@given(scored())
def test_accuracy_and_f1_equal_scikit_learn(case):
    outputs, targets = case
    predicted = outputs.argmax(axis=1)
    assert METRICS["accuracy"](outputs, targets) == pytest.approx(oracle.accuracy_score(targets, predicted))
    assert METRICS["f1"](outputs, targets) == pytest.approx(oracle.f1_score(targets, predicted, average="macro"))


@given(scored())
def test_precision_and_recall_equal_scikit_learn(case):
    outputs, targets = case
    predicted = outputs.argmax(axis=1)
    for name, other in (("precision", oracle.precision_score), ("recall", oracle.recall_score)):
        expected = other(targets, predicted, average="macro", zero_division=0)
        assert METRICS[name](outputs, targets) == pytest.approx(expected)


@given(scored())
def test_the_loss_equals_scikit_learn_on_scores_and_on_probabilities(case):
    outputs, targets = case
    chances = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    expected = oracle.log_loss(targets, chances, labels=range(outputs.shape[1]))
    assert METRICS["log_loss"](outputs, targets) == pytest.approx(expected)
    assert METRICS["log_loss"](chances, targets) == pytest.approx(expected)


def test_an_error_that_was_certain_is_no_infinite_loss():
    assert METRICS["log_loss"](np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(27.631, abs=1e-3)
    assert METRICS["log_loss"](np.array([[900.0, 0.0]]), np.array([1])) == pytest.approx(27.631, abs=1e-3)


def test_the_true_class_may_be_any_of_the_five_highest():
    outputs = np.array([[6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [np.nan] * 6])
    assert METRICS["top_5"](outputs[:2], np.array([4, 5])) == 0.5
    assert METRICS["top_5"](outputs[:2], np.array([5, 4])) == 0.5
    assert METRICS["top_5"](outputs, np.array([0, 0, 0])) == pytest.approx(2 / 3)


@given(scored(classes=1).map(lambda case: (case[0], case[0][::-1, 0].copy())))
def test_the_mean_absolute_error_equals_scikit_learn(case):
    outputs, targets = case
    assert METRICS["mae"](outputs, targets) == pytest.approx(oracle.mean_absolute_error(targets, outputs[:, 0]))


@given(scored(classes=2))
def test_binary_auc_equals_scikit_learn_on_the_difference_of_the_scores(case):
    outputs, targets = case
    if len(np.unique(targets)) == 2:
        expected = oracle.roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])
        assert METRICS["auc"](outputs, targets) == pytest.approx(expected)


@settings(deadline=None)
@given(scored(classes=4))
def test_multiclass_auc_equals_scikit_learn_one_against_the_rest(case):
    outputs, targets = case
    probabilities = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    probabilities = probabilities.round(6)
    probabilities[:, 3] = 1 - probabilities[:, :3].sum(axis=1)
    if len(np.unique(targets)) == 4:
        expected = oracle.roc_auc_score(targets, probabilities, multi_class="ovr", average="macro")
        assert METRICS["auc"](probabilities, targets) == pytest.approx(expected)


@given(scored(classes=1).map(lambda case: (case[0], case[0][::-1, 0].copy())))
def test_rmse_and_r2_equal_scikit_learn(case):
    outputs, targets = case
    assert METRICS["rmse"](outputs, targets) == pytest.approx(oracle.root_mean_squared_error(targets, outputs[:, 0]))
    if len(targets) > 1 and np.ptp(targets) > 0:
        assert METRICS["r2"](outputs, targets) == pytest.approx(oracle.r2_score(targets, outputs[:, 0]))


@given(scored(classes=3), st.sampled_from([math.nan, math.inf, -math.inf]))
def test_outputs_that_are_no_numbers_give_the_worst_value(case, bad):
    outputs, targets = case
    for name in CLASSIFYING:
        assert METRICS[name](np.full_like(outputs, bad), targets) == 0
    values = np.array(outputs[:, :1])
    values[0] = bad
    assert METRICS["rmse"](values, targets) == math.inf
    assert METRICS["r2"](values, targets) == -math.inf


def test_one_row_without_a_number_counts_as_wrong():
    outputs = np.array([[0.1, 0.9], [0.1, math.nan], [math.inf, 0.0]])
    assert METRICS["accuracy"](outputs, np.array([1, 1, 0])) == pytest.approx(1 / 3)


def test_huge_errors_do_not_overflow():
    assert METRICS["rmse"](np.array([[1e200], [1e200]]), np.zeros(2)) == pytest.approx(1e200)


def test_r2_of_equal_targets_is_one_if_met_and_zero_if_not():
    assert METRICS["r2"](np.ones((3, 1)), np.ones(3)) == 1
    assert METRICS["r2"](np.zeros((3, 1)), np.ones(3)) == 0


def test_auc_of_one_class_says_nothing():
    assert METRICS["auc"](np.eye(2), np.zeros(2, dtype=np.int64)) == 0.5


def test_each_metric_satisfies_the_protocol_and_travels_to_other_processes():
    for name, metric in METRICS.items():
        assert isinstance(metric, Metric)
        assert pickle.loads(pickle.dumps(metric)).name == name  # noqa: S301  made here


def test_proofs_are_those_of_the_design():
    assert {name: metric.proof for name, metric in METRICS.items()} == {
        "accuracy": "trinomial",
        "f1": "bootstrap",
        "auc": "bootstrap",
        "rmse": "mean",
        "r2": "mean",
        "agreement": "disagreement",
        "output_error": "mean",
        "perplexity": "mean",
        "return": "mean",
        "silhouette": "mean",
        **dict.fromkeys(("precision", "recall", "top_5", "log_loss", "mae"), "bootstrap"),
        "bits_per_token": "bootstrap",
        **dict.fromkeys(("adjusted_rand", "davies_bouldin", "calinski_harabasz"), "bootstrap"),
    }


def test_own_metrics_say_which_way_they_point():
    def error(outputs, targets):
        return float(np.abs(outputs[:, 0] - targets).mean())

    error.higher_is_better = False
    own = OwnMetric("mae", error)
    assert isinstance(own, Metric)
    assert not own.higher_is_better
    assert own(np.array([[2.0]]), np.array([1.0])) == 1.0
    assert own(np.array([[math.nan]]), np.array([1.0])) == math.inf


def test_an_own_metric_that_fails_is_named():
    with pytest.raises(InputError) as caught:
        OwnMetric("mine", lambda outputs, targets: "good")(np.zeros((2, 1)), np.zeros(2))
    assert str(caught.value) == (
        "metric 'mine' must give a number for outputs (2, 1) and targets (2,), but failed "
        "(could not convert string to float: 'good'); mend the function."
    )


def test_no_rows_are_refused():
    with pytest.raises(DataError) as caught:
        METRICS["accuracy"](np.zeros((0, 2)), np.zeros(0))
    assert str(caught.value) == (
        "'accuracy' must be computed on as many outputs as targets, at least one, got 0 and 0; "
        "pass the outputs of exactly those rows."
    )


def test_points_of_a_kind_are_given_its_metrics_the_default_first():
    for kind, default in DEFAULT_METRICS.items():
        assert metrics_of(kind)[0] == default
        assert {*metrics_of(kind), *more_metrics_of(kind)} <= set(METRICS)
        assert not set(metrics_of(kind)) & set(more_metrics_of(kind))


def test_output_error_is_the_difference_as_a_share_of_the_references_size():
    wanted = np.array([[3.0, 4.0], [0.0, 5.0]])
    error = METRICS["output_error"]
    assert error(wanted, wanted) == 0
    assert error(1.1 * wanted, wanted) == pytest.approx(0.1)
    assert error(np.full((2, 2), np.nan), wanted) == math.inf
    assert error(np.zeros((2, 2)), np.zeros((2, 2))) == 0
    assert error(np.ones((2, 2)), np.zeros((2, 2))) == math.inf


def test_agreement_takes_the_references_scores_or_its_classes():
    reference = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    other = reference * np.array([[1], [1], [1], [-1]])
    assert METRICS["agreement"](other, reference) == 0.75
    assert METRICS["agreement"](other, reference.argmax(axis=1)) == 0.75


def test_perplexity_of_a_guess_is_the_size_of_the_vocabulary():
    targets = np.array([[0, 3, -1], [2, 1, 0]])
    assert METRICS["perplexity"](np.zeros((2, 3 * 7)), targets) == pytest.approx(7)
    sure = np.full((2, 3, 7), -1e9)
    np.put_along_axis(sure, np.maximum(targets, 0)[..., None], 0.0, axis=2)
    assert METRICS["perplexity"](sure.reshape(2, -1), targets) == pytest.approx(1)
    assert METRICS["perplexity"](np.full((2, 21), np.nan), targets) == math.inf


def test_bits_of_a_guess_among_eight_are_three():
    targets = np.array([[0, 3, -1], [2, 1, 0]])
    assert METRICS["bits_per_token"](np.zeros((2, 3 * 8)), targets) == pytest.approx(3)
    assert METRICS["bits_per_token"](np.full((2, 24), np.nan), targets) == math.inf
