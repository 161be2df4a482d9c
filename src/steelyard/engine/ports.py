"""What a model file takes where only its runtime can tell, asked in a process of its own."""

from pathlib import Path
from typing import Any

from steelyard.core.errors import InputError, MeasurementError
from steelyard.core.port import Port, Signature
from steelyard.core.protocols import Runtime
from steelyard.core.registry import Registry
from steelyard.core.wire import Plain
from steelyard.measure.calling import call

LIMIT_S = 120.0
"""Seconds that a runtime may take to tell: importing torch and opening a network of gigabytes take some."""


def signature_of_file(registry: Registry, runtime: str, path: Path, *, trust: bool, key: str) -> Signature | None:
    """What a file takes and gives, as its runtime tells it; None where the runtime can't tell.

    Args:
        registry: of runtimes.
        runtime: that the file is made for.
        path: the model file.
        trust: whether it may be opened though that can run code.
        key: the model's name, for messages.

    Raises:
        InputError: one sentence, if the runtime refuses the file, or the file crashes it.
        MissingExtraError: if the runtime's library is not installed.
    """
    known: Runtime = registry.get("runtime", runtime)
    if not known.describer:
        return None
    arguments: dict[str, Plain] = {"path": str(path)}
    if known.runs_code:
        arguments["trust"] = trust
    try:
        told = call(known.describer, arguments, key=key, limit_s=LIMIT_S)
    except MeasurementError as error:
        raise InputError(error.message, field="model") from error
    signature = _signature(told, runtime)
    names = [port.name for port in signature.inputs]
    if len(set(names)) < len(names):
        raise InputError(f"{key} has two inputs of one name ({', '.join(names)}); name them apart.", field="model")
    return signature


def _signature(told: Any, runtime: str) -> Signature:
    try:
        inputs, outputs = (tuple(_port(each) for each in told[side]) for side in ("inputs", "outputs"))
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"the describer of the runtime {runtime!r} must return inputs and outputs, each of name, type and shape.",
            field="runtime",
        ) from error
    return Signature(inputs, outputs)


def _port(told: Any) -> Port:
    shape = told["shape"]
    return Port(str(told["name"]), str(told["type"]), None if shape is None else tuple(shape))
