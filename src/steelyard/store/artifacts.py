"""Model files by content: what is stored once is never changed."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from steelyard.core.wire import file_sha256


@dataclass(frozen=True, slots=True)
class Artifacts:
    """A folder of files named by the SHA-256 of their bytes.

    A file may have companions: files of the same name beside it, without which it is not whole. They are named together
    by the SHA-256 of the text of all their hashes, the main file's first.
    """

    folder: Path

    def keep(self, path: Path, companions: tuple[str, ...] = ()) -> str:
        """Move a file in, with the companions of these suffixes; returns its hash. The same content is kept once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = [path, *(path.with_suffix(suffix) for suffix in companions)]
        digest = file_sha256(path)
        if companions:
            digest = hashlib.sha256("".join(file_sha256(each) for each in files).encode()).hexdigest()
        # The main file comes last: where it is, its companions are.
        for each in reversed(files):
            target = self.path(digest, each.suffix)
            if target.exists():
                each.unlink()
                continue
            with each.open("rb") as stream:
                os.fsync(stream.fileno())
            each.replace(target)
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
