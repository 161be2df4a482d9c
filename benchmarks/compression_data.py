"""Prepares five tasks of real data for the benchmarks of compression: `.npz` files with inputs ready for a model.

Each file holds x_train, y_train, x_valid, y_valid, x_test, y_test; the splits are those of the sources. They go into a
cache folder, never into the repository. Pictures and spectrograms are standardised with figures of the training rows.
"""

import argparse
import collections
import gzip
import io
import json
import os
import re
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Sets = dict[str, Array]

SPLITS = ("train", "valid", "test")
SHARED = Path(__file__).resolve().parents[1].parent / "shared" / "data"
"""Real data beside the checkout, as the tests look for them."""
TOKENS = 32
"""Words of a text that a model sees: 92 % of the training texts are shorter, the others are cut."""
UNKNOWN = 1
"""Token of a word that the training texts hold less than twice; 0 is padding."""
SAMPLES, WINDOW, HOP, MELS = 8192, 512, 256, 64
"""A recording's first second at 8 kHz, in 32 windows of 64 ms, each 64 bands of the mel scale."""


def default_folder() -> Path:
    """Where prepared data, references and rivals are kept unless told otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "steelyard-benchmarks" / "compression"


def add_folders(parser: argparse.ArgumentParser) -> None:
    """The two arguments that every benchmark of compression takes."""
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of the sources")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="cache folder")


def mnist(shared: Path) -> Sets:
    """Digits (n, 1, 28, 28)."""
    with np.load(shared / "mnist_35k.npz") as raw:
        sets = {f"x_{split}": raw[f"x_{split}"][:, None].astype(np.float32) for split in SPLITS}
        return standardised(sets, axes=(0, 2, 3)) | {
            f"y_{split}": raw[f"y_{split}"].astype(np.int64) for split in SPLITS
        }


def cifar10(shared: Path) -> Sets:
    """Coloured pictures (n, 3, 32, 32)."""

    def read(raw: bytes) -> Array:
        from PIL import Image  # noqa: PLC0415  only this set needs it

        return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), dtype=np.float32).transpose(2, 0, 1)

    return standardised(class_folders(shared / "cifar10_12k.zip", read), axes=(0, 2, 3))


def fsdd(shared: Path) -> Sets:
    """Spoken digits as log-mel spectrograms (n, 1, 64, 32)."""
    bands = mel_bands()

    def read(raw: bytes) -> Array:
        with wave.open(io.BytesIO(raw)) as sound:
            samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2") / 32768.0
        samples = np.pad(samples[:SAMPLES], (0, max(0, SAMPLES - len(samples)) + WINDOW - HOP))
        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW)
        power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        return np.log(power @ bands.T + 1e-6).T[None].astype(np.float32)

    return standardised(class_folders(shared / "fsdd_8khz.zip", read), axes=(0, 1, 2, 3))


def mel_bands() -> Array:
    """Triangles (64, bins) evenly spaced on the mel scale (O'Shaughnessy, Speech Communication, 1987)."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / 8000)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 4000 / 700), MELS + 2) / 2595) - 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    # The lowest triangles are narrower than a bin: each keeps at least its nearest one.
    triangles = np.clip(
        np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)), 0, None
    )
    triangles[np.arange(MELS), np.abs(frequencies - middle).argmin(axis=1)] += 1e-3
    return np.asarray(triangles)


def banking77(shared: Path) -> Sets:
    """Questions to a bank as word numbers (n, 32), padded with 0; the words are those of the training texts."""
    with gzip.open(shared / "text_banking77.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    words = {split: [words_of(row["text"]) for row in rows if row["split"] == split] for split in SPLITS}
    counts = collections.Counter(word for text in words["train"] for word in text)
    numbers = {word: place for place, word in enumerate((w for w, n in counts.most_common() if n > 1), UNKNOWN + 1)}
    sets = {}
    for split in SPLITS:
        x = np.zeros((len(words[split]), TOKENS), np.int64)
        for row, text in zip(x, words[split], strict=True):
            found = [numbers.get(word, UNKNOWN) for word in text[:TOKENS]]
            row[: len(found)] = found
        sets[f"x_{split}"] = x
        sets[f"y_{split}"] = np.array([row["label"] for row in rows if row["split"] == split], np.int64)
    return sets


def words_of(text: str) -> list[str]:
    """Words, numbers and marks of a text in lower case; a common ending is a word of its own."""
    found = []
    for word in re.findall(r"[a-z]+|[0-9]+|[^\sa-z0-9]", text.lower()):
        stem = re.fullmatch(r"([a-z]{3,})(ing|ed|s)", word)
        found += [stem[1], "+" + stem[2]] if stem else [word]
    return found


def electric_devices(shared: Path) -> Sets:
    """Electricity use of devices (n, 96, 1), standardised in the source."""
    with np.load(shared / "ts_electric_devices.npz") as raw:
        sets = {f"x_{split}": raw[f"x_{split}"][:, :, None].astype(np.float32) for split in SPLITS}
        return sets | {f"y_{split}": raw[f"y_{split}"].astype(np.int64) for split in SPLITS}


def class_folders(path: Path, read: Callable[[bytes], Array]) -> Sets:
    """Rows and labels of an archive `SPLIT/CLASS/FILE`, the classes in the order of their names."""
    sets: Sets = {}
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        classes = sorted({name.split("/")[1] for name in names})
        for split in SPLITS:
            own = [name for name in names if name.split("/")[0] == split]
            sets[f"x_{split}"] = np.stack([read(archive.read(name)) for name in own])
            sets[f"y_{split}"] = np.array([classes.index(name.split("/")[1]) for name in own], np.int64)
    return sets


def standardised(sets: Sets, axes: tuple[int, ...]) -> Sets:
    """Inputs of mean 0 and deviation 1 over the training rows."""
    mean = sets["x_train"].mean(axis=axes, keepdims=True, dtype=np.float64)
    deviation = sets["x_train"].std(axis=axes, keepdims=True, dtype=np.float64)
    return {
        name: ((x - mean) / deviation).astype(np.float32) if name.startswith("x_") else x for name, x in sets.items()
    }


DATA: dict[str, Callable[[Path], Sets]] = {
    "mnist": mnist,
    "cifar10": cifar10,
    "fsdd": fsdd,
    "banking77": banking77,
    "electric_devices": electric_devices,
}
"""The five tasks."""


def data_file(task: str, folder: Path, shared: Path = SHARED) -> Path:
    """The prepared file of a task, made where it is missing."""
    path = folder / f"{task}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sets = DATA[task](shared)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **sets)
        partial.replace(path)
    return path


def read_sets(path: Path) -> Sets:
    with np.load(path) as raw:
        return {name: raw[name] for name in raw.files}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(DATA), action="append")
    add_folders(parser)
    asked = parser.parse_args()
    for task in asked.task or DATA:
        path = data_file(task, asked.folder, asked.shared)
        shapes = {name: f"{x.shape} {x.dtype}" for name, x in read_sets(path).items()}
        print(f"{path}: {shapes}")


if __name__ == "__main__":
    main()
