"""What a model file takes, asked of its runtime in a process of its own: a stranger's file may crash its opener."""

from pathlib import Path

from steelyard.core.errors import InputError, MeasurementError
from steelyard.core.port import Port, Signature
from steelyard.core.protocols import Runtime
from steelyard.core.wire import Plain
from steelyard.measure.calling import call

LIMIT_S = 60.0
"""Seconds that a runtime may take to open a file: importing the slowest takes ten."""


def signature_of_file(runtime: Runtime, path: Path, *, trust: bool) -> Signature | None:
    """What a file takes and gives; None where its runtime can't tell.

    Args:
        runtime: that the file is made for.
        path: the file.
        trust: whether it may be opened though that can run code.

    Raises:
        InputError: if the runtime refuses the file, or dies of it.
    """
    if not runtime.describer:
        return None
    arguments: dict[str, Plain] = {"path": str(path)}
    if runtime.runs_code:
        arguments["trust"] = trust
    try:
        plain = call(runtime.describer, arguments, key=path.name, limit_s=LIMIT_S)
    except MeasurementError as error:
        raise InputError(f"{path.name} can't be opened: {error.message}", field="model") from error
    inputs, outputs = ([_port(each) for each in plain[side]] for side in ("inputs", "outputs"))
    return Signature(tuple(inputs), tuple(outputs)) if inputs else None


def _port(plain: Plain) -> Port:
    return Port(plain["name"], plain["type"], tuple(plain["shape"]))
