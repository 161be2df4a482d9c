"""Attention masks: constants so low that they hide a key, and ruin the range of whatever is quantized with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from steelyard.core.wire import Plain
from steelyard.graph.weighted import FLOATS, initializers, readers, set_values, values_of

LOW = -1e3
"""No trained score is as low; masks are −1e4, the lowest float, or −infinity."""

SPARE = 18.0
"""Below the largest score by so much, a key weighs under half a unit in the last place of float32: e^−18 < 2^−25."""

MARGIN = 1.25
"""How much wider than on the rows at hand scores may spread."""

_ON_THE_WAY = frozenset(
    ("Add", "Where", "Mul", "Sub", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Expand", "Slice", "Cast", "Gather")
)
"""Operators between a mask and the softmax that it is for."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A stored tensor that hides scores from a softmax.

    Attributes:
        tensor: its name.
        node: the operator that reads it.
        scores: the tensor that the softmax reads.
        lowest: its lowest value, maybe −infinity.
    """

    tensor: str
    node: str
    scores: str
    lowest: float


def find_masks(model: onnx.ModelProto) -> tuple[Mask, ...]:
    """The masks of a clean model: stored floats below −1000 that reach nothing but softmax operators by sums."""
    return tuple(_masks(model.graph))


def _masks(graph: onnx.GraphProto) -> Iterator[Mask]:
    by_input = readers(graph)
    outputs = {value.name for value in graph.output}
    for tensor in graph.initializer:
        if tensor.data_type not in FLOATS:
            continue
        values = values_of(tensor)
        if not values.size or not values.min() <= LOW:
            continue
        scores = _softmax_inputs(tensor.name, by_input, outputs)
        if scores:
            yield Mask(tensor.name, by_input[tensor.name][0].name, scores[0], float(values.min()))


def _softmax_inputs(name: str, by_input: Mapping[str, Sequence[onnx.NodeProto]], outputs: set[str]) -> list[str]:
    """Inputs of the softmax operators that a tensor ends in; none if it goes anywhere else too."""
    found: list[str] = []
    waiting, seen = [name], set()
    while waiting:
        each = waiting.pop()
        if each in outputs or each not in by_input:
            return []
        for node in by_input[each]:
            if node.op_type == "Softmax":
                found.append(each)
            elif node.op_type not in _ON_THE_WAY:
                return []
            elif node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return found


def floor_of(scores: NDArray[np.float32]) -> float:
    """The highest value that still hides a key, from scores with their masks on; −infinity if all are hidden.

    References:
        Softmax weights are exponentials of differences to the largest score; see `SPARE`.
    """
    seen = scores[scores > LOW / 2]
    if not seen.size:
        return -np.inf
    low, high = float(seen.min()), float(seen.max())
    return -float(np.ceil(MARGIN * max(abs(low), abs(high), high - low) + SPARE))


def raise_masks(model: onnx.ModelProto, floors: Mapping[str, float]) -> tuple[onnx.ModelProto, tuple[Plain, ...]]:
    """A copy whose masks are no lower than needed, and what was changed.

    Args:
        model: a clean model.
        floors: by name of a mask's tensor, the value to raise it to.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stored = initializers(copy.graph)
    done: list[Plain] = []
    for mask in find_masks(copy):
        floor = floors.get(mask.tensor, -np.inf)
        if mask.lowest < floor:
            set_values(stored[mask.tensor], np.maximum(values_of(stored[mask.tensor]), np.float32(floor)))
            # JSON has no infinity: what was hidden without a bound is said so.
            was = mask.lowest if np.isfinite(mask.lowest) else "-inf"
            done.append({"tensor": mask.tensor, "node": mask.node, "was": was, "now": floor})
    return copy, tuple(done)
