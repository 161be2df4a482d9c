"""`steelyard doctor`: what is installed, what works, how well this machine can measure."""

from typing import Annotated, Any

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Check this machine: versions, runtimes, threads, clocks, noise. Takes a few seconds.

    Example: steelyard doctor
    """
    from steelyard.builtin import registry  # noqa: PLC0415  `--help` must load nothing that measures
    from steelyard.core.wire import dumps  # noqa: PLC0415
    from steelyard.engine.checkup import check_up  # noqa: PLC0415

    found = check_up(registry)
    if json:
        print(dumps({"schema": 1, **found}))
    else:
        print("\n".join(lines_of(found)))
    return 0 if all(each["works"] or not each["installed"] for each in found["runtimes"].values()) else 1


def lines_of(found: dict[str, Any]) -> list[str]:
    """What was found, for people."""
    environment, noise, lanes = found["environment"], found["noise"], found["lanes"]
    lines = [
        f"processor: {environment['processor']}, {noise['cores']} core(s) for this process",
        f"memory: {environment['memory_bytes'] / 1e9:.1f} GB",
        f"system: {environment['system']}, Python {environment['python']}",
        "installed: " + ", ".join(f"{name} {version}" for name, version in environment["versions"].items()),
        f"instructions for int8: {', '.join(environment['flags']) or 'none known'}",
    ]
    for name, each in found["runtimes"].items():
        lines.append(f"runtime {name}: {'works' if each['works'] else each['why']}")
    lines += [
        f"lanes: core {lanes['measuring']} measures, {lanes['training'] or 'any'} train, one thread each",
        f"clock: steps of {noise['clock_step_s'] * 1e9:.0f} ns",
        f"noise: yardstick {noise['yardstick_s'] * 1e6:.0f} µs, varies {noise['within']:.1%} within and "
        f"{noise['between']:.1%} between processes; speed states {', '.join(map(str, noise['speed_states']))}",
        f"smallest latency difference that can be told apart: {noise['smallest_difference']:.1%} "
        f"({noise['smallest_how']})",
        f"energy: {noise['energy'] or 'can be read'}",
    ]
    return lines
