"""What a runtime's optimiser made of a quantized file: which products run in integers, and which stayed in float.

Quantize-dequantize pairs are instructions to the optimiser, not integer kernels: where they don't fuse with the
operator between them, it runs in float and the pairs cost time on top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import onnx

from steelyard.core.wire import Plain
from steelyard.graph.operators import OPERATORS, operator_name
from steelyard.graph.tensors import PASSING

PRODUCTS = frozenset(
    name
    for name, operator in OPERATORS.items()
    if operator.macs is not None and any(part in name for part in ("Conv", "Gemm", "MatMul", "LSTM", "Attention"))
)
"""Operators that are worth quantizing, in all their forms, integer ones too."""

CONVERSIONS = frozenset(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"))
"""Operators that change the format of numbers; ONNX Runtime has them under its own domain as well."""

_LAYOUTS = PASSING | {"com.microsoft.nchwc.ReorderInput", "com.microsoft.nchwc.ReorderOutput"}
_NAMED = 5
"""How many operators a sentence names before it says how many more there are."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """An operator of the optimised graph that quantization did not do away with.

    Attributes:
        name: of the node, or of its first output where it has none.
        operator: its name.
        share: of the model's time; None where no trace tells.
    """

    name: str
    operator: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """How much of a quantized file really runs in integers.

    Attributes:
        integers: products that run in integers.
        unfused: products that run in float although their inputs were quantized: the pairs around them did not fuse.
        floats: products that run in float because the file never quantized them.
        conversions: quantize and dequantize operators left inside the graph; those that only convert what comes in or
            goes out are not counted, they can't be done without.
    """

    integers: int
    unfused: tuple[Leftover, ...]
    floats: tuple[Leftover, ...]
    conversions: tuple[Leftover, ...]

    @property
    def is_clean(self) -> bool:
        """Whether everything that the file quantizes runs in integers, without conversions in between."""
        return not (self.unfused or self.conversions)

    @property
    def lost_share(self) -> float | None:
        """Share of the time in products that should have fused and in conversions; None where no trace tells."""
        shares = [each.share for each in (*self.unfused, *self.conversions)]
        if any(share is None for share in shares):
            return None
        return sum(share for share in shares if share is not None)

    def with_shares(self, shares: Mapping[str, float]) -> Self:
        """The same audit with the shares of time that a trace tells by node."""

        def told(leftovers: Sequence[Leftover]) -> tuple[Leftover, ...]:
            return tuple(replace(each, share=shares.get(each.name)) for each in leftovers)

        return replace(
            self, unfused=told(self.unfused), floats=told(self.floats), conversions=told(self.conversions)
        )  # fmt: skip

    def sentences(self) -> tuple[str, ...]:
        """What a user should know, worst first."""
        found = []
        products = self.integers + len(self.unfused) + len(self.floats)
        if self.unfused:
            found.append(
                f"{len(self.unfused)} of {products} products run in float although the file quantizes them"
                f"{_costing(self.unfused)}: {_listed(self.unfused)}."
            )
        if self.conversions:
            found.append(
                f"{len(self.conversions)} conversions between float and integer are left inside the graph"
                f"{_costing(self.conversions)}: {_listed(self.conversions)}."
            )
        if self.floats:
            found.append(
                f"{len(self.floats)} of {products} products run in float because the file does not quantize them"
                f"{_costing(self.floats)}: {_listed(self.floats)}."
            )
        if not found:
            found.append(f"All {products} products run in integers.")
        return tuple(found)

    def to_json(self) -> Plain:
        """The plain form, with the sentences."""
        lists = {
            name: [{"name": each.name, "operator": each.operator, "share": each.share} for each in getattr(self, name)]
            for name in ("unfused", "floats", "conversions")
        }
        return {"integers": self.integers, **lists, "lost_share": self.lost_share, "sentences": list(self.sentences())}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`; the sentences follow from the rest."""
        lists = {
            name: tuple(Leftover(each["name"], each["operator"], each["share"]) for each in plain[name])
            for name in ("unfused", "floats", "conversions")
        }
        return cls(integers=plain["integers"], **lists)


def audit_graph(source: onnx.ModelProto, optimised: onnx.ModelProto) -> Audit | None:
    """Compare a file with the graph that a runtime made of it; None where the file is not quantized.

    Args:
        source: the file as it is.
        optimised: its optimised graph.
    """
    if not is_quantized(source):
        return None
    graph = optimised.graph
    makers = {name: node for node in graph.node for name in node.output}
    integers, unfused, floats = 0, [], []
    for node in graph.node:
        name = operator_name(node)
        if name not in PRODUCTS:
            continue
        if OPERATORS[name].is_integer:
            integers += 1
        elif any(_is_dequantized(each, makers) for each in node.input[:2]):
            unfused.append(_leftover(node))
        else:
            floats.append(_leftover(node))
    return Audit(integers, tuple(unfused), tuple(floats), _conversions(graph, makers))


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the file asks for integer products: by integer operators, or by quantize-dequantize pairs."""
    for node in model.graph.node:
        operator = OPERATORS.get(operator_name(node))
        if (operator is not None and operator.is_integer) or node.op_type in CONVERSIONS:
            return True
    return False


def _conversions(graph: onnx.GraphProto, makers: Mapping[str, onnx.NodeProto]) -> tuple[Leftover, ...]:
    """Conversions between operators of the graph; stored tensors that are dequantized at run time are among them."""
    inputs = {value.name for value in graph.input}
    outputs = {value.name for value in graph.output}
    found = []
    for node in graph.node:
        if node.op_type not in CONVERSIONS:
            continue
        enters = node.op_type != "DequantizeLinear" and _origin(node.input[0], makers) in inputs
        leaves = node.op_type == "DequantizeLinear" and any(name in outputs for name in node.output)
        if not (enters or leaves):
            found.append(_leftover(node))
    return tuple(found)


def _is_dequantized(name: str, makers: Mapping[str, onnx.NodeProto]) -> bool:
    """Whether a tensor comes out of a DequantizeLinear, seen through operators that only lay it out differently."""
    seen = set()
    while name in makers and name not in seen:
        seen.add(name)
        node = makers[name]
        if node.op_type == "DequantizeLinear":
            return True
        if operator_name(node) not in _LAYOUTS or not node.input:
            return False
        name = node.input[0]
    return False


def _origin(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """Where a tensor comes from, seen through operators that only lay it out differently."""
    seen = set()
    while name in makers and name not in seen:
        seen.add(name)
        node = makers[name]
        if operator_name(node) not in _LAYOUTS - CONVERSIONS or not node.input:
            break
        name = node.input[0]
    return name


def _leftover(node: onnx.NodeProto) -> Leftover:
    return Leftover(node.name or next(iter(node.output), ""), operator_name(node))


def _listed(leftovers: Sequence[Leftover]) -> str:
    """The costliest by name, and how many more."""
    ordered = sorted(leftovers, key=lambda each: -(each.share or 0.0))
    names = ", ".join(f"{each.name!r} ({each.operator.rpartition('.')[2]})" for each in ordered[:_NAMED])
    return names + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")


def _costing(leftovers: Sequence[Leftover]) -> str:
    """Their share of the time, in brackets; nothing where it is not known."""
    shares = [each.share for each in leftovers if each.share is not None]
    return f" ({sum(shares):.0%} of the time)" if len(shares) == len(leftovers) else ""
