"""Model files by content: what is stored once is never changed."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from steelyard.core.wire import file_sha256


@dataclass(frozen=True, slots=True)
class Artifacts:
    """A folder of files named by the SHA-256 of their bytes."""

    folder: Path

    def keep(self, path: Path) -> str:
        """Move a file in; returns its SHA-256. The same content is kept once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = file_sha256(path)
        target = self.path(digest, path.suffix)
        if target.exists():
            path.unlink()
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
            path.replace(target)
        return digest

    def path(self, digest: str, suffix: str) -> Path:
        """Where the file of that content and suffix is, or would be."""
        return self.folder / f"{digest}{suffix}"


def copy_file(source: Path, target: Path) -> None:
    """Put a copy at `target`, replacing what is there at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)
