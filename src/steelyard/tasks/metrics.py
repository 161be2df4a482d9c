"""Figures of quality by name: those that every point is given, and those for who asks for them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from steelyard.core.errors import DataError, InputError
from steelyard.core.protocols import ProofMethod
from steelyard.core.quantity import Unit
from steelyard.core.task import Array, TaskKind
from steelyard.statistics.likelihood import log_softmax, token_losses
from steelyard.statistics.partitions import adjusted_rand, row_silhouettes
from steelyard.tasks.scoring import log_loss, mae, precision_of, recall_of, top_5

_MOST_NATS = 700.0
"""A mean loss beyond it has no finite exponential."""


@final
@dataclass(frozen=True, slots=True)
class QualityMetric:
    """A metric by name: `compute` takes outputs (n, width) and targets (n,), both with at least one row.

    `worst` is what outputs that are no numbers end in. It is infinite where the metric has no bound.
    """

    name: str
    compute: Callable[[Array, Array], float]
    higher_is_better: bool
    in_unit_range: bool
    proof: ProofMethod
    worst: float
    unit: Unit = "1"

    def __call__(self, outputs: Array, targets: Array) -> float:
        """The figure for outputs (n, width) and targets (n,).

        Raises:
            DataError: if there are no rows, or the lengths differ.
        """
        scores = np.asarray(outputs, dtype=np.float64)
        scores = scores.reshape(len(scores), -1) if len(scores) else scores.reshape(0, 1)
        if len(scores) != len(targets) or not len(targets):
            raise DataError(
                f"'{self.name}' must be computed on as many outputs as targets, at least one, "
                f"got {len(scores)} and {len(targets)}; pass the outputs of exactly those rows."
            )
        value = self.compute(scores, np.asarray(targets))
        return value if math.isfinite(value) else self.worst


@final
@dataclass(frozen=True, slots=True)
class OwnMetric:
    """The user's own figure: `function` takes outputs (n, width) and targets (n,) and gives a number.

    Attributes `higher_is_better` (True unless given) and `in_unit_range` (False unless given) set on the function
    say which way it points and whether it lies in [0, 1].
    """

    name: str
    function: Callable[[Array, Array], float]

    @property
    def unit(self) -> Unit:
        """Pure number."""
        return "1"

    @property
    def higher_is_better(self) -> bool:
        """As the function's attribute of that name says."""
        return bool(getattr(self.function, "higher_is_better", True))

    @property
    def in_unit_range(self) -> bool:
        """As the function's attribute of that name says."""
        return bool(getattr(self.function, "in_unit_range", False))

    @property
    def proof(self) -> ProofMethod:
        """Nothing is known of it, so its drop is proved by the bootstrap."""
        return "bootstrap"

    def __call__(self, outputs: Array, targets: Array) -> float:
        """The function's figure; the worst there is for NaN.

        Raises:
            InputError: if the function gives no number.
        """
        try:
            value = float(self.function(outputs, targets))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"metric {self.name!r} must give a number for outputs {np.shape(outputs)} and targets "
                f"{np.shape(targets)}, but failed ({error}); mend the function.",
                field="metric",
            ) from error
        if math.isnan(value):
            return -math.inf if self.higher_is_better else math.inf
        return value


def predicted_classes(outputs: Array) -> Array:
    """The class of the highest score per row, -1 (which is no class) for rows with a score that is no number.

    Args:
        outputs: scores (n, classes).
    """
    return np.where(np.isfinite(outputs).all(axis=1), np.argmax(outputs, axis=1), -1)


def accuracy(outputs: Array, targets: Array) -> float:
    """The share of rows whose highest score is at the true class. Rows with a score that is no number are wrong."""
    return float(np.mean(predicted_classes(outputs) == targets))


def f1(outputs: Array, targets: Array) -> float:
    """Macro F1: the plain mean over classes of the harmonic mean of precision and recall.

    Averaged over the classes that occur in the targets or the predictions; a class never hit counts 0.

    References:
        van Rijsbergen, "Information Retrieval", 2nd ed., Butterworths, 1979.
    """
    predicted = predicted_classes(outputs)
    classes = max(outputs.shape[1], int(targets.max()) + 1)
    actual = np.bincount(targets, minlength=classes)
    named = np.bincount(predicted[predicted >= 0], minlength=classes)
    hits = np.bincount(targets[predicted == targets], minlength=classes)
    occurs = actual + named > 0
    return float(np.mean(2 * hits[occurs] / (actual + named)[occurs]))


def precision(outputs: Array, targets: Array) -> float:
    """Macro precision of the highest scores (`steelyard.tasks.scoring.precision_of`)."""
    return precision_of(predicted_classes(outputs), targets, outputs.shape[1])


def recall(outputs: Array, targets: Array) -> float:
    """Macro recall of the highest scores (`steelyard.tasks.scoring.recall_of`)."""
    return recall_of(predicted_classes(outputs), targets, outputs.shape[1])


def auc(outputs: Array, targets: Array) -> float:
    """Area under the ROC curve: two classes, or the plain mean over classes of one against the rest.

    Rows are ranked by the probability of the class: outputs that are no probabilities go through softmax. Classes
    that the targets lack, or that are all there is, are left out; 0.5 if none is left. One score that is no number
    makes it 0. O(classes × n log n).

    References:
        Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology, 1982.
    """
    if not np.isfinite(outputs).all():
        return 0.0
    ranked = _class_scores(outputs)
    areas = [
        _area(ranked[:, each], targets == each)
        for each in (range(ranked.shape[1]) if ranked.shape[1] != 2 else (1,))
        if 0 < np.count_nonzero(targets == each) < len(targets)
    ]
    return float(np.mean(areas)) if areas else 0.5


def _class_scores(outputs: Array) -> Array:
    """Scores that order rows as their class probabilities do, without the ties that rounding would make."""
    if outputs.shape[1] == 2:
        return outputs - outputs[:, ::-1]
    is_probability = outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-4)
    if is_probability:
        return outputs
    return log_softmax(outputs)


def _area(scores: Array, positive: Array) -> float:
    """The Mann-Whitney form of the area under the ROC curve; ties count one half."""
    ones = int(np.count_nonzero(positive))
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks; scipy.stats would do it for a third of a second of imports.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(scores) - ones)))


def rmse(outputs: Array, targets: Array) -> float:
    """Root of the mean squared error, in the target's own unit. Infinite if an output is no number."""
    errors = outputs[:, 0] - targets.astype(np.float64)
    largest = float(np.max(np.abs(errors)))
    if not math.isfinite(largest) or largest == 0:
        return largest if largest == 0 else math.inf
    return largest * float(np.sqrt(np.mean(np.square(errors / largest))))


def r2(outputs: Array, targets: Array) -> float:
    """The share of the targets' variance that is explained: 1 − squared error / squared deviation from the mean.

    At most 1 and below 0 where the mean of the targets does better. Targets that are all equal give 1 if met
    exactly, else 0.
    """
    deviation = float(np.sqrt(np.mean(np.square(targets.astype(np.float64) - np.mean(targets, dtype=np.float64)))))
    error = rmse(outputs, targets)
    if deviation == 0:
        return 1.0 if error == 0 else 0.0 if math.isfinite(error) else -math.inf
    ratio = error / deviation
    return 1.0 - ratio * ratio


def agreement(outputs: Array, targets: Array) -> float:
    """The share of rows decided as the reference decides them.

    Args:
        outputs: scores (n, classes), or (n, k · classes) of k decisions a row, all of which must agree.
        targets: the classes that the reference names (n,), or its scores (n, classes) or (n, ..., classes).
    """
    if targets.ndim > 2:
        wanted, got = targets.argmax(axis=-1), outputs.reshape(targets.shape).argmax(axis=-1)
        is_number = np.isfinite(outputs).all(axis=1)
        return float(np.mean((wanted == got).reshape(len(got), -1).all(axis=1) & is_number))
    return accuracy(outputs, predicted_classes(targets) if targets.ndim > 1 else targets)


def output_error(outputs: Array, targets: Array) -> float:
    """Root mean squared difference from the reference's outputs (n, width), as a share of their root mean square.

    0 where both are 0 throughout, infinite where only the reference is or an output is no number.
    """
    size = float(np.sqrt(np.mean(np.square(targets, dtype=np.float64))))
    apart = float(np.sqrt(np.mean(np.square(outputs - targets.reshape(outputs.shape), dtype=np.float64))))
    if not math.isfinite(apart):
        return math.inf
    return apart / size if size > 0 else (math.inf if apart > 0 else 0.0)


def perplexity(outputs: Array, targets: Array) -> float:
    """The exponential of the mean negative log-likelihood of the next tokens.

    Args:
        outputs: scores (n, tokens · vocabulary).
        targets: the next token of each (n, tokens); −1 where none is asked for.

    References:
        Jelinek, Mercer, Bahl, Baker: Perplexity, a measure of the difficulty of speech recognition tasks, Journal of
        the Acoustical Society of America, 1977.
    """
    sums, counts = token_losses(outputs, targets)
    mean = float(sums.sum() / max(1, counts.sum()))
    return math.exp(mean) if math.isfinite(mean) and mean < _MOST_NATS else math.inf


def bits_per_token(outputs: Array, targets: Array) -> float:
    """The mean negative log-likelihood of the next tokens in bits: the logarithm of the perplexity to base 2.

    Args:
        outputs: scores (n, tokens · vocabulary).
        targets: the next token of each (n, tokens); −1 where none is asked for.
    """
    return math.log2(max(1.0, perplexity(outputs, targets)))


def mean_return(outputs: Array, targets: Array) -> float:
    """The mean of the returns (n, 1) that were earned in n episodes."""
    del targets
    return float(np.mean(outputs[:, 0]))


def rand_index(outputs: Array, targets: Array) -> float:
    """How a file's clusters agree with those found of the rows: the adjusted Rand index, over rows in clusters.

    Args:
        outputs: (n, clusters), the highest is the row's cluster.
        targets: (n, 1 + features), of which the first is the number of the cluster found, −1 for none.
    """
    inside = targets[:, 0] >= 0
    if not inside.any():
        return 0.0
    return adjusted_rand(predicted_classes(outputs)[inside] + 1, targets[inside, 0].astype(np.int64))


def silhouette(outputs: Array, targets: Array) -> float:
    """The mean silhouette of the rows in a file's clusters; 0 where it puts all into one.

    It compares clusterings of one algorithm at best: it prefers round clusters, whatever the rows look like.
    """
    return float(row_silhouettes(targets[:, 1:].astype(np.float64), predicted_classes(outputs)).mean())


def davies_bouldin(outputs: Array, targets: Array) -> float:
    """How wide clusters are against how far apart, the mean over clusters of the worst pair; infinite for one cluster.

    References:
        D. L. Davies, D. W. Bouldin, A cluster separation measure, IEEE TPAMI, 1979.
    """
    from sklearn.metrics import davies_bouldin_score  # noqa: PLC0415  takes a second to import

    labels = predicted_classes(outputs)
    return float(davies_bouldin_score(targets[:, 1:], labels)) if _is_parted(labels) else math.inf


def calinski_harabasz(outputs: Array, targets: Array) -> float:
    """The spread between clusters against that within, each by its degrees of freedom; 0 for one cluster.

    References:
        T. Caliński, J. Harabasz, A dendrite method for cluster analysis, Communications in Statistics, 1974.
    """
    from sklearn.metrics import calinski_harabasz_score  # noqa: PLC0415  takes a second to import

    labels = predicted_classes(outputs)
    return float(calinski_harabasz_score(targets[:, 1:], labels)) if _is_parted(labels) else 0.0


def _is_parted(labels: Array) -> bool:
    """Whether there are clusters to compare: two or more, and fewer than rows."""
    return 1 < len(np.unique(labels)) < len(labels)


METRICS: dict[str, QualityMetric] = {
    "accuracy": QualityMetric(
        "accuracy", accuracy, higher_is_better=True, in_unit_range=True, proof="trinomial", worst=0.0
    ),
    "f1": QualityMetric("f1", f1, higher_is_better=True, in_unit_range=True, proof="bootstrap", worst=0.0),
    "auc": QualityMetric("auc", auc, higher_is_better=True, in_unit_range=True, proof="bootstrap", worst=0.0),
    "rmse": QualityMetric("rmse", rmse, higher_is_better=False, in_unit_range=False, proof="mean", worst=math.inf),
    "r2": QualityMetric("r2", r2, higher_is_better=True, in_unit_range=True, proof="mean", worst=-math.inf),
    "agreement": QualityMetric(
        "agreement", agreement, higher_is_better=True, in_unit_range=True, proof="disagreement", worst=0.0
    ),
    "output_error": QualityMetric(
        "output_error", output_error, higher_is_better=False, in_unit_range=True, proof="mean", worst=math.inf
    ),
    "precision": QualityMetric(
        "precision", precision, higher_is_better=True, in_unit_range=True, proof="bootstrap", worst=0.0
    ),
    "recall": QualityMetric("recall", recall, higher_is_better=True, in_unit_range=True, proof="bootstrap", worst=0.0),
    "top_5": QualityMetric("top_5", top_5, higher_is_better=True, in_unit_range=True, proof="bootstrap", worst=0.0),
    "log_loss": QualityMetric(
        "log_loss", log_loss, higher_is_better=False, in_unit_range=False, proof="bootstrap", worst=math.inf
    ),
    "mae": QualityMetric("mae", mae, higher_is_better=False, in_unit_range=False, proof="bootstrap", worst=math.inf),
    "perplexity": QualityMetric(
        "perplexity", perplexity, higher_is_better=False, in_unit_range=False, proof="mean", worst=math.inf
    ),
    "bits_per_token": QualityMetric(
        "bits_per_token", bits_per_token, higher_is_better=False, in_unit_range=False, proof="bootstrap", worst=math.inf
    ),
    "return": QualityMetric(
        "return", mean_return, higher_is_better=True, in_unit_range=False, proof="mean", worst=-math.inf
    ),
    "adjusted_rand": QualityMetric(
        "adjusted_rand", rand_index, higher_is_better=True, in_unit_range=True, proof="bootstrap", worst=-1.0
    ),
    "silhouette": QualityMetric(
        "silhouette", silhouette, higher_is_better=True, in_unit_range=False, proof="mean", worst=-1.0
    ),
    "davies_bouldin": QualityMetric(
        "davies_bouldin", davies_bouldin, higher_is_better=False, in_unit_range=False, proof="bootstrap", worst=math.inf
    ),
    "calinski_harabasz": QualityMetric(
        "calinski_harabasz",
        calinski_harabasz,
        higher_is_better=True,
        in_unit_range=False,
        proof="bootstrap",
        worst=0.0,
    ),
}
"""Every metric that ships. The targets of `agreement` and `output_error` are the outputs of the reference."""

DEFAULT_METRICS: dict[TaskKind, str] = {
    "image-classification": "accuracy",
    "tabular-classification": "accuracy",
    "tabular-regression": "rmse",
    "recommendation": "rmse",
    "series-classification": "accuracy",
    "text-classification": "accuracy",
    "audio-classification": "accuracy",
    "language-modelling": "perplexity",
    "reinforcement-learning": "return",
    "clustering": "adjusted_rand",
}
"""The metric of a kind of task where the user names none."""

VALUE_KINDS: tuple[TaskKind, ...] = ("tabular-regression", "regression", "recommendation")
"""Kinds of task whose output is a value."""


def more_metrics_of(kind: TaskKind) -> tuple[str, ...]:
    """The metrics that a task of this kind can be judged by besides: computed where one is the goal's."""
    if kind in ("label-free", "language-modelling"):
        return ()
    return ("mae",) if kind in VALUE_KINDS else ("precision", "recall", "top_5", "log_loss")


def metrics_of(kind: TaskKind) -> tuple[str, ...]:
    """The metrics that every point of a task of this kind is given, the default one first."""
    if kind == "label-free":
        return ("agreement", "output_error")
    if kind == "clustering":
        return ("adjusted_rand", "silhouette", "davies_bouldin", "calinski_harabasz")
    if kind == "language-modelling":
        return ("perplexity", "bits_per_token")
    if kind == "reinforcement-learning":
        return ("return",)
    return ("rmse", "r2") if kind in VALUE_KINDS else ("accuracy", "f1", "auc")
