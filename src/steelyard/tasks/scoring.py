"""Further figures of quality, for who asks for them: precision, recall, loss, top five, mean absolute error."""

import math

import numpy as np

from steelyard.core.task import Array
from steelyard.statistics.likelihood import log_softmax

TOP = 5
"""Classes among which the true one must be."""
LEAST = 1e-12
"""Probabilities are taken to be at least this, so that one certain error is no infinite loss (27.6 nats)."""


def counts_of(predicted: Array, targets: Array, classes: int) -> tuple[Array, Array, Array]:
    """For each class: rows of it, rows called so, and rows called so rightly.

    Args:
        predicted: classes (n,), -1 for none.
        targets: classes (n,).
        classes: at least as many as the outputs have.
    """
    classes = max(classes, int(targets.max()) + 1)
    actual = np.bincount(targets, minlength=classes)
    named = np.bincount(predicted[predicted >= 0], minlength=classes)
    return actual, named, np.bincount(targets[predicted == targets], minlength=classes)


def precision_of(predicted: Array, targets: Array, classes: int) -> float:
    """Macro precision: the plain mean over classes of the share of rows called so that are so.

    Averaged over the classes that occur in the targets or the predictions; one never called counts 0.
    """
    actual, named, hits = counts_of(predicted, targets, classes)
    occurs = actual + named > 0
    return float(np.mean(hits[occurs] / np.maximum(named[occurs], 1)))


def recall_of(predicted: Array, targets: Array, classes: int) -> float:
    """Macro recall: the plain mean over classes of the share of their rows that are called so.

    Averaged over the classes that occur in the targets or the predictions; one that the targets lack counts 0. Where
    every class occurs in the targets it is the balanced accuracy.
    """
    actual, named, hits = counts_of(predicted, targets, classes)
    occurs = actual + named > 0
    return float(np.mean(hits[occurs] / np.maximum(actual[occurs], 1)))


def log_loss(outputs: Array, targets: Array) -> float:
    """The mean negative logarithm of the probability given to the true class, in nats; cross-entropy.

    Outputs that are no probabilities go through softmax. Infinite where one is no number.
    """
    if not np.isfinite(outputs).all():
        return math.inf
    is_probability = outputs.min() >= 0 and np.allclose(outputs.sum(axis=1), 1.0, atol=1e-4)
    logs = np.log(np.maximum(outputs, LEAST)) if is_probability else log_softmax(outputs)
    return float(-np.mean(np.maximum(logs[np.arange(len(targets)), targets], math.log(LEAST))))


def top_5(outputs: Array, targets: Array) -> float:
    """The share of rows whose true class is among the five of the highest scores; all of them where there are fewer.

    Of equal scores the class of the lower number comes first. Rows with a score that is no number are wrong.
    """
    ranked = np.argsort(-outputs, axis=1, kind="stable")[:, :TOP]
    return float(np.mean((ranked == targets[:, None]).any(axis=1) & np.isfinite(outputs).all(axis=1)))


def mae(outputs: Array, targets: Array) -> float:
    """The mean absolute error, in the target's own unit. Infinite if an output is no number."""
    error = float(np.mean(np.abs(outputs[:, 0] - targets.astype(np.float64))))
    return error if math.isfinite(error) else math.inf
