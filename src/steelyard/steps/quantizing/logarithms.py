"""Operators whose results a logarithm takes: spectra, whose smallest values count as much as the largest."""

import onnx

from steelyard.graph.weighted import WEIGHTS_OF

PASSED = frozenset(
    ("Abs", "Add", "Clip", "Concat", "Identity", "Max", "Mul", "Pow", "Reshape", "Slice", "Split", "Sqrt", "Squeeze",
     "Sub", "Transpose", "Unsqueeze")
)  # fmt: skip
"""Operators through which the way leads back from a logarithm: sums, powers, and what only moves numbers."""


def before_logarithms(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the operators with weights from which a logarithm is reached by sums and powers alone.

    A scale for 8 bits fits the largest value; the logarithm of what is rounded to nothing is of no use. Activations and
    normalisation end the way: behind them values are of one size.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    waiting = [name for node in model.graph.node if node.op_type == "Log" for name in node.input]
    found: set[str] = set()
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type in WEIGHTS_OF:
            found.add(node.name)
        elif node.op_type not in PASSED:
            continue
        waiting.extend(node.input)
    return frozenset(found)
