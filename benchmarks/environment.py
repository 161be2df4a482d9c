"""What every benchmark writes beside its figures."""

import json
import sys
from pathlib import Path
from typing import Any

from steelyard.measure.environment import read_environment

PLACES = ("--json", "--shared", "--folder", "--replayed")
"""Options that only say where things lie on this machine."""


def command_line() -> str:
    """The command line that runs now, without what only says where things lie."""
    words = [Path(sys.argv[0]).as_posix(), *sys.argv[1:]]
    kept = [word for place, word in enumerate(words) if not {word, words[place - 1] if place else ""} & set(PLACES)]
    return " ".join(["python", "/".join(Path(kept[0]).parts[-2:]), *kept[1:]])


def write_result(path: Path | None, command: str, figures: dict[str, Any]) -> None:
    """Write figures with the environment and the command that made them; print them in any case."""
    print(json.dumps(figures, indent=1))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {"command": command, "environment": read_environment().to_json(), "figures": figures}
        path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
