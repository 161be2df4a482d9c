"""The log-mel spectrogram: its constants, and its values by numpy, which statistics are fitted on."""

import math

import numpy as np

from steelyard.core.sequence import SoundInput
from steelyard.core.task import Array

FLOOR = 1e-6
"""Added to the power of each band, whose logarithm then exists: a signal of −60 dB over a window of full scale."""
WINDOW_S = 0.032
"""Seconds of a window: speech is nearly stationary over 20 to 40 ms."""
MELS = 40
"""Bands of mel."""
_CHUNK = 256


def window_samples(rate: int) -> int:
    """Samples of a window: the even number next to `WINDOW_S`."""
    return max(4, 2 * round(WINDOW_S * rate / 2))


def fourier(window: int) -> Array:
    """The discrete Fourier transform under a Hann window, as kernels (2 × bins, window): real parts, then imaginary.

    Scaled so that a sine of full scale has a power of about 1 in its bin.

    References:
        Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", Proceedings of the
        IEEE, 1978.
    """
    at = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * at / window)
    angles = 2 * np.pi * np.outer(np.arange(window // 2 + 1), at) / window
    scale = 2 / hann.sum()
    kernels: Array = np.concatenate([np.cos(angles) * hann, -np.sin(angles) * hann]) * scale
    return kernels


def bands(rate: int, window: int, mels: int) -> Array:
    """Triangles of equal width in mel, as weights (mels, bins) of the power in each bin; none is empty.

    References:
        Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", IEEE
        Transactions on Acoustics, Speech and Signal Processing, 1980. The scale is O'Shaughnessy's, "Speech
        communication", 1987: 2595 log10(1 + f / 700).
    """
    frequencies = np.linspace(0, rate / 2, window // 2 + 1)
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mels + 2) / 2595) - 1)
    rise = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rise, fall))
    for row in np.flatnonzero(weights.sum(axis=1) == 0):
        # Narrower than the bins are apart: the nearest bin stands for it.
        weights[row, np.abs(frequencies - edges[row + 1]).argmin()] = 1.0
    return weights


def log_mel(x: Array, spec: SoundInput) -> Array:
    """Log-mel spectrograms (n, mels, frames) of sounds (n, samples), not standardised. O(n samples window / hop)."""
    kernels, weights = fourier(spec.window), bands(spec.rate, spec.window, spec.mels)
    needed = (spec.frames - 1) * spec.hop + spec.window
    result = np.empty((len(x), spec.mels, spec.frames))
    for start in range(0, len(x), _CHUNK):
        padded = np.pad(x[start : start + _CHUNK].astype(np.float64), ((0, 0), (0, needed - spec.samples)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, spec.window, axis=1)[:, :: spec.hop]
        # A copy, because products of overlapping views are a hundred times slower.
        spectrum = np.ascontiguousarray(frames) @ kernels.T
        power = np.square(spectrum[..., : len(kernels) // 2]) + np.square(spectrum[..., len(kernels) // 2 :])
        result[start : start + _CHUNK] = np.log(power @ weights.T + FLOOR).transpose(0, 2, 1)
    return result
