"""Exports with every parameter as it is, under its own name: files that can be sliced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed
from steelyard.runtimes.loading import first_line, repeated
from steelyard.runtimes.onnxruntime.export import by_tracing


def export_unfolded(module: Any, example: Feed, path: Path) -> tuple[str, ...]:
    """Write a module with its stored tensors as they are, under their own names, so that the file can be sliced.

    Batch norm stays an operator of its own and no constant is folded; what the file computes is the same. It is larger
    and may be slower than `export`'s until a runtime has optimised it.

    Args:
        module: from raw rows (n, ...) to outputs (n, width).
        example: raw rows (2 or more, ...), or such rows by the names of the inputs.
        path: where the file goes.

    Returns:
        names of parameters and buffers that the file does not hold under their name: nothing that it computes reads
        them.

    Raises:
        RuntimeFailureError: if the module can't be traced; torch.export, the other way, has no names that stay.
    """
    module = module.eval()
    names = list(example) if isinstance(example, Mapping) else ["x"]
    try:
        by_tracing(module, names, repeated(example), path, is_unfolded=True)
    except Exception as error:
        raise RuntimeFailureError(
            f"torch can't export the module to ONNX with its parameters as they are: {first_line(error)}"
        ) from error
    return _give_names(module, path)


def _give_names(module: Any, path: Path) -> tuple[str, ...]:
    """Store every tensor under its first name: the exporter stores equal ones once, and a shared one twice."""
    stored = dict([*module.named_parameters(), *module.named_buffers()])
    first = {id(tensor): name for name, tensor in stored.items()}
    every = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    alias = {name: first[id(tensor)] for name, tensor in every if name not in stored}
    model = onnx.load(path)
    graph = model.graph
    for node in list(graph.node):
        if node.op_type == "Identity" and (node.output[0] in stored or node.output[0] in alias):
            graph.node.remove(node)
    for node in graph.node:
        for slot, name in enumerate(node.input):
            if name in alias:
                node.input[slot] = alias[name]
    read = {name for node in graph.node for name in node.input}
    others = [tensor for tensor in graph.initializer if tensor.name not in stored and tensor.name in read]
    kept = onnx.GraphProto(initializer=others)
    graph.ClearField("initializer")
    graph.initializer.extend(kept.initializer)
    for name, tensor in stored.items():
        if name in read:
            graph.initializer.append(onnx.numpy_helper.from_array(tensor.detach().numpy(), name))
    onnx.save(model, path)
    return tuple(name for name in stored if name not in read)
