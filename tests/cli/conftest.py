"""The command line in this process: what it prints, its exit status, what it writes."""

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.cli.main import run

LABELS = ("<script>alert(1)</script>", "naïve→ü & co")
"""Labels that are markup, and letters beyond ASCII."""


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str
    written: tuple[str, ...]

    @property
    def json(self) -> Any:
        """The one object on standard output; anything beside it fails."""
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        return json.loads(self.out)


Ask = Callable[..., Answer]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def asked(*argv: str) -> Answer:
        before = set(tmp_path.rglob("*"))
        capsys.readouterr()
        status = run([str(each) for each in argv])
        captured = capsys.readouterr()
        new = (path for path in set(tmp_path.rglob("*")) - before if "__pycache__" not in path.parts)
        written = tuple(sorted(str(path.relative_to(tmp_path)) for path in new))
        return Answer(status, captured.out, captured.err, written)

    return asked


@pytest.fixture
def refused(ask: Ask) -> Callable[..., tuple[str, str, str | None]]:
    """Run a command that must be refused, with and without --json; gives kind, message and field."""

    def check(*argv: str) -> tuple[str, str, str | None]:
        plain, told = ask(*argv), ask(*argv, "--json")
        error = told.json["error"]
        assert set(told.json) == {"schema", "error"}
        assert told.json["schema"] == 1
        assert (plain.status, told.status) == (2, 2)
        assert plain.out == ""
        assert plain.err == told.err == f"steelyard: {error['message']}\n"
        assert plain.written == told.written == ()
        return error["kind"], error["message"], error["field"]

    return check


def _table_search(folder: Path, *more: str) -> list[str]:
    """The question of the table study, asked in a folder with its `table.csv`."""
    words = (
        "tabular-classification --model mlp --knob depth=1 --knob width=4,64 --strategy grid --trials 4 --max-drop 0.2"
    )
    return ["find", *words.split(), "--data", str(folder / "table.csv"), "--out", str(folder / "out"), *more]


@pytest.fixture
def search() -> Callable[..., list[str]]:
    """The question of the table study, for a folder with its `table.csv`."""
    return _table_search


@pytest.fixture(scope="session")
def table_study(once: Callable[..., Path]) -> Path:
    """A finished study `out` of `table.csv`, and `printed.json`, what it printed; copied by who writes in it."""

    def search(folder: Path) -> None:
        rng = np.random.default_rng(0)
        rows = [f"{x:.3f},{y:.3f},{LABELS[int(x + y > 0)]}" for x, y in rng.normal(size=(400, 2))]
        (folder / "table.csv").write_text("\n".join(["a,b,label", *rows, ""]), encoding="utf-8")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(_table_search(folder, "--json"))
        assert status in (0, 3), err.getvalue()
        (folder / "printed.json").write_text(out.getvalue(), encoding="utf-8")

    return once("table_study", search)
