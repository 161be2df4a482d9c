"""Writing a kit: one zip with variants, inputs, the code that measures them, and the checksum of everything."""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from steelyard.core.errors import InputError
from steelyard.core.kit import MANIFEST, Kit
from steelyard.core.version import __version__
from steelyard.core.wire import dumps
from steelyard.store.sources import needed_sources

MEASURING = ("steelyard.measure.kit", "steelyard.measure.child")
"""The modules that a kit runs: what calls, and what its measuring processes are."""

_STAMP = (1980, 1, 1, 0, 0, 0)
"""The time of every member: equal kits are equal files."""


def check_target(path: Path) -> None:
    """Refuse a file that exists, or that lies in no folder.

    Raises:
        InputError: naming it.
    """
    if path.exists() or path.is_symlink():
        raise InputError(f"'out' {path} exists already; name a new file.", field="out")
    if not path.parent.is_dir():
        raise InputError(f"'out' {path} lies in no folder that exists; name another file.", field="out")


def write_kit(path: Path, kit: Kit, files: Mapping[str, bytes | Path]) -> Kit:
    """Write the zip; everything in it lies in one folder of the zip's own name.

    Args:
        path: a new file.
        kit: without checksums; those of all files are filled in.
        files: variants, inputs and what else it holds, by path inside the kit.

    Returns:
        The kit as written.

    Raises:
        InputError: if the file exists, or a runtime's loader can't be carried along.
        OSError: if it can't be written.
    """
    check_target(path)
    loaders = {point.loader.partition(":")[0] for point in kit.points.values()}
    content: dict[str, bytes | Path] = {
        **files,
        **needed_sources((*MEASURING, *sorted(loaders))),
        "measure.py": _template("measure.py").encode(),
        "README.txt": _readme(kit).encode(),
    }
    whole = replace(kit, sha256={name: _sha256(content[name]) for name in sorted(content)})
    partial = path.with_name(f".{path.name}.partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            content[MANIFEST] = (dumps(whole.to_json(), indent=1) + "\n").encode()
            for name in sorted(content):
                member = zipfile.ZipInfo(f"{path.stem}/{name}", _STAMP)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o644 << 16
                archive.writestr(member, _bytes(content[name]))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return whole


def _template(name: str) -> str:
    return (resources.files("steelyard.store") / "templates" / name).read_text(encoding="utf-8")


def _readme(kit: Kit) -> str:
    said = {
        "version": __version__,
        "task": kit.task,
        "variants": ", ".join(point.name for point in kit.points.values()),
        "inputs": "drawn at random" if kit.input_kind == "random" else "rows of real data, put in on request",
        "packages": " ".join(kit.packages),
    }
    text = _template("README.txt")
    for name, value in said.items():
        text = text.replace(f"@{name}@", value)
    return text


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()


def _sha256(content: bytes | Path) -> str:
    return hashlib.sha256(_bytes(content)).hexdigest()
