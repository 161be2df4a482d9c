"""`steelyard list`: what ships, and what plugins add."""

from typing import Annotated

import typer

from steelyard.cli.streams import answer_alone

SHELF_NAMES = {"tasks": "task", "families": "family", "steps": "step", "runtimes": "runtime", "strategies": "strategy"}


def listing(
    what: Annotated[str | None, typer.Argument(help="tasks, families, steps, runtimes, strategies or metrics.")] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="module:function extending the registry.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """List tasks, families, steps, runtimes, strategies and metrics.

    Example: steelyard list strategies
    """
    from steelyard.core.errors import UnknownNameError  # noqa: PLC0415  `--help` must load as little as can be
    from steelyard.core.wire import dumps  # noqa: PLC0415
    from steelyard.engine.request import registry_with  # noqa: PLC0415
    from steelyard.tasks.metrics import DEFAULT_METRICS, metrics_of  # noqa: PLC0415

    with answer_alone():
        registry = registry_with(tuple(plugin or ()))
    tables = {shelf: list(registry.names(name)) for shelf, name in SHELF_NAMES.items()}
    tables["kinds"] = list(DEFAULT_METRICS)
    tables["metrics"] = list(dict.fromkeys(name for kind in DEFAULT_METRICS for name in metrics_of(kind)))
    if what is not None:
        if what not in tables:
            raise UnknownNameError("list", what, tables, field="what")
        tables = {what: tables[what]}
    if json:
        print(dumps({"schema": 1, **tables}))
        return 0
    for shelf, names in tables.items():
        print(f"{shelf}: {', '.join(names)}")
    return 0
