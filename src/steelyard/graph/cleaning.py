"""Graph clean-up before anything else: constants folded, dead and idle operators removed, stale shapes dropped."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from steelyard.core.errors import InputError
from steelyard.core.wire import Plain
from steelyard.graph.tensors import all_tensors, constant_tensor, describe, graphs_of

_ALWAYS_KNOWN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")
"""Domains whose operators ONNX Runtime brings along."""

_MOST_GROWTH = 1.05
"""Stored bytes after folding constants over those before; shapes and masks that are written out take a little."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What the clean-up did.

    Attributes:
        before: operators of the graph as it came.
        after: operators that are left.
        gone: how many operators of each type fewer there are; fused ones count as gone.
    """

    before: int
    after: int
    gone: Mapping[str, int]

    def to_json(self) -> Plain:
        """The plain form."""
        return {"operators_before": self.before, "operators_after": self.after, "gone": dict(self.gone)}


def clean(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Cleaned]:
    """A model that computes the same with fewer operators; the one given is left as it was.

    Shapes that the file states are dropped and inferred anew: exporters leave stale ones behind. ONNX Runtime's basic
    optimisation, which keeps to ONNX's own operators, folds constants and removes what is idle. Every operator of the
    result has a name of its own, and constants are initializers.

    Raises:
        InputError: if the model has operators that ONNX Runtime does not know, or it refuses the model.
    """
    check_domains(model)
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for graph in graphs_of(bare.graph):
        del graph.value_info[:]
    _name_nodes(bare)
    found = _folded(bare)
    if _bytes(found) > _MOST_GROWTH * _bytes(bare):
        # Folding writes out what was stored once and laid out twice, such as a table that is a matrix as well.
        found = _folded(bare, without=("ConstantFolding",))
    _lift_constants(found.graph)
    _remove_idle(found.graph)
    _remove_dead(found.graph)
    _name_nodes(found)
    _drop_unused_domains(found)
    found = _with_shapes(found)
    before, after = (Counter(node.op_type for node in each.graph.node) for each in (model, found))
    return found, Cleaned(sum(before.values()), sum(after.values()), dict(sorted((before - after).items())))


def check_domains(model: onnx.ModelProto) -> None:
    """Refuse operators of other makers: nothing is known of what they compute.

    Raises:
        InputError: naming an operator and its domain.
    """
    known = {*_ALWAYS_KNOWN, *(function.domain for function in model.functions)}
    for graph in graphs_of(model.graph):
        for node in graph.node:
            if node.domain not in known:
                raise InputError(
                    f"the model's operator {node.op_type!r} is of the custom domain {node.domain!r}, which this step "
                    "does not know; replace it by ONNX's own operators."
                )


def _bytes(model: onnx.ModelProto) -> int:
    return sum(describe(name, tensor).bytes for name, tensor in all_tensors(model))


def _folded(model: onnx.ModelProto, without: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The model as ONNX Runtime's basic optimisation leaves it."""
    import onnxruntime  # noqa: PLC0415  only the clean-up needs a runtime, not whoever reads graphs

    with tempfile.TemporaryDirectory(prefix="steelyard-clean-") as folder:
        target = Path(folder) / "clean.onnx"
        settings = onnxruntime.SessionOptions()
        settings.optimized_model_filepath = str(target)
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        settings.log_severity_level = 4
        settings.intra_op_num_threads = 1
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(),
                settings,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(without),
            )
        except Exception as error:
            line = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InputError(f"ONNX Runtime can't load the model: {line}") from error
        return onnx.load(target)


def _lift_constants(graph: onnx.GraphProto) -> None:
    """Make the tensors of Constant nodes initializers, where steps look for weights."""
    for node in list(graph.node):
        tensor = constant_tensor(node)
        if tensor is not None and not any(each.name == node.output[0] for each in graph.output):
            lifted = graph.initializer.add()
            lifted.CopyFrom(tensor)
            lifted.name = node.output[0]
            graph.node.remove(node)


def _remove_idle(graph: onnx.GraphProto) -> None:
    """Remove Identity operators, and Dropout whose mask nobody reads, between two operators."""
    outputs = {value.name for value in graph.output}
    captured = captured_names(graph)
    for node in list(graph.node):
        is_idle = node.op_type == "Identity" or (node.op_type == "Dropout" and len(node.output) == 1)
        if is_idle and node.output[0] not in outputs | captured:
            for reader in graph.node:
                for slot, name in enumerate(reader.input):
                    if name == node.output[0]:
                        reader.input[slot] = node.input[0]
            graph.node.remove(node)


def _remove_dead(graph: onnx.GraphProto) -> None:
    """Remove operators and stored tensors that no output depends on."""
    wanted = {value.name for value in graph.output} | captured_names(graph)
    for node in reversed(list(graph.node)):
        if any(name in wanted for name in node.output):
            wanted.update(node.input)
        else:
            graph.node.remove(node)
    for tensor in list(graph.initializer):
        if tensor.name not in wanted:
            graph.initializer.remove(tensor)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Drop stored tensors that no operator and no output reads any more."""
    read = {name for node in graph.node for name in node.input} | captured_names(graph)
    read |= {value.name for value in graph.output}
    for tensor in list(graph.initializer):
        if tensor.name not in read:
            graph.initializer.remove(tensor)


def captured_names(graph: onnx.GraphProto) -> set[str]:
    """Names that branches and loop bodies read; those of the graph itself may be among them."""
    inner = list(graphs_of(graph))[1:]
    return {name for each in inner for node in each.node for name in node.input} | {
        value.name for each in inner for value in each.output
    }


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every operator a name of its own: steps and reports speak of operators by name."""
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
            while node.name in taken:
                node.name += "_"
        taken.add(node.name)


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """Drop the operator sets that the runtime declares but no operator needs."""
    used = {node.domain or "ai.onnx" for graph in graphs_of(model.graph) for node in graph.node}
    used |= {node.domain or "ai.onnx" for function in model.functions for node in function.node}
    for entry in list(model.opset_import):
        if (entry.domain or "ai.onnx") not in used | {"ai.onnx"}:
            model.opset_import.remove(entry)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with shapes as ONNX infers them now; without, where it can't."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return model
