"""`steelyard list`: what ships, and what plugins add."""

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from steelyard.cli.streams import answer_alone

SHELF_NAMES = {"tasks": "task", "families": "family", "steps": "step", "runtimes": "runtime", "strategies": "strategy"}


def listing(
    what: Annotated[
        str | None, typer.Argument(help="tasks, families, steps, runtimes, strategies, metrics or scenarios.")
    ] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="module:function extending the registry.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """List tasks, families, steps, runtimes, strategies, metrics and scenarios.

    Example: steelyard list strategies
    """
    from steelyard.core.errors import UnknownNameError  # noqa: PLC0415  `--help` must load as little as can be
    from steelyard.core.wire import dumps  # noqa: PLC0415
    from steelyard.engine.request import registry_with  # noqa: PLC0415
    from steelyard.select.scenario import scenario_names  # noqa: PLC0415
    from steelyard.tasks.metrics import DEFAULT_METRICS, metrics_of, more_metrics_of  # noqa: PLC0415

    with answer_alone():
        registry = registry_with(tuple(plugin or ()))
    tables = {shelf: list(registry.names(name)) for shelf, name in SHELF_NAMES.items()}
    tables["kinds"] = list(DEFAULT_METRICS)
    tables["metrics"] = list(
        dict.fromkeys(name for kind in DEFAULT_METRICS for name in (*metrics_of(kind), *more_metrics_of(kind)))
    )
    tables["scenarios"] = list(scenario_names())
    if what is not None:
        if what not in tables:
            raise UnknownNameError("list", what, tables, field="what")
        tables = {what: tables[what]}
    if json:
        print(dumps({"schema": 1, **tables}))
        return 0
    if what == "scenarios":
        sys.stdout.write("\n".join(scenario_lines()) + "\n")
        return 0
    for shelf, names in tables.items():
        print(f"{shelf}: {', '.join(names)}")
    return 0


def scenario_lines() -> Iterator[str]:
    """What each scenario is for, what it asks, and where its figures come from."""
    from steelyard.select.scenario import read_scenario, scenario_names  # noqa: PLC0415

    for name in scenario_names():
        scenario = read_scenario(name)
        asked = {**scenario.asked, **scenario.options}
        yield f"{name}: {scenario.about}"
        for option, value in asked.items():
            source = scenario.sources.get(option.replace("_", "-"))
            told = f"{option.replace('_', '-')} {value}"
            yield f"  {told}" + (f": {' '.join(source.split())}" if source else "")
        for kind, families in scenario.families.items():
            yield f"  {kind} starts with {families}"
