"""Calling a function in a process of its own: for files that may crash, hang or exhaust whoever opens them."""

from collections.abc import Mapping

from steelyard.core.errors import InputError, MeasurementError, MissingExtraError
from steelyard.core.wire import Plain
from steelyard.measure.process import run_child

_OF_INPUT = ("input", "unknown-name", "data")
"""Kinds of errors that blame what was given; they stay input errors on this side."""


def call(
    function: str,
    arguments: Mapping[str, Plain],
    *,
    key: str,
    limit_s: float,
    threads: int = 1,
    cpu: int | None = None,
    memory_bytes: int | None = None,
) -> Plain:
    """What a function returns when it is called in a fresh process.

    Args:
        function: its address, "module:function"; it takes and returns plain values.
        arguments: by name.
        key: the model it works on, for the message if the process dies.
        limit_s: seconds after which the process is killed.
        threads: threads of libraries that read `OMP_NUM_THREADS`.
        cpu: the processor it is pinned to; None for none.
        memory_bytes: most data it may hold; None for no limit.

    Raises:
        InputError: if the function raised one.
        MissingExtraError: if a library that it needs is not installed.
        MeasurementError: if it raised anything else, or the process died or did not end in time.
    """
    request = {
        "function": function,
        "arguments": dict(arguments),
        "key": key,
        "threads": threads,
        "cpu": cpu if threads == 1 else None,
        "memory_bytes": memory_bytes,
    }
    answer = run_child(request, limit_s=limit_s, module="steelyard.measure.callee")
    if "refused" not in answer:
        return answer["returned"]
    refused = answer["refused"]
    if refused["kind"] in _OF_INPUT:
        raise InputError(refused["message"], field=refused["field"])
    if refused["kind"] == MissingExtraError.kind:
        raise MissingExtraError(refused["message"], field=refused["field"])
    raise MeasurementError(refused["message"])
