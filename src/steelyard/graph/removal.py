"""Residual blocks taken out of ONNX files: their operators go, what read their output reads their input."""

import onnx

from steelyard.core.errors import InputError
from steelyard.graph.cleaning import captured_names, drop_unread
from steelyard.graph.slicing import fed_names, template
from steelyard.graph.tensors import named_tensors


def without_nodes(model: onnx.ModelProto, block: str) -> onnx.ModelProto:
    """A model without one block of the module that it was exported from; the one given is left as it was.

    Operators belong to a block by the scopes in their names, as torch's tracing exporter writes them: that of a child
    of a `Sequential` repeats the whole way, `/body/body.1/conv/Conv`.

    Args:
        model: an export that names operators by scopes.
        block: dotted name of the module, such as `body.1`.

    Raises:
        InputError: if the file has no operators of it, or they are not between one input and one output.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    graph = small.graph
    inside = [node for node in graph.node if block in _scopes(node.name)]
    if not inside:
        raise InputError(f"the file has no operators of a block {block!r}; export the smaller module itself.")
    fed = fed_names(graph, {name for name, _ in named_tensors(graph)})
    made = {name for node in inside for name in node.output}
    ours = {id(node) for node in inside}
    read = {name for node in graph.node if id(node) not in ours for name in node.input} | captured_names(graph)
    read |= {value.name for value in graph.output}
    outputs = sorted(made & read & fed)
    if len(outputs) != 1:
        raise InputError(
            f"block {block!r} can't be taken out of the file: it must have one output, got {len(outputs)}; export the "
            "smaller module itself."
        )
    source = _input(model, block, sorted({name for node in inside for name in node.input} & fed - made), outputs[0])
    _rewire(graph, source, outputs[0])
    _drop_dead(graph)
    if any(block in _scopes(node.name) and fed & set(node.output) for node in graph.node if node.op_type != "Identity"):
        raise InputError(
            f"block {block!r} can't be taken out of the file: what is computed inside is read outside; export the "
            "smaller module itself."
        )
    return small


def _scopes(name: str) -> set[str]:
    """Dotted names that the modules in which an operator stands may have, by its own name.

    `/body/body.1/` is the child of a `Sequential`, or of a `ModuleList` called `body` too in a module `body`.
    """
    found: set[str] = set()
    ways: list[tuple[str, ...]] = [()]
    for scope in name.split("/")[1:-1]:
        replaced = [(*way[:-1], scope) for way in ways if way and scope.startswith(f"{way[-1]}.")]
        ways = [*replaced, *((*way, scope) for way in ways)]
        found.update(".".join(way) for way in ways)
    return found


def _input(model: onnx.ModelProto, block: str, names: list[str], output: str) -> str:
    """What a block passes on: the only thing that it reads, or the only one of its output's shape."""
    if len(names) > 1:
        shapes = template(model).facts.shapes
        names = [name for name in names if name in shapes and shapes[name] == shapes.get(output)]
    if len(names) != 1:
        raise InputError(
            f"block {block!r} can't be taken out of the file: it must have one input of its output's shape, got "
            f"{len(names)}; export the smaller module itself."
        )
    return names[0]


def _rewire(graph: onnx.GraphProto, source: str, output: str) -> None:
    for node in graph.node:
        if output in node.output and any(value.name == output for value in graph.output):
            # The name of an output of the whole model stays: what passes its input on takes the operator's place.
            node.CopyFrom(onnx.helper.make_node("Identity", [source], [output], node.name))
            return
        for slot, name in enumerate(node.input):
            if name == output:
                node.input[slot] = source


def _drop_dead(graph: onnx.GraphProto) -> None:
    """Drop operators that no output depends on, and the stored tensors that only they read."""
    wanted = {value.name for value in graph.output} | captured_names(graph)
    stays = []
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            wanted.update(node.input)
            stays.append(node)
    kept = onnx.GraphProto(node=reversed(stays))
    graph.ClearField("node")
    graph.node.extend(kept.node)
    drop_unread(graph)
