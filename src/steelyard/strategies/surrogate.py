"""Gaussian processes that predict what a candidate will be found to be, with the error to expect."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Array = NDArray[np.float64]
LENGTHS = (0.2, 0.4, 0.8, 1.6)
"""Length scales tried, in units of the median distance of two candidates times 1."""
LINEAR = (0.0, 0.5)
"""Shares of the variance that a linear trend may have."""
NOISES = (1e-4, 1e-3, 1e-2, 5e-2, 0.2, 0.7)
"""Variances of the noise tried, as shares of the variance of the process."""
NEGLIGIBLE = 0.02
"""Kernels of less than this share of the weight take no part in a prediction."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted: (n, outputs) means and standard deviations of the errors, without the noise."""

    means: Array
    deviations: Array


def predict(inputs: Array, outputs: Array, queries: Array, residual: float | None = None) -> Prediction:
    """Gaussian processes of several outputs over the same inputs, averaged over kernels by their evidence.

    Nothing is optimised: Matérn 5/2 kernels of some length scales, with and without a linear trend, and some variances of the noise
    are weighted by the marginal likelihood of the outputs, the process' variance integrated out.

    Args:
        inputs: (k, d), columns on comparable scales, k ≥ 1.
        outputs: (k, outputs), in any units: they are standardised here.
        queries: (n, d).
        residual: where the first output is the error of another prediction, its standard deviation: then it is
            believed to vary by that about 0.

    Returns:
        The predictions in the units of the outputs. O(k³ + n k²) a kernel.

    References:
        Rasmussen, Williams: Gaussian Processes for Machine Learning, MIT Press, 2006, sections 2.2 and 5.4.
    """
    centre, spread = outputs.mean(axis=0), outputs.std(axis=0)
    if residual is not None:
        centre[0], spread[0] = 0.0, residual
    spread = np.where(spread > 0, spread, 1.0)
    scaled = (outputs - centre) / spread
    fits = [_fit(kernel, inputs, scaled) for kernel in _kernels(inputs, queries)]
    evidence = np.array([fit.evidence for fit in fits])
    means = np.zeros((len(queries), outputs.shape[1]))
    squares = np.zeros_like(means)
    for column in range(outputs.shape[1]):
        weights = np.exp(evidence[:, column] - evidence[:, column].max())
        weights /= weights.sum()
        weights[weights < NEGLIGIBLE] = 0.0
        weights /= weights.sum()
        for fit, weight in zip(fits, weights, strict=True):
            if weight > 0:
                mean, variance = fit.at(queries, column)
                means[:, column] += weight * mean
                squares[:, column] += weight * (variance + mean**2)
    deviations = np.sqrt(np.maximum(squares - means**2, 1e-12))
    return Prediction(centre + spread * means, spread * deviations)


@dataclass(frozen=True, slots=True)
class _Kernel:
    length: float
    linear: float
    middle: Array
    size: float

    def between(self, left: Array, right: Array) -> Array:
        distance = np.sqrt(5) * cdist(left, right) / self.length
        matern = (1 + distance + distance**2 / 3) * np.exp(-distance)
        if not self.linear:
            return np.asarray(matern)
        trend = (left - self.middle) @ (right - self.middle).T / self.size
        return np.asarray((1 - self.linear) * matern + self.linear * trend)

    def at(self, points: Array) -> Array:
        trend = ((points - self.middle) ** 2).sum(axis=1) / self.size
        return np.asarray(1 - self.linear + self.linear * trend)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One kernel with the best noise for each output."""

    kernel: _Kernel
    inputs: Array
    values: Array
    vectors: Array
    turned: Array
    noises: Array
    scales: Array
    evidence: Array

    def at(self, queries: Array, column: int) -> tuple[Array, Array]:
        cross = self.kernel.between(queries, self.inputs) @ self.vectors
        over = self.values + self.noises[column]
        mean = cross @ (self.turned[:, column] / over)
        variance = self.kernel.at(queries) - (cross**2 / over).sum(axis=1)
        return mean, self.scales[column] * np.maximum(variance, 1e-9)


def _kernels(inputs: Array, queries: Array) -> Iterator[_Kernel]:
    both = np.concatenate([inputs, queries])
    middle = both.mean(axis=0)
    size = float(((both - middle) ** 2).sum(axis=1).mean()) or 1.0
    for length in LENGTHS:
        for linear in LINEAR:
            yield _Kernel(length * np.sqrt(2 * size) * 2, linear, middle, size)


def _fit(kernel: _Kernel, inputs: Array, scaled: Array) -> _Fit:
    """The noise of the highest evidence for each output, the variance integrated out by a weak inverse-gamma prior."""
    values, vectors = np.linalg.eigh(kernel.between(inputs, inputs))
    values = np.maximum(values, 0.0)
    turned = vectors.T @ scaled
    count = len(inputs)
    over = values[:, None] + np.array(NOISES)
    squares = (turned**2).T @ (1 / over) + 2.0
    evidence = -0.5 * (count + 2) * np.log(squares) - 0.5 * np.log(over).sum(axis=0)
    best = evidence.argmax(axis=1)
    rows = np.arange(scaled.shape[1])
    scales = squares[rows, best] / (count + 2)
    return _Fit(kernel, inputs, values, vectors, turned, np.array(NOISES)[best], scales, evidence[rows, best])
