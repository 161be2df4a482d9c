"""Gaussian processes that predict what a candidate will be found to be, with the error to expect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LENGTHS = (0.4, 0.8, 1.6, 3.2)
"""Length scales tried, in units of the root mean square distance of two inputs."""
LINEAR = (0.0, 0.5)
"""Shares of the variance that a linear trend may have."""
NOISES = np.array([1e-4, 1e-3, 1e-2, 5e-2, 0.2, 0.7])
"""Variances of the noise tried, as shares of the variance of the process."""
NEGLIGIBLE = 0.05
"""Kernels of less than this share of the weight take no part in a prediction."""
MOST_JUDGES = 100
"""Points that the kernels are judged by, drawn evenly from all: the cost of that grows with their cube."""
PRIOR_POINTS = 2.0
"""Points that the belief in the spread of the outputs is worth when the variance of the process is judged."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted: (n, outputs) means, and standard deviations of what would be found, noise included."""

    means: Array
    deviations: Array


def predict(inputs: Array, outputs: Array, queries: Array, residual: float | None = None) -> Prediction:
    """Gaussian processes of several outputs over the same inputs, averaged over kernels by their evidence.

    Nothing is optimised: Matérn 5/2 kernels of some length scales, with and without a linear trend, and some
    variances of the noise are weighted by the marginal likelihood of each output.

    Args:
        inputs: (k, d), columns on comparable scales, k ≥ 1.
        outputs: (k, outputs), in any units: they are standardised here.
        queries: (n, d).
        residual: where the first output is the error of another prediction, its standard deviation: then it is
            believed to vary by that about 0.

    Returns:
        The predictions in the units of the outputs. O(k³ + n k²) a kernel.

    References:
        Rasmussen, Williams: Gaussian Processes for Machine Learning, MIT Press, 2006, sections 2.2, 4.2 and 5.4.
    """
    centre, spread = outputs.mean(axis=0), outputs.std(axis=0)
    if residual is not None:
        centre[0], spread[0] = 0.0, residual
    spread = np.where(spread > 0, spread, 1.0)
    scaled = (outputs - centre) / spread
    middle = inputs.mean(axis=0)
    size = float(((inputs - middle) ** 2).sum(axis=1).mean()) or 1.0
    inner = _Products.of(inputs - middle, inputs - middle, size)
    judges = np.unique(np.linspace(0, len(inputs) - 1, min(MOST_JUDGES, len(inputs))).astype(np.int64))
    few = inner.among(judges)
    kernels = [_Kernel(length, linear) for length in LENGTHS for linear in LINEAR]
    weights = _weights(np.array([_fit(kernel, few, scaled[judges]).evidence for kernel in kernels]))
    across = _Products.of(queries - middle, inputs - middle, size)
    own = ((queries - middle) ** 2).sum(axis=1) / size
    means, squares = np.zeros((len(queries), outputs.shape[1])), np.zeros((len(queries), outputs.shape[1]))
    for kernel, weight in zip(kernels, weights, strict=True):
        if weight.any():
            mean, variance = _fit(kernel, inner, scaled).at(across, own)
            means += weight * mean
            squares += weight * (variance + mean**2)
    deviations = np.sqrt(np.maximum(squares - means**2, 1e-12))
    return Prediction(centre + spread * means, spread * deviations)


@dataclass(frozen=True, slots=True)
class _Products:
    """What every kernel is made of: inner products and distances of two sets of points, by the size of the inputs."""

    inner: Array
    distance: Array

    @classmethod
    def of(cls, left: Array, right: Array, size: float) -> "_Products":
        inner = left @ right.T / size
        squares = ((left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)) / size - 2 * inner
        # Two inputs drawn at random are √2 of their spread apart.
        return cls(inner, np.sqrt(np.maximum(squares, 0.0) / 2))

    def among(self, rows: NDArray[np.int64]) -> "_Products":
        """Of some of the points with each other."""
        return _Products(self.inner[np.ix_(rows, rows)], self.distance[np.ix_(rows, rows)])


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Matérn 5/2 of a length, with a linear trend that has a share of the variance."""

    length: float
    linear: float

    def __call__(self, products: _Products) -> Array:
        far = products.distance * (np.sqrt(5) / self.length)
        matern = (1 + far + far**2 / 3) * np.exp(-far)
        if not self.linear:
            return np.asarray(matern)
        return np.asarray((1 - self.linear) * matern + self.linear * products.inner)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One kernel with the noise of the highest evidence for each output, in the eigenbasis of the kernel's matrix."""

    kernel: _Kernel
    vectors: Array
    over: Array
    turned: Array
    noises: Array
    scales: Array
    evidence: Array

    def at(self, across: _Products, own: Array) -> tuple[Array, Array]:
        cross = self.kernel(across) @ self.vectors
        mean = cross @ (self.turned / self.over)
        before = 1 - self.kernel.linear + self.kernel.linear * own
        variance = before[:, None] - cross**2 @ (1 / self.over) + self.noises
        return mean, self.scales * np.maximum(variance, 1e-9)


def _fit(kernel: _Kernel, inner: _Products, scaled: Array) -> _Fit:
    """The variance of the process is integrated out, by an inverse-gamma prior about the spread of the outputs."""
    values, vectors = np.linalg.eigh(kernel(inner))
    turned = vectors.T @ scaled
    weight = len(scaled) + PRIOR_POINTS
    over = np.maximum(values, 0.0)[:, None] + NOISES
    squares = (turned**2).T @ (1 / over) + PRIOR_POINTS
    evidence = -0.5 * weight * np.log(squares) - 0.5 * np.log(over).sum(axis=0)
    best = evidence.argmax(axis=1)
    rows = np.arange(scaled.shape[1])
    return _Fit(
        kernel, vectors, over[:, best], turned, NOISES[best], squares[rows, best] / weight, evidence[rows, best]
    )


def _weights(evidence: Array) -> Array:
    """(kernels, outputs) shares that sum to 1 for each output."""
    weights = np.exp(evidence - evidence.max(axis=0))
    weights /= weights.sum(axis=0)
    weights[weights < NEGLIGIBLE] = 0.0
    return np.asarray(weights / weights.sum(axis=0))
