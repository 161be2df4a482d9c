"""Sound: fitted on the training split, and raw rows as the graph takes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.sequence import SoundInput
from steelyard.core.task import Array, Fact
from steelyard.tasks.mel import MELS, log_mel, window_samples

_LONG_ENOUGH = 0.98
"""Share of the training sounds that are not cut."""
_FIT_ROWS = 2_000
_LEAST_STD = 1e-3


def fit_sound(sounds: Sequence[Array], train: Array, rate: int) -> tuple[SoundInput, tuple[Fact, ...]]:
    """The specification of sounds, and a note on those that are cut.

    The length is the one that 98 % of the training sounds don't exceed; bands are standardised over a sample of them.

    Args:
        sounds: all rows, each (samples,).
        train: numbers of the training rows, the only ones looked at.
        rate: samples a second.
    """
    lengths = np.array([len(sounds[row]) for row in train])
    samples = max(1, int(np.quantile(lengths, _LONG_ENOUGH, method="higher")))
    window = window_samples(rate)
    plain = SoundInput(rate, samples, window, window // 2, MELS, (0.0,) * MELS, (1.0,) * MELS)
    sample = train[:: -(-len(train) // _FIT_ROWS)]
    spectra = log_mel(encode_sound(plain, [sounds[row] for row in sample]), plain)
    mean, std = spectra.mean(axis=(0, 2)), np.maximum(spectra.std(axis=(0, 2)), _LEAST_STD)
    spec = SoundInput(rate, samples, window, window // 2, MELS, tuple(mean.tolist()), tuple(std.tolist()))
    cut = int((lengths > samples).sum())
    text = f"sounds are filled up with silence or cut to {samples / rate:.3g} s ({samples:,} samples)"
    return spec, (Fact("length", samples, f"{text}; {cut:,} training sounds are longer" if cut else text),)


def encode_sound(spec: SoundInput, raw: Any) -> Array:
    """Sounds (n, samples) float32 of the specification's length, from arrays of any length at its rate.

    Args:
        spec: how the graph reads a row.
        raw: an array (n, samples), or a sequence of arrays (samples,). Whole numbers are taken for what their type's
            full scale makes of them, floats as they are.

    Raises:
        DataError: if a row is no sound of one channel, or holds numbers that are not finite.
    """
    if isinstance(raw, np.ndarray) and raw.dtype != object and raw.ndim != 2:
        raise DataError(f"'x' must hold sounds (n, samples), got an array {raw.shape}; mix channels to one.")
    rows = np.zeros((len(raw), spec.samples), dtype=np.float32)
    for row, each in enumerate(raw):
        sound = unit_scale(np.asarray(each))
        if sound.ndim != 1:
            raise DataError(
                f"'x' must hold sounds of one channel, got {sound.shape} in row {row + 1}; mix them to one."
            )
        kept = sound[: spec.samples]
        if not np.isfinite(kept).all():
            raise DataError(f"'x' must hold finite samples, got NaN or infinity in row {row + 1}; clean the sound.")
        rows[row, : len(kept)] = kept
    return rows


def unit_scale(sound: Array) -> Array:
    """Samples as float32 from −1 to 1; whole numbers are divided by their type's full scale.

    Raises:
        DataError: if they are no numbers.
    """
    if sound.dtype.kind == "f":
        return sound.astype(np.float32)
    if sound.dtype.kind not in "iu":
        raise DataError(f"'x' must hold samples as numbers, got {sound.dtype}.")
    full = 2.0 ** (8 * sound.dtype.itemsize - 1)
    middle = full if sound.dtype.kind == "u" else 0.0
    scaled: Array = ((sound.astype(np.float64) - middle) / full).astype(np.float32)
    return scaled
