"""One process works on a study at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO, Self

from steelyard.core.errors import StudyBusyError

LOCK_NAME = ".steelyard.lock"


class StudyLock:
    """An advisory lock on a study's directory; the kernel lets go of it when the process dies, however it dies."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises:
            StudyBusyError: if another process holds it; the message names the process.
        """
        self._path = directory / LOCK_NAME
        self._stream: IO[str] = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._stream.seek(0)
            holder = self._stream.read().strip() or "unknown"
            self._stream.close()
            raise StudyBusyError(
                f"'out' {directory} is in use by process {holder}; wait for it, stop it, or name another --out.",
                field="out",
            ) from error
        self._stream.seek(0)
        self._stream.truncate()
        self._stream.write(str(os.getpid()))
        self._stream.flush()

    def __enter__(self) -> Self:
        """The lock itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go."""
        self.release()

    def release(self) -> None:
        """Let go of the lock; the file stays, since another process may already wait on it."""
        if not self._stream.closed:
            fcntl.flock(self._stream, fcntl.LOCK_UN)
            self._stream.close()
