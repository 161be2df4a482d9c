"""Ensembles of decision trees in ONNX files: ONNX's operators for them keep everything in attributes."""

import onnx

from steelyard.graph.tensors import graphs_of

_LEAF = b"LEAF"
_OPERATORS = ("TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble")


def tree_numbers(model: onnx.ModelProto) -> int:
    """The learned numbers of all trees in a file: a threshold for each branch, and a weight for each leaf and target.

    Which column a branch looks at and where it leads is structure, as the wiring of a network is.
    """
    nodes = (node for graph in graphs_of(model.graph) for node in graph.node)
    return sum(_numbers(node) for node in nodes if node.domain == "ai.onnx.ml" and node.op_type in _OPERATORS)


def _numbers(node: onnx.NodeProto) -> int:
    attributes = {each.name: each for each in node.attribute}
    if node.op_type == "TreeEnsemble":
        tensors = (attributes[name].t for name in ("nodes_splits", "leaf_weights") if name in attributes)
        return sum(int(tensor.dims[0]) if tensor.dims else 0 for tensor in tensors)
    modes = attributes["nodes_modes"].strings if "nodes_modes" in attributes else ()
    weights = 0
    for name in ("target_weights", "class_weights"):
        if name in attributes:
            weights += len(attributes[name].floats)
        if f"{name}_as_tensor" in attributes:
            weights += sum(int(size) for size in attributes[f"{name}_as_tensor"].t.dims[:1])
    return int(sum(mode != _LEAF for mode in modes)) + weights
