"""The command line in this process: what it prints, its exit status, what it writes."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steelyard.cli.main import run


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
