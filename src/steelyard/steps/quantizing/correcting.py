"""Bias correction: quantization shifts what a channel gives on average; its bias takes the shift back.

References:
    M. Nagel et al., Data-free quantization through weight equalization and bias correction, ICCV 2019 (section 4.2).
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.core.task import Array
from steelyard.graph.weighted import initializers, readers, set_values, values_of
from steelyard.steps.quantizing.feeding import Feeds
from steelyard.steps.quantizing.ranges import Range
from steelyard.steps.quantizing.static import static_operators
from steelyard.steps.quantizing.switched import switched


def with_corrected_biases(
    model: onnx.ModelProto, ranges: Mapping[str, Range], feeds: Feeds, *, bits: int, per_channel: bool
) -> tuple[onnx.ModelProto, int]:
    """A copy whose biases make up for the mean shift of each channel, and how many operators were corrected.

    The shift is measured with one operator quantized at a time, all else in float: to first order the shifts add up.
    """
    operators = [each.name for each in static_operators(model)]
    outputs = {node.name: node.output[0] for node in model.graph.node if node.name in set(operators)}
    session = switched(model, ranges, bits=bits, per_channel=per_channel, taps=tuple(outputs.values()))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = {node.name: node for node in copy.graph.node}
    by_input = readers(copy.graph)
    before = session.run(feeds, tuple(outputs.values()))
    done = 0
    for index, name in enumerate(operators):
        after = session.run(feeds, (outputs[name],), name)
        node = nodes[name]
        axis = 1 if node.op_type == "Conv" else -1
        shift = _mean([part[index] for part in before], axis) - _mean([part[0] for part in after], axis)
        done += _shifted(copy.graph, node, by_input.get(node.output[0], []), shift.astype(np.float32))
    return copy, done


def _mean(parts: list[Array], axis: int) -> NDArray[np.float64]:
    """The mean of each channel over batches."""
    total, number = 0.0, 0
    for part in parts:
        moved = np.moveaxis(part, axis, -1).reshape(-1, part.shape[axis])
        total = total + moved.sum(0, dtype=np.float64)
        number += len(moved)
    return np.asarray(total) / max(number, 1)


def _shifted(
    graph: onnx.GraphProto, node: onnx.NodeProto, after: list[onnx.NodeProto], shift: NDArray[np.float32]
) -> bool:
    """Add a shift to an operator's bias, which is made where a convolution or Gemm has none; whether that was done."""
    stored = initializers(graph)
    bias = node.input[2] if len(node.input) > 2 else ""
    if node.op_type == "MatMul":
        # Its bias is the constant of the sum that alone reads it.
        sums = [each for each in after if each.op_type == "Add"]
        bias = next((name for each in sums for name in each.input if name in stored), "")
        if len(after) != 1 or not bias or stored[bias].dims != [len(shift)]:
            return False
    own = f"{node.name}.corrected"
    if not bias:
        graph.initializer.append(numpy_helper.from_array(shift, own))
        node.input[:] = [*node.input[:2], own]
        return True
    if bias not in stored:
        return False
    values = values_of(stored[bias])
    if sum(bias in each.input for each in graph.node) == 1:
        set_values(stored[bias], values + shift)
        return True
    graph.initializer.append(numpy_helper.from_array(values + shift, own))
    for reader in (node, *after):
        reader.input[:] = [own if name == bias else name for name in reader.input]
    return True
