"""One small search that the tests of the documentation share, in every process of the test run."""

import contextlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steelyard.cli import main

ROOT = Path(__file__).resolve().parents[2]
FIRST_SEARCH = "find digits --model mlp --max-drop 0.03 --trials 6 --knob depth=1 --knob width=32,64"
"""The first search of README.md; its folder is what the pages start from."""
BUNDLE = Path("steelyard-out") / "digits-mlp"


@pytest.fixture(scope="session")
def first_search(once: Callable[..., Path]) -> Path:
    """A folder that holds the finished first search, and `find.json`, what it printed with `--json`."""

    def search(folder: Path) -> None:
        said = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(said):
            status = main.run([*FIRST_SEARCH.split(), "--json"])
        assert status in (0, 3), said.getvalue()
        (folder / "find.json").write_text(said.getvalue(), encoding="utf-8")

    return once("first_search", search)


@pytest.fixture
def page_folder(first_search: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder of its own for a page, with the first search in it, as the current directory."""
    shutil.copytree(first_search / "steelyard-out", tmp_path / "steelyard-out")
    with contextlib.chdir(tmp_path):
        yield tmp_path
