"""`steelyard init`: a file to start from."""

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

NAMES = {"config": "steelyard.yaml", "model": "model.py", "task": "task.py", "family": "family.py"}
"""What can be started, and the file's name."""
NEXT = {
    "config": "steelyard find --config {path} --dry-run",
    "model": "steelyard check {path}",
    "task": "steelyard check {path}",
    "family": "steelyard check {path}",
}


def init(
    what: Annotated[str, typer.Argument(help="config, model, task or family. [config]")] = "config",
    out: Annotated[Path | None, typer.Option(help="The file to write. [steelyard.yaml, or WHAT.py]")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Write a commented file to start from: a config, or a model, task or family of your own.

    Example: steelyard init model
    """
    from steelyard.core.errors import InputError, UnknownNameError  # noqa: PLC0415  `--help` must load little
    from steelyard.core.wire import dumps  # noqa: PLC0415

    if what not in NAMES:
        raise UnknownNameError("start", what, NAMES, field="what")
    path = out or Path(NAMES[what])
    suffix = Path(NAMES[what]).suffix
    if path.suffix not in (suffix, ".yml" if suffix == ".yaml" else suffix):
        raise InputError(f"'out' must end in {suffix} for a {what}, got {str(path)!r}.", field="out")
    if path.exists():
        raise InputError(f"'out' {path} is there already; name another file, or remove it.", field="out")
    template = resources.files("steelyard.cli") / "templates" / f"{what}{suffix}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(template.read_text(encoding="utf-8").replace("FILE", path.name), encoding="utf-8")
    following = NEXT[what].format(path=path)
    sys.stdout.write(
        dumps({"schema": 1, "file": str(path.resolve()), "next": following}) + "\n"
        if json
        else f"wrote {path}\nnext: {following}\n"
    )
    return 0
