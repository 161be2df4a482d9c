"""The bundle: a directory with the chosen model, its manifest, its evidence and checksums."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from steelyard.core.errors import BundleError, StudyError
from steelyard.core.wire import Plain, dumps, file_sha256, write_text

MANIFEST = "steelyard.json"
SCHEMA = 1


def write_manifest(directory: Path, manifest: Mapping[str, Plain], files: tuple[str, ...]) -> None:
    """Write the manifest with the checksum of every file, last of all, so that it never promises what is not there.

    What the study goes on changing beside its bundle (`study.db`, `artifacts`) is no part of the checksums.

    Args:
        directory: the bundle.
        manifest: everything but the checksums.
        files: paths relative to the bundle.
    """
    checksums = {name: file_sha256(directory / name) for name in sorted(files)}
    text = dumps({"schema": SCHEMA, **manifest, "sha256": checksums}, indent=1)
    write_text(directory / MANIFEST, text + "\n")


def read_manifest(directory: Path) -> Plain:
    """The manifest of a bundle, its schema checked, its files not yet.

    Raises:
        BundleError: if there is none, it is no manifest, or its schema is newer than this version knows.
    """
    path = directory / MANIFEST
    if not path.is_file():
        hint = "the search has not finished" if (directory / "study.db").exists() else "is it a bundle's directory?"
        raise BundleError(f"{directory} holds no {MANIFEST}; {hint}", field="bundle")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema = manifest["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(_no_manifest(path), field="bundle") from error
    if schema != SCHEMA:
        raise BundleError(
            f"{path} has schema {schema!r}, this version reads {SCHEMA}; update steelyard.", field="bundle"
        )
    checksums = manifest.get("sha256")
    if not isinstance(checksums, dict) or not all(isinstance(each, str) for each in checksums.values()):
        raise BundleError(_no_manifest(path), field="bundle")
    if any("\0" in name for name in checksums):
        raise BundleError(_no_manifest(path), field="bundle")
    return manifest


def _no_manifest(path: Path) -> str:
    return f"{path} is no manifest of a bundle; restore the file or pack anew."


def verify(directory: Path, manifest: Plain) -> None:
    """Compare every file with its checksum.

    Raises:
        BundleError: naming the first file that is missing, changed or outside the bundle.
    """
    root = directory.resolve()
    for name, expected in manifest["sha256"].items():
        path = (directory / name).resolve()
        if not path.is_relative_to(root):
            raise BundleError(
                f"the manifest of {directory} names {name!r} outside of it; don't trust it.", field="bundle"
            )
        if not path.is_file():
            raise BundleError(f"{name} is missing from {directory}; restore the file or pack anew.", field="bundle")
        if file_sha256(path) != expected:
            raise BundleError(
                f"{name} in {directory} was changed after it was packed; restore the file or pack anew.", field="bundle"
            )


def verified_file(directory: Path, manifest: Plain, name: str) -> Path:
    """A file of the bundle that `verify` has compared with its checksum.

    Raises:
        BundleError: if the manifest has no checksum of that name.
    """
    if name not in manifest["sha256"]:
        raise BundleError(
            f"the manifest of {directory} names {name!r} without a checksum; don't trust it.", field="bundle"
        )
    return directory / name


def clear(directory: Path) -> None:
    """Take away what an earlier packing wrote: the manifest first, so that a half-cleared bundle is none.

    A model file that a half-cleared bundle left is written over by the next packing: a study has one runtime.
    """
    try:
        listed = read_manifest(directory)["sha256"]
    except BundleError:
        listed = {}
    (directory / MANIFEST).unlink(missing_ok=True)
    for name in ("MODEL_CARD.md", "report.html", *(name for name in listed if Path(name).name == name)):
        (directory / name).unlink(missing_ok=True)
    for partial in directory.glob(".*.partial"):
        partial.unlink()
    shutil.rmtree(directory / "variants", ignore_errors=True)


def check_empty(directory: Path) -> None:
    """Refuse a target that holds anything.

    Raises:
        StudyError: if it is a file or not empty.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StudyError(f"'out' {directory} is not empty; name a new or empty directory.", field="out")
