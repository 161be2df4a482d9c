"""Whether a graph holds together: every name is text, defined once, before it is read."""

from collections.abc import Collection, Iterable, Set

import onnx

from steelyard.core.errors import InputError

DEEPEST = 20
"""Graphs inside each other, as branches and loop bodies: protobuf itself ends at about 30."""

_SHOWN = 60
"""Characters of a stranger's name that a message repeats."""


class BrokenGraphError(InputError):
    """A graph that contradicts itself; the message lacks the model's name."""


def check_graph(graph: onnx.GraphProto, outer: Set[str], depth: int = 1) -> int:
    """Check a graph and those inside it; returns how many operators they have.

    Args:
        graph: of the model, a branch or a loop body.
        outer: names that the graphs around it define.
        depth: of the graph.

    Raises:
        BrokenGraphError: naming what is wrong.
    """
    if depth > DEEPEST:
        raise BrokenGraphError(f"its graphs must lie at most {DEEPEST} deep inside each other.")
    stored = [tensor.name for tensor in graph.initializer] + [each.values.name for each in graph.sparse_initializer]
    inputs = [value.name for value in graph.input]
    check_names([*stored, *inputs, *(value.name for value in graph.output)])
    check_names([value.name for value in graph.value_info])
    for names in (stored, inputs):
        _check_once(names)
    known = {*outer, *inputs, *stored}
    # An initializer may carry an input's name: it is that input's default.
    nodes = check_nodes(graph.node, known, taken={*inputs, *stored}, depth=depth)
    for value in graph.output:
        if value.name not in known:
            raise BrokenGraphError(f"nothing defines its output {_short(value.name)}.")
    return nodes


def check_nodes(
    nodes: Iterable[onnx.NodeProto], known: set[str], *, taken: Collection[str] = (), depth: int = 1
) -> int:
    """Check operators in the order they run; returns how many they are, with those inside them.

    Args:
        nodes: of a graph or a function.
        known: names that may be read; what the nodes define is added.
        taken: names that they must not define again.
        depth: of the graph.

    Raises:
        BrokenGraphError: naming what is wrong.
    """
    defined, total = set(taken), 0
    for node in nodes:
        total += 1
        check_names([node.name, node.op_type, node.domain, *node.input, *node.output])
        missing = next((name for name in node.input if name and name not in known), None)
        if missing is not None:
            raise BrokenGraphError(f"nothing defines {_short(missing)}, which is read.")
        outputs = [name for name in node.output if name]
        if not outputs:
            raise BrokenGraphError(f"an operator {_short(node.op_type)} has no output.")
        for attribute in node.attribute:
            check_names([attribute.name])
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    total += check_graph(inner, known, depth + 1)
        for name in outputs:
            if name in defined:
                raise BrokenGraphError(f"{_short(name)} is defined twice.")
            defined.add(name)
        known.update(outputs)
    return total


def check_names(names: Iterable[object]) -> None:
    """Refuse names that are not text: protobuf hands over bytes that are no UTF-8 as they are.

    Raises:
        BrokenGraphError: showing the bytes.
    """
    for name in names:
        if not isinstance(name, str):
            raise BrokenGraphError(f"a name in it is no text: {_short(name)}.")


def _check_once(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BrokenGraphError(f"{_short(name)} is defined twice.")
        seen.add(name)


def _short(name: object) -> str:
    text = repr(name)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
