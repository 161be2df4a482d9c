"""Standard output belongs to the answer alone, whoever else prints, and whether or not anybody reads it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import TextIOWrapper
from pathlib import Path


def prepare_streams(*, wants_json: bool) -> None:
    """Make printing safe: a closed stream swallows, an encoding that lacks a character shows its number.

    JSON is UTF-8 whatever the locale says.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  for the process's life
        elif isinstance(stream, TextIOWrapper):
            encoding = "utf-8" if wants_json and name == "stdout" else None
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


@contextmanager
def answer_alone() -> Iterator[None]:
    """For the length of a block, whatever prints (the user's own model, a library, a child) goes to standard error."""
    kept: int | None = None
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def abandon_output() -> None:
    """Whoever read standard output has gone: what is buffered can't be written any more."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
