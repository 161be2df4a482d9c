"""Image files of folders and zips: checked, decoded to one array."""

import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, Fact
from steelyard.tasks.archives import MOST_BYTES
from steelyard.tasks.folders import MOST_BROKEN, File, classes_of, files_of
from steelyard.tasks.source import Source

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})
"""Files that are taken for images."""

MOST_PIXELS = 50_000_000
"""Pixels of one image: more is a decompression bomb or no input of a model."""

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_BROKEN_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on a file that is damaged."""


@final
@dataclass(frozen=True, slots=True)
class Form:
    """What every decoded image is brought to: height, width, and 1 (grey) or 3 (colour) channels."""

    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image; grey ones have no channel axis."""
        return (self.height, self.width) if self.channels == 1 else (self.height, self.width, self.channels)


class _FormDiffersError(Exception):
    """An image has another size or other channels than the first one."""


def source_of_pictures(path: Path, *, trust: bool = False) -> Source:
    """Raw rows of class folders, with or without train, valid and test above them.

    Args:
        path: a folder or a .zip.
        trust: lift the limits on size.

    Raises:
        DataError: if an image stands in no class folder, or too many can't be read.
    """
    with files_of(path, SUFFIXES, "image", trust=trust) as pictures:
        labels, splits = classes_of(pictures, path, "image")
        # Mixed, because whoever reads the first rows (calibration) must meet every class.
        mixed = np.random.default_rng(0).permutation(len(pictures))
        chosen = [pictures[row] for row in mixed]
        try:
            # Images of one size, the usual case, are read once; others a second time, when the sizes are known.
            form = _first_form(chosen, path)
            notes: tuple[Fact, ...] = ()
            x, readable, broken = decode_pictures(chosen, form, path, trust=trust, is_exact=True)
        except _FormDiffersError:
            form, notes = common_form(chosen, path)
            x, readable, broken = decode_pictures(chosen, form, path, trust=trust)
    kept = mixed[readable]
    split = None if splits is None else np.array(splits, dtype=np.int64)[kept]
    return Source(
        origin=str(path),
        x=x,
        y=np.array(labels)[kept],
        target="folder",
        split=split,
        notes=(*notes, *broken),
    )


def common_form(pictures: Sequence[File], path: Path) -> tuple[Form, tuple[Fact, ...]]:
    """The commonest size (the smaller where two are as common), grey if all are; a note if sizes differ."""
    sizes: Counter[tuple[int, int]] = Counter()
    is_grey = True
    for each in pictures:
        try:
            with _opened(each, path) as image:
                sizes[image.size] += 1
                is_grey = is_grey and _is_grey(image)
        except _BROKEN_ERRORS as error:
            if isinstance(error, DataError):
                raise
    width, height = min(sizes, key=lambda size: (-sizes[size], size[0] * size[1], size))
    notes = []
    if len(sizes) > 1:
        count = sizes.total() - sizes[(width, height)]
        text = f"{len(sizes):,} sizes of images, all resized to the commonest, {height} × {width} (others: {count:,})"
        notes.append(Fact("resized", count, text))
    return Form(height, width, 1 if is_grey else 3), tuple(notes)


def _first_form(pictures: Sequence[File], path: Path) -> Form:
    """The form of the first image whose header can be read."""
    for each in pictures:
        try:
            with _opened(each, path) as image:
                return Form(image.height, image.width, 1 if _is_grey(image) else 3)
        except _BROKEN_ERRORS as error:
            if isinstance(error, DataError):
                raise
    raise DataError(
        f"{path} must hold images that can be read, got damaged files only ({len(pictures):,}).", field="data"
    )


def decode_pictures(
    pictures: Sequence[File], form: Form, path: Path, *, trust: bool = False, is_exact: bool = False
) -> tuple[Array, Array, tuple[Fact, ...]]:
    """Pixels uint8 (n, height, width[, 3]) of the files that can be read, their numbers, and a note on the others.

    Raises:
        DataError: if more than 5 % can't be read, or the whole would not fit.
    """
    needed = len(pictures) * form.height * form.width * form.channels
    if needed > MOST_BYTES and not trust:
        raise DataError(
            f"{path} must decode to at most {MOST_BYTES / 1e9:.1f} GB, got {needed / 1e9:.1f} GB "
            f"({len(pictures):,} images of {form.height} × {form.width}); resize them first, or pass --trust.",
            field="data",
        )
    pixels = np.empty((len(pictures), *form.shape), dtype=np.uint8)
    readable: list[int] = []
    broken: list[str] = []
    for row, each in enumerate(pictures):
        try:
            pixels[len(readable)] = _decoded(each, form, path, is_exact=is_exact)
            readable.append(row)
        except _BROKEN_ERRORS as error:
            if isinstance(error, DataError):
                raise
            broken.append(each.name)
    if not broken:
        return pixels, np.array(readable), ()
    told = ", ".join(sorted(broken)[:3]) + (", …" if len(broken) > 3 else "")
    if len(broken) > MOST_BROKEN * len(pictures):
        raise DataError(
            f"{path} must hold images that can be read, but {len(broken):,} of {len(pictures):,} are damaged ({told}); "
            f"at most {MOST_BROKEN:.0%} are passed over.",
            field="data",
        )
    note = Fact("damaged", len(broken), f"damaged images passed over: {len(broken):,} ({told})")
    return pixels[: len(readable)], np.array(readable), (note,)


@contextmanager
def _opened(picture: File, path: Path) -> Iterator[Any]:
    """The image, its header read, its size checked."""
    from PIL import Image  # noqa: PLC0415 (needed for image files only)

    with warnings.catch_warnings():
        # Pillow warns of large images and odd palettes; the size is checked here, and colours are converted.
        warnings.simplefilter("ignore")
        try:
            opened = Image.open(io.BytesIO(picture.read()), formats=_FORMATS)
        except Image.DecompressionBombError as error:
            raise _too_large(picture, path) from error
        with opened as image:
            if image.width * image.height > MOST_PIXELS:
                raise _too_large(picture, path)
            yield image


def _too_large(picture: File, path: Path) -> DataError:
    """An image that would unpack to too many pixels."""
    return DataError(
        f"{picture.name!r} of {path} must have at most {MOST_PIXELS / 1e6:.0f} million pixels, got more; "
        "shrink or remove it.",
        field="data",
    )


def _is_grey(image: Any) -> bool:
    """Whether the image has no colour."""
    return image.mode in ("1", "L", "LA") or str(image.mode).startswith("I")


def _decoded(picture: File, form: Form, path: Path, *, is_exact: bool) -> Array:
    """Pixels of one image, in the form of all; `is_exact` if it must have that form already."""
    from PIL import Image  # noqa: PLC0415

    with _opened(picture, path) as opened:
        image = opened
        has_form = image.size == (form.width, form.height) and _is_grey(image) == (form.channels == 1)
        if is_exact and not has_form:
            raise _FormDiffersError
        if image.mode.startswith("I"):
            # 16-bit grey: Pillow's own conversion would clip at 255.
            image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
        image = image.convert("L" if form.channels == 1 else "RGB")
        if image.size != (form.width, form.height):
            image = image.resize((form.width, form.height), Image.Resampling.BILINEAR)
        return np.asarray(image)
