"""How an encoded model's file is told from others. Needs nothing, so that asking costs nothing."""

from pathlib import Path

SUFFIX = ".syd"
"""What encoded files are called."""
MARK = b"SYD"
"""How they begin; the number of the format follows."""
FORMAT = 1
DECODING = ("google", "ml_dtypes", "onnx", "typing_extensions")
"""Packages that decoding imports, which a plain file does without."""


def is_encoded(path: Path) -> bool:
    """Whether a file begins like an encoded model, whatever it is called; False where it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False
