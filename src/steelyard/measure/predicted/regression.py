"""Seconds of a kernel from its work and features: a baseline of rates, and a Gaussian process on what is left."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]

MOST = 2000
"""Samples that a regression keeps: solving grows with their cube, and more told nothing new."""
_TUNED = 250
"""Samples that length scales are tuned on."""
_LONG, _RATIO = 4.0, 4.0
"""Length scale in standard deviations, and ratio of signal to noise variance, of kinds that are not worth tuning: what
most of the tuned ones have in the middle."""
_LEAST = 12
"""Samples below which a kind has its baseline alone."""
_FLOOR = 1e-7
"""Seconds that no kernel is faster than."""


@dataclass(frozen=True, slots=True)
class Regression:
    """What was learned of one kind of kernel.

    Attributes:
        rates: seconds per unit of each work term, (terms,).
        low: smallest value of each feature that was seen, (features,).
        high: largest value.
        scales: length scale of each feature; infinite where the feature never varied.
        points: kept samples in units of the scales, (samples, features).
        weights: of the kept samples, (samples,).
        offset: mean of what the baseline leaves.
        spread: signal's variance over variance of one sample's noise, and the noise's standard deviation.
    """

    rates: Floats
    low: Floats
    high: Floats
    scales: Floats
    points: Floats
    weights: Floats
    offset: float
    spread: tuple[float, float]

    def predict(self, work: Floats, features: Floats) -> Floats:
        """Log seconds (n,) of kernels with work (n, terms) and features (n, features)."""
        base = np.log(np.maximum(work @ self.rates, _FLOOR))
        if not len(self.weights):
            return base + self.offset
        kernel = matern(self.scaled(features), self.points)
        return np.asarray(base + self.offset + kernel @ self.weights)

    def scaled(self, features: Floats) -> Floats:
        """Features in their length scales, kept inside what was seen: outside, the baseline tells the trend."""
        return np.clip(features, self.low, self.high) / self.scales

    def excess(self, features: Floats) -> Floats:
        """How far outside of what was seen each kernel lies (n,), as the largest overshoot of a feature in its unit.

        Features of sizes are logarithms: 0.7 is twice the largest that was seen.
        """
        return np.asarray(np.maximum(features - self.high, self.low - features).max(axis=1, initial=0.0)).clip(min=0.0)


def matern(a: Floats, b: Floats) -> Floats:
    """Matérn covariance with smoothness 5/2 between rows of a (n, d) and b (m, d).

    References:
        C. Rasmussen, C. Williams, Gaussian Processes for Machine Learning, MIT Press, 2006, equation 4.17.
    """
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    distance = np.sqrt(5 * np.maximum(squares, 0.0))
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))


def fit_regression(
    work: Floats, features: Floats, seconds: Floats, seed: int, *, tuned: Floats | None = None, matters: bool = True
) -> Regression:
    """Learn a kind from kernels that were measured.

    Args:
        work: amounts of work (n, terms).
        features: (n, features).
        seconds: measured (n,).
        seed: of which samples are kept where there are too many.
        tuned: length scales, ratio of signal to noise, and noise of an earlier fit, to be kept.
        matters: whether finding length scales is worth its seconds.
    """
    logs = np.log(np.maximum(seconds, _FLOOR))
    rates = fit_rates(work, np.exp(logs))
    left = logs - np.log(np.maximum(work @ rates, _FLOOR))
    # A clock that was interrupted is no property of the kernel.
    middle = float(np.median(left))
    bound = 5 * 1.4826 * float(np.median(np.abs(left - middle))) + 0.05
    left = np.clip(left, middle - bound, middle + bound)
    low, high = features.min(0), features.max(0)
    width = features.shape[1]
    none = Regression(
        rates, low, high, np.ones(width), np.empty((0, width)), np.empty(0), middle, (0.0, float(left.std()))
    )
    if len(left) < _LEAST or left.std() < 1e-3:
        return none
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(left))
    if tuned is None and not matters:
        deviations = features.std(0)
        tuned = np.array([*np.where(deviations > 1e-9, _LONG * deviations, np.inf), _RATIO, left.std() / 2])
    if tuned is None:
        tuned = tune(features[order[:_TUNED]], left[order[:_TUNED]] - left.mean())
    scales, (ratio, noise) = tuned[:-2], tuned[-2:]
    kept = order[:MOST]
    points = features[kept] / scales
    offset = float(left[kept].mean())
    covariance = matern(points, points) + np.eye(len(kept)) / max(ratio, 1e-6)
    weights = np.linalg.solve(covariance, left[kept] - offset)
    return Regression(rates, low, high, scales, points, weights, offset, (float(ratio), float(noise)))


def fit_rates(work: Floats, seconds: Floats) -> Floats:
    """Non-negative seconds per unit of work that leave the least relative error."""
    scaled = work / seconds[:, None]
    sizes = np.maximum(np.sqrt((scaled**2).mean(0)), 1e-30)
    rates, _ = nnls(scaled / sizes, np.ones(len(seconds)))
    found = rates / sizes
    return np.asarray(found if found.any() else np.array([float(np.median(seconds)), *[0.0] * (work.shape[1] - 1)]))


def tune(features: Floats, left: Floats) -> Floats:
    """Length scales by marginal likelihood, then the ratio of signal to noise variance and the noise's deviation."""
    from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: PLC0415  heavy, and estimates don't need it
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel  # noqa: PLC0415

    deviations = features.std(0)
    varied = deviations > 1e-9
    scaled = features[:, varied] / deviations[varied]
    start = ConstantKernel(0.05, (1e-4, 10)) * Matern(np.full(int(varied.sum()), 2.0), (0.3, 100), nu=2.5)
    process = GaussianProcessRegressor(start + WhiteKernel(0.01, (1e-5, 1)), n_restarts_optimizer=0)
    with warnings.catch_warnings():
        # A length scale at its bound means that the feature has no influence.
        warnings.simplefilter("ignore")
        process.fit(scaled, left)
    product, white = process.kernel_.k1, process.kernel_.k2
    scales = np.full(features.shape[1], np.inf)
    scales[varied] = np.atleast_1d(product.k2.length_scale) * deviations[varied]
    ratio = product.k1.constant_value / white.noise_level
    return np.asarray([*scales, ratio, np.sqrt(white.noise_level)])
