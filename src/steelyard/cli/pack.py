"""`steelyard pack`: another point of a bundle's front as a bundle of its own."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def pack(
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    point: Annotated[str, typer.Option(help="The point's key, or its first characters.", metavar="KEY")],
    out: Annotated[Path, typer.Option(help="A new or empty directory.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Pack another point of the front.

    Example: steelyard pack steelyard-out/digits-mlp --point 3f2a --out smaller
    """
    from steelyard import api  # noqa: PLC0415  `--help` must load nothing that packs
    from steelyard.core.wire import dumps  # noqa: PLC0415

    outcome = api.pack(bundle, point, out)
    if json:
        print(dumps(outcome.to_json()))
    else:
        sys.stdout.write(f"packed {outcome.chosen.candidate} into {outcome.bundle} ({outcome.status})\n")
    return 0
