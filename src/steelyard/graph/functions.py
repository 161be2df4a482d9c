"""Functions that a model brings along, written out where they are called, within bounds."""

from collections.abc import Iterable

import onnx
from onnx.inliner import inline_local_functions

from steelyard.core.errors import InputError

LARGEST_NODES = 1_000_000
"""Operators a model may have with its functions written out: each call copies the function's body, so that thirty
functions of two calls each would make a billion."""

_Key = tuple[str, str]


def inline_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every call of its own functions replaced by the function's body.

    Raises:
        InputError: if a function calls itself, by whatever way, or too many operators would come of it.
    """
    if not model.functions:
        return model
    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[_Key, int] = {}
    for key in bodies:
        _measure(key, bodies, sizes)
    total = sum(sizes.get(call, 1) for call in _calls(model.graph.node))
    if total > LARGEST_NODES:
        raise InputError(f"the model's functions must come to at most {LARGEST_NODES} operators, got more.")
    try:
        return inline_local_functions(model)
    except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"the model's functions can't be written out: {line}") from error


def _measure(start: _Key, bodies: dict[_Key, onnx.FunctionProto], sizes: dict[_Key, int]) -> None:
    """Fill in the operators that a function comes to, without recursion: a chain of calls may be long.

    Raises:
        InputError: if it calls itself.
    """
    waiting, open_ = [start], set[_Key]()
    while waiting:
        key = waiting[-1]
        if key in sizes:
            waiting.pop()
            continue
        calls = list(_calls(bodies[key].node))
        missing = [call for call in calls if call in bodies and call not in sizes]
        if (key in open_ and missing) or key in missing:
            raise InputError(f"the model's function {key[1]!r} must not call itself.")
        if not missing:
            # Capped: two hundred functions of two calls each would make a number that has no name.
            sizes[key] = min(LARGEST_NODES + 1, max(1, sum(sizes.get(call, 1) for call in calls)))
            waiting.pop()
            continue
        open_.add(key)
        waiting += dict.fromkeys(missing)


def _calls(nodes: Iterable[onnx.NodeProto]) -> list[_Key]:
    """The operators that nodes, and the graphs inside them, run: one entry each."""
    calls = []
    for node in nodes:
        calls.append((node.domain, node.op_type))
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                calls += _calls(inner.node)
    return calls
