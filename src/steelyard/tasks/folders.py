"""Folders and zips of files in class folders: found, named, told apart by class and split."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import final

from steelyard.core.errors import DataError
from steelyard.tasks.archives import checked_entries, open_archive, read_entry
from steelyard.tasks.splits import split_code

MOST_BROKEN = 0.05
"""The share of files that may be damaged: they are named and passed over."""


@final
@dataclass(frozen=True, slots=True)
class File:
    """A file: its path within the folder or archive, and how to get its bytes."""

    parts: tuple[str, ...]
    read: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path, for messages."""
        return "/".join(self.parts)


@contextmanager
def files_of(path: Path, suffixes: frozenset[str], noun: str, *, trust: bool = False) -> Iterator[list[File]]:
    """The files of a folder or a .zip with these suffixes, by name; hidden and other ones are passed over.

    Args:
        path: the folder or the .zip.
        suffixes: in lower case, with the dot.
        noun: what such a file is called, for messages.
        trust: lift the limits on unpacked size.

    Raises:
        DataError: if there is none, or the archive is damaged or hostile.
    """
    if path.is_dir():
        found = [(file.relative_to(path).parts, file) for file in _below(path)]
        yield _chosen([File(parts, file.read_bytes) for parts, file in found], path, suffixes, noun)
        return
    with open_archive(path) as archive:
        entries = checked_entries(archive, path, trust=trust)
        parts = [PurePosixPath(entry.filename.replace("\\", "/")).parts for entry in entries]
        files = [
            File(each, partial(read_entry, archive, entry, path)) for each, entry in zip(parts, entries, strict=True)
        ]
        yield _chosen(files, path, suffixes, noun)


def _below(folder: Path) -> Iterator[Path]:
    """Every file below a folder; links to folders are not followed, so there is no way round in circles."""
    for root, _, names in os.walk(folder):
        # A pipe or a device among them would be read forever.
        yield from (file for name in names if (file := Path(root) / name).is_file())


def _chosen(files: Sequence[File], path: Path, suffixes: frozenset[str], noun: str) -> list[File]:
    """The files with one of the suffixes, by name."""
    visible = [each for each in files if not any(part.startswith((".", "__MACOSX")) for part in each.parts)]
    found = [each for each in visible if PurePosixPath(each.parts[-1]).suffix.lower() in suffixes]
    if not found:
        raise DataError(
            f"{path} must hold {noun} files ({', '.join(sorted(suffixes))}) in class folders, got none among "
            f"{len(visible):,} files; is it the right folder?",
            field="data",
        )
    return sorted(found, key=lambda each: each.parts)


def classes_of(files: Sequence[File], path: Path, noun: str) -> tuple[list[str], list[int] | None]:
    """The class of each file, and its split's code where folders name splits.

    Raises:
        DataError: if a file stands in no class folder.
    """
    parts = [each.parts for each in files]
    while all(len(each) > 2 and split_code(each[0]) is None for each in parts) and len({p[0] for p in parts}) == 1:
        parts = [each[1:] for each in parts]
    codes = [split_code(each[0]) if len(each) > 2 else None for each in parts]
    splits = [code for code in codes if code is not None]
    if len(splits) == len(parts):
        return [each[1] for each in parts], splits
    loose = [each for each in parts if len(each) < 2]
    if loose:
        raise DataError(
            f"{path} must hold its {noun}s in class folders (CLASS/{loose[0][-1]}), but {len(loose):,} of "
            f"{len(parts):,} are in none; "
            "move each into a folder named after its class.",
            field="data",
        )
    if all(split_code(each[0]) is not None for each in parts):
        raise DataError(
            f"{path} must hold class folders under train, valid and test ({parts[0][0]}/CLASS/{parts[0][-1]}), "
            f"but {noun}s stand directly in {parts[0][0]}; move each into a folder named after its class.",
            field="data",
        )
    return [each[0] for each in parts], None
