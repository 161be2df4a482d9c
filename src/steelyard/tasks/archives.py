"""Zip files from anywhere, read in memory with limits: nothing is unpacked to disk, no entry can climb out."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from steelyard.core.errors import DataError

MOST_ENTRIES = 2_000_000
"""Entries in one archive."""

MOST_BYTES = 4 * 2**30
"""Bytes that one archive may unpack to: what a machine with 8 GB can still hold beside a model."""

MOST_RATIO = 1000
"""How many times its own size an archive may unpack to; deflate can't do more than 1,032."""

_RATIO_FROM_BYTES = 64 * 2**20
"""Small archives of blank images compress well and harm nobody."""


def checked_entries(archive: zipfile.ZipFile, path: Path, *, trust: bool = False) -> list[zipfile.ZipInfo]:
    """The archive's files, after a look at every name and size. Directories are left out.

    Args:
        archive: the open archive.
        path: of the archive, for messages.
        trust: lift the limits on size, never those on names.

    Raises:
        DataError: if an entry climbs out, is absolute, a link or locked, or the whole is too large.
    """
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    for entry in entries:
        _check_name(entry, path)
    total = sum(entry.file_size for entry in entries)
    packed = path.stat().st_size
    if sum(entry.compress_size for entry in entries) > packed:
        raise DataError(
            f"{path} must hold each of its bytes once, but its entries overlap; pack it anew.", field="data"
        )
    limit = f"at most {MOST_BYTES / 1e9:.1f} GB in {MOST_ENTRIES:,} files, {MOST_RATIO} times its own size"
    is_bomb = total > _RATIO_FROM_BYTES and total > MOST_RATIO * packed
    if not trust and (len(entries) > MOST_ENTRIES or total > MOST_BYTES or is_bomb):
        raise DataError(
            f"{path} must unpack to {limit}, got {total / 1e9:.1f} GB in {len(entries):,} files from "
            f"{packed / 1e6:.3g} MB; pass --trust if you made it.",
            field="data",
        )
    return entries


def _check_name(entry: zipfile.ZipInfo, path: Path) -> None:
    """Refuse names that leave the archive's folder, links, and locked entries."""
    name = entry.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or (parts and parts[0].endswith(":")):
        raise DataError(
            f"{path} must hold entries within its own folder, got {entry.filename!r}; pack it anew.", field="data"
        )
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError(
            f"{path} must hold plain files, but {entry.filename!r} is a link; pack the file itself.", field="data"
        )
    if entry.flag_bits & 1:
        raise DataError(f"{path} must not be locked by a password, but {entry.filename!r} is; unlock it.", field="data")


def open_archive(path: Path) -> zipfile.ZipFile:
    """The archive, opened.

    Raises:
        DataError: if it is no zip file, or cut off.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeError) as error:
        raise DataError(f"{path} can't be opened as a zip archive ({error}); was it cut off?", field="data") from error


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> bytes:
    """The bytes of one entry, never more than it declares.

    Raises:
        DataError: if the entry is damaged.
    """
    try:
        with archive.open(entry) as stream:
            content = stream.read(entry.file_size + 1)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{entry.filename!r} of {path} can't be read ({error}); was the archive cut off?", field="data"
        ) from error
    if len(content) != entry.file_size:
        raise DataError(
            f"{entry.filename!r} of {path} must unpack to the {entry.file_size:,} bytes it declares, got "
            f"{len(content):,} or more; pack it anew.",
            field="data",
        )
    return content
