"""Folders and zips of image files: found, checked, decoded to one array."""

import io
import os
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, final

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, Fact
from steelyard.tasks.archives import MOST_BYTES, checked_entries, open_archive, read_entry
from steelyard.tasks.source import Source
from steelyard.tasks.splits import split_code

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})
"""Files that are taken for images."""

MOST_PIXELS = 50_000_000
"""Pixels of one image: more is a decompression bomb or no input of a model."""

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
_BROKEN_SHARE = 0.05
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
class Picture:
    """An image file: its path within the folder or archive, and how to get its bytes."""

    parts: tuple[str, ...]
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path, for messages."""
        return "/".join(self.parts)


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


@contextmanager
def pictures_of(path: Path, *, trust: bool = False) -> Iterator[list[Picture]]:
    """The image files of a folder or a .zip, by name; hidden files and those of other kinds are passed over.

    Raises:
        DataError: if there is none, or the archive is damaged or hostile.
    """
    if path.is_dir():
        found = [(file.relative_to(path).parts, file) for file in _files(path)]
        yield _images_only([Picture(parts, file.read_bytes) for parts, file in found], path)
        return
    with open_archive(path) as archive:
        entries = checked_entries(archive, path, trust=trust)
        yield _images_only(
            [
                Picture(
                    PurePosixPath(entry.filename.replace("\\", "/")).parts, partial(read_entry, archive, entry, path)
                )
                for entry in entries
            ],
            path,
        )


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder; links to folders are not followed, so there is no way round in circles."""
    for root, _, names in os.walk(folder):
        # A pipe or a device among them would be read forever.
        yield from (file for name in names if (file := Path(root) / name).is_file())


def _images_only(pictures: Sequence[Picture], path: Path) -> list[Picture]:
    """The files that are images by their suffix, by name."""
    visible = [each for each in pictures if not any(part.startswith((".", "__MACOSX")) for part in each.parts)]
    found = [each for each in visible if PurePosixPath(each.parts[-1]).suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(
            f"{path} must hold image files ({', '.join(sorted(SUFFIXES))}) in class folders, got none among "
            f"{len(visible):,} files; is it the right folder?",
            field="data",
        )
    return sorted(found, key=lambda each: each.parts)


def source_of_pictures(path: Path, *, trust: bool = False) -> Source:
    """Raw rows of class folders, with or without train, valid and test above them.

    Args:
        path: a folder or a .zip.
        trust: lift the limits on size.

    Raises:
        DataError: if an image stands in no class folder, or too many can't be read.
    """
    with pictures_of(path, trust=trust) as pictures:
        labels, splits = _classes(pictures, path)
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


def _classes(pictures: Sequence[Picture], path: Path) -> tuple[list[str], list[int] | None]:
    """The class of each image, and its split's code where folders name splits."""
    parts = [each.parts for each in pictures]
    while all(len(each) > 2 and split_code(each[0]) is None for each in parts) and len({p[0] for p in parts}) == 1:
        parts = [each[1:] for each in parts]
    codes = [split_code(each[0]) if len(each) > 2 else None for each in parts]
    splits = [code for code in codes if code is not None]
    if len(splits) == len(parts):
        return [each[1] for each in parts], splits
    loose = [each for each in parts if len(each) < 2]
    if loose:
        raise DataError(
            f"{path} must hold its images in class folders (CLASS/{loose[0][-1]}), but {len(loose):,} of "
            f"{len(parts):,} are in none; "
            "move each into a folder named after its class.",
            field="data",
        )
    if all(split_code(each[0]) is not None for each in parts):
        raise DataError(
            f"{path} must hold class folders under train, valid and test ({parts[0][0]}/CLASS/{parts[0][-1]}), "
            f"but images stand directly in {parts[0][0]}; move each into a folder named after its class.",
            field="data",
        )
    return [each[0] for each in parts], None


def common_form(pictures: Sequence[Picture], path: Path) -> tuple[Form, tuple[Fact, ...]]:
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


def _first_form(pictures: Sequence[Picture], path: Path) -> Form:
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
    pictures: Sequence[Picture], form: Form, path: Path, *, trust: bool = False, is_exact: bool = False
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
    if len(broken) > _BROKEN_SHARE * len(pictures):
        raise DataError(
            f"{path} must hold images that can be read, but {len(broken):,} of {len(pictures):,} are damaged ({told}); "
            f"at most {_BROKEN_SHARE:.0%} are passed over.",
            field="data",
        )
    note = Fact("damaged", len(broken), f"damaged images passed over: {len(broken):,} ({told})")
    return pixels[: len(readable)], np.array(readable), (note,)


@contextmanager
def _opened(picture: Picture, path: Path) -> Iterator[Any]:
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


def _too_large(picture: Picture, path: Path) -> DataError:
    """An image that would unpack to too many pixels."""
    return DataError(
        f"{picture.name!r} of {path} must have at most {MOST_PIXELS / 1e6:.0f} million pixels, got more; "
        "shrink or remove it.",
        field="data",
    )


def _is_grey(image: Any) -> bool:
    """Whether the image has no colour."""
    return image.mode in ("1", "L", "LA") or str(image.mode).startswith("I")


def _decoded(picture: Picture, form: Form, path: Path, *, is_exact: bool) -> Array:
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
