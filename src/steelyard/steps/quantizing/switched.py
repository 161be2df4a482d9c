"""One session in which each operator can be quantized alone: weights and switches are inputs with stored defaults.

Opening a session for every operator costs more than running it. Here the float model has, before each operator, both
the activation as it is and as 8 bits would have it, and a stored switch that says which; its weights can be given anew.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from steelyard.core.task import Array
from steelyard.graph.weighted import Weighted, initializers, values_of, weighted_operators
from steelyard.steps.quantizing.feeding import Feeds, open_model
from steelyard.steps.quantizing.ranges import LEVELS, Range, tapped
from steelyard.steps.quantizing.weights import channel_axes, rounded_values

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Switched:
    """A session and what to feed it, by operator, to quantize that operator alone.

    Attributes:
        session: ONNX Runtime's.
        turned: by operator: its switch and its rounded weights, by the names of the inputs.
        weight_errors: by operator: RMS of the rounding error over RMS of its weights.
        outputs: names of the model's outputs.
    """

    session: Any
    turned: Mapping[str, Mapping[str, Array]]
    weight_errors: Mapping[str, float]
    outputs: tuple[str, ...]

    def run(self, feeds: Feeds, names: Collection[str], quantized: str | None = None) -> list[list[Array]]:
        """The named tensors, batch by batch, with one operator quantized or none."""
        extra = self.turned[quantized] if quantized is not None else {}
        return [self.session.run(list(names), {**feed, **extra}) for feed in feeds]


def switched(
    model: onnx.ModelProto, ranges: Mapping[str, Range], *, bits: int, per_channel: bool, taps: Collection[str] = ()
) -> Switched:
    """The session for a clean model.

    Args:
        model: left as it was.
        ranges: of activations; where an operator's input has none, its weights alone are rounded.
        bits: of the weights.
        per_channel: whether each channel has a scale of its own.
        taps: names of further tensors that runs may ask for.
    """
    copy = tapped(model, tuple(taps))
    graph = copy.graph
    nodes = {node.name: node for node in graph.node}
    turned: dict[str, dict[str, Array]] = {}
    errors: dict[str, float] = {}
    before: dict[str, list[onnx.NodeProto]] = {}
    for index, each in enumerate(weighted_operators(copy)):
        turned[each.name], errors[each.name] = _rounded(copy, nodes[each.name], each, bits, per_channel=per_channel)
        name = nodes[each.name].input[0]
        if name in ranges and 0 not in each.weights:
            before[each.name] = _switch(graph, name, ranges[name], index)
            nodes[each.name].input[0] = before[each.name][-1].output[0]
            turned[each.name][f"switch.{index}"] = np.array(True)
    placed = [made for node in graph.node for made in (*before.get(node.name, ()), node)]
    del graph.node[:]
    graph.node.extend(placed)
    stored = initializers(graph)
    known = {value.name for value in graph.input}
    for name in sorted({name for feed in turned.values() for name in feed} - known):
        tensor = stored[name]
        graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims)))
    return Switched(open_model(copy), turned, errors, tuple(value.name for value in model.graph.output))


def _rounded(
    model: onnx.ModelProto, node: onnx.NodeProto, each: Weighted, bits: int, *, per_channel: bool
) -> tuple[dict[str, Array], float]:
    """An operator's weights as few bits would have them, and their relative error; shared weights are copied first."""
    stored = initializers(model.graph)
    found: dict[str, Array] = {}
    wrong = whole = 0.0
    for slot, axis in channel_axes(each, node).items():
        values = values_of(stored[each.weights[slot]])
        own = f"{each.weights[slot]}.of.{each.name}.{slot}"
        model.graph.initializer.append(numpy_helper.from_array(values, own))
        node.input[slot] = own
        found[own] = rounded_values(values, axis, bits=bits, per_channel=per_channel)
        wrong += float(np.square(found[own] - values, dtype=np.float64).sum())
        whole += float(np.square(values, dtype=np.float64).sum())
    return found, float(np.sqrt(wrong / whole)) if whole else 0.0


def _switch(graph: onnx.GraphProto, name: str, found: Range, index: int) -> list[onnx.NodeProto]:
    """Operators that round an activation to 256 levels where a stored switch says so."""
    low, high = min(found[0], 0.0), max(found[1], 0.0)
    scale = np.float32(max((high - low) / (LEVELS - 1), 1e-12))
    zero = np.uint8(np.clip(round(-low / float(scale)), 0, LEVELS - 1))
    base = f"switch.{index}"
    constants: dict[str, Array] = {
        f"{base}.scale": np.asarray(scale),
        f"{base}.zero": np.asarray(zero),
        base: np.array(False),
    }
    graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    pair = [f"{base}.scale", f"{base}.zero"]
    make = onnx.helper.make_node
    return [
        make("QuantizeLinear", [name, *pair], [f"{base}.q"], name=f"{base}.quantize"),
        make("DequantizeLinear", [f"{base}.q", *pair], [f"{base}.d"], name=f"{base}.dequantize"),
        make("Where", [base, f"{base}.d", name], [f"{base}.x"], name=f"{base}.where"),
    ]
