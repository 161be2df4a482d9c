"""`steelyard pack`: another point of a bundle's front as a bundle of its own."""

import sys
from pathlib import Path
from typing import Annotated

import typer

COSTS = ("minimize", "max_latency_ms", "max_size_mb", "max_memory_mb", "max_energy_mj")
"""Options that ask another machine's costs a new question."""


def pack(  # noqa: PLR0917  the parser fills parameters in by name
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    out: Annotated[Path, typer.Option(help="A new or empty directory.")],
    point: Annotated[str | None, typer.Option(help="The point's key, or its first characters.", metavar="KEY")] = None,
    measured: Annotated[Path | None, typer.Option(help="What a kit measured: choose again by it.")] = None,
    minimize: Annotated[str | None, typer.Option(help="With --measured. [the bundle's]")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="With --measured. [the bundle's]")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="With --measured. [the bundle's]")] = None,
    max_memory_mb: Annotated[float | None, typer.Option(help="With --measured. [the bundle's]")] = None,
    max_energy_mj: Annotated[float | None, typer.Option(help="With --measured. [the bundle's]")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Pack another point of the front: one you name, or the one that another machine's costs choose.

    Example: steelyard pack steelyard-out/digits-mlp --point 3f2a --out smaller
    """
    del minimize, max_latency_ms, max_size_mb, max_memory_mb, max_energy_mj
    from steelyard import api  # noqa: PLC0415  `--help` must load nothing that packs
    from steelyard.cli.finding import exit_status  # noqa: PLC0415
    from steelyard.cli.options import limits_of  # noqa: PLC0415
    from steelyard.cli.show import say_outcome  # noqa: PLC0415
    from steelyard.core.wire import dumps  # noqa: PLC0415

    limits = limits_of({name: context.params[name] for name in COSTS if context.params[name] is not None})
    outcome = api.pack(bundle, point, out, measured=measured, **limits)
    if json:
        print(dumps(outcome.to_json()))
    elif measured is not None:
        say_outcome(outcome, sys.stdout)
    else:
        sys.stdout.write(f"packed {outcome.chosen.candidate} into {outcome.bundle} ({outcome.status})\n")
    return 0 if measured is None else exit_status(outcome)
