"""Sound files of folders and zips: checked, decoded, mixed to one channel, brought to one rate."""

import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import DataError, MissingExtraError
from steelyard.core.task import Array, Fact
from steelyard.tasks.archives import MOST_BYTES
from steelyard.tasks.folders import MOST_BROKEN, File, classes_of, files_of
from steelyard.tasks.source import Source

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".au"})
"""Files that are taken for sound."""

MOST_SECONDS = 600.0
"""Seconds of one sound: more is a recording to be cut, no row of a classification."""

_RATES = (1_000, 384_000)


def source_of_sounds(path: Path, *, trust: bool = False) -> Source:
    """Raw rows of class folders, with or without train, valid and test above them.

    Channels are mixed to one; what has another rate than most is resampled to it.

    Args:
        path: a folder or a .zip.
        trust: lift the limits on size.

    Raises:
        DataError: if a sound stands in no class folder, or too many can't be read.
        MissingExtraError: if the library that reads them is not installed.
    """
    with files_of(path, SUFFIXES, "sound", trust=trust) as files:
        labels, splits = classes_of(files, path, "sound")
        # Mixed, because whoever reads the first rows (calibration) must meet every class.
        mixed = np.random.default_rng(0).permutation(len(files))
        sounds, rates, readable, broken = read_sounds([files[row] for row in mixed], path, trust=trust)
    rate, resampled = common_rate(rates)
    kept = mixed[readable]
    return Source(
        origin=str(path),
        x=ragged([at_rate(sound, own, rate) for sound, own in zip(sounds, rates, strict=True)]),
        y=np.array(labels)[kept],
        target="folder",
        split=None if splits is None else np.array(splits, dtype=np.int64)[kept],
        notes=(*resampled, *broken),
        rate=rate,
    )


def ragged(rows: Sequence[Array]) -> Array:
    """Arrays of different lengths as one array of objects (n,)."""
    array = np.empty(len(rows), dtype=object)
    for row, each in enumerate(rows):
        array[row] = each
    return array


def read_sounds(
    files: Sequence[File], path: Path, *, trust: bool = False
) -> tuple[list[Array], list[int], list[int], tuple[Fact, ...]]:
    """Samples float32 of the files that can be read, their rates and numbers, and a note on the others.

    Raises:
        DataError: if more than 5 % can't be read, or the whole would not fit.
        MissingExtraError: if the library that reads them is not installed.
    """
    soundfile = _library()
    sounds: list[Array] = []
    rates: list[int] = []
    readable: list[int] = []
    broken: list[str] = []
    total = 0
    for row, file in enumerate(files):
        try:
            sound, rate = _decoded(soundfile, file, path)
        except (soundfile.SoundFileError, ValueError, EOFError, OSError) as error:
            if isinstance(error, DataError):
                raise
            broken.append(file.name)
            continue
        total += sound.nbytes
        if total > MOST_BYTES and not trust:
            raise DataError(
                f"{path} must decode to at most {MOST_BYTES / 1e9:.1f} GB, got more; shorten the sounds, or pass "
                "--trust.",
                field="data",
            )
        sounds.append(sound)
        rates.append(rate)
        readable.append(row)
    return sounds, rates, readable, _told(broken, len(files), path)


def _told(broken: Sequence[str], count: int, path: Path) -> tuple[Fact, ...]:
    """A note on damaged files.

    Raises:
        DataError: if there are too many.
    """
    if not broken:
        return ()
    told = ", ".join(sorted(broken)[:3]) + (", …" if len(broken) > 3 else "")
    if len(broken) > MOST_BROKEN * count:
        raise DataError(
            f"{path} must hold sounds that can be read, but {len(broken):,} of {count:,} are damaged ({told}); "
            f"at most {MOST_BROKEN:.0%} are passed over.",
            field="data",
        )
    return (Fact("damaged", len(broken), f"damaged sounds passed over: {len(broken):,} ({told})"),)


def common_rate(rates: Sequence[int]) -> tuple[int, tuple[Fact, ...]]:
    """The commonest rate (the lower where two are as common), and a note if others are brought to it."""
    counts = Counter(rates)
    rate = min(counts, key=lambda each: (-counts[each], each))
    if len(counts) == 1:
        return rate, ()
    others = len(rates) - counts[rate]
    text = f"{len(counts)} rates of sounds, all resampled to the commonest, {rate:,} Hz (others: {others:,})"
    return rate, (Fact("resampled", others, text),)


def at_rate(sound: Array, own: int, rate: int) -> Array:
    """A sound at another rate, by a polyphase filter; itself where the rate is its own."""
    if own == rate:
        return sound
    from scipy.signal import resample_poly  # noqa: PLC0415  half a second, needed for mixed rates alone

    shared = math.gcd(own, rate)
    resampled: Array = resample_poly(sound, rate // shared, own // shared).astype(np.float32)
    return resampled


def _decoded(soundfile: Any, file: File, path: Path) -> tuple[Array, int]:
    """One channel of samples and their rate.

    Raises:
        DataError: if the sound is too long, or has a rate that no recorder has.
        ValueError: if it holds no finite sample.
    """
    with soundfile.SoundFile(io.BytesIO(file.read())) as opened:
        rate = int(opened.samplerate)
        seconds = opened.frames / max(rate, 1)
        if seconds > MOST_SECONDS or not _RATES[0] <= rate <= _RATES[1]:
            raise DataError(
                f"{file.name!r} of {path} must be a sound of at most {MOST_SECONDS:.0f} s at {_RATES[0]:,} to "
                f"{_RATES[1]:,} Hz, got {seconds:.0f} s at {rate:,} Hz; cut or remove it.",
                field="data",
            )
        channels = opened.read(dtype="float32", always_2d=True)
    if not len(channels) or not np.isfinite(channels).all():
        raise ValueError
    return channels.mean(axis=1), rate


def _library() -> Any:
    try:
        import soundfile  # noqa: PLC0415  an extra
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            "sound files need the library soundfile, which is not installed; run: pip install 'steelyard[audio]'.",
            field="data",
        ) from error
    return soundfile
