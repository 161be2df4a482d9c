"""What a model file really stores: the loudest complaint about compression is "compressed, but no smaller"."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx

from steelyard.core.errors import SteelyardError
from steelyard.graph.stored import stored
from steelyard.graph.tensors import stored_tensors, uses_of_tensors

WEIGHT_SLOTS = {
    "Conv": frozenset((1,)),
    "ConvTranspose": frozenset((1,)),
    "Gemm": frozenset((0, 1)),
    "MatMul": frozenset((0, 1)),
    "LSTM": frozenset((1, 2)),
    "GRU": frozenset((1, 2)),
    "RNN": frozenset((1, 2)),
    "Gather": frozenset((0,)),
}
"""Which inputs of which operators quantization must reach; biases may stay wide, they are few."""

MOST_FLOAT = 0.5
"""Largest share of the weights that a quantized file may keep in float, even on purpose: beyond, the name misleads."""

_NAMED = 5
"""How many weights an error names before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a file one element type takes."""

    elements: int
    bytes: int


class NotQuantizedError(SteelyardError):
    """A file that should be quantized keeps weights in float32."""

    kind = "not-quantized"


def stored_types(model: onnx.ModelProto) -> Mapping[str, Share]:
    """Elements and bytes of all stored tensors by element type: "float32", "int8", "int64" ..."""
    shares: dict[str, Share] = {}
    for tensor in stored_tensors(model):
        before = shares.get(tensor.type, Share(0, 0))
        shares[tensor.type] = Share(before.elements + tensor.elements, before.bytes + tensor.bytes)
    return shares


def float_weights(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the weights of convolutions, products, recurrent layers and tables that are stored in float32.

    Scales that are looked up beside a table stand in columns and are no table. Weights that a QuantizeLinear rounds
    each time the model runs are stored in float32 as well.
    """
    names = {
        use.tensor.name: None
        for use in uses_of_tensors(model)
        if use.tensor.type == "float32"
        and use.slot in WEIGHT_SLOTS.get(use.operator, ())
        and (use.operator != "Gather" or (len(use.tensor.shape) > 1 and use.tensor.shape[-1] > 1))
    }
    return tuple(names)


def check_quantized(model: onnx.ModelProto, *, allowed: Collection[str] = (), most_float: float = MOST_FLOAT) -> None:
    """Refuse a quantized model whose weights are not.

    Args:
        model: the file that a quantization step wrote.
        allowed: names of weights that were left out on purpose.
        most_float: share of the weights that may be left out.

    Raises:
        NotQuantizedError: naming the weights that are stored in float32.
    """
    found = float_weights(model)
    names = [name for name in found if name not in allowed]
    if names:
        raise NotQuantizedError(f"the quantized model must store no weight in float32, got {_listed(names)}.")
    share = stored(model).float_share
    if share > most_float:
        raise NotQuantizedError(
            f"the quantized model must store at most {most_float:.0%} of its weights in float, got {share:.0%}: "
            f"{_listed(found)}."
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more
