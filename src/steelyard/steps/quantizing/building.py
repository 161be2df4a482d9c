"""The quantized form of a prepared model, given which operators stay in float."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from steelyard.graph.weighted import weighted_operators
from steelyard.steps.quantizing.dynamic import dynamic_operators, with_dynamic
from steelyard.steps.quantizing.ranges import Range
from steelyard.steps.quantizing.rewriting import gemm_as_matmul
from steelyard.steps.quantizing.static import joined_operators, static_operators, tensors_of, with_pairs
from steelyard.steps.quantizing.weights import with_small_weights, with_unpacked

if TYPE_CHECKING:
    from steelyard.steps.quantize import Quantize


@dataclass(frozen=True, slots=True)
class Builder:
    """How a `Quantize` step rewrites models.

    Attributes:
        step: the step.
        reduced: whether weights keep to 7 bits.
        ranges: of the activations, for mode "static".
    """

    step: "Quantize"
    reduced: bool
    ranges: Mapping[str, Range]

    def build(self, model: onnx.ModelProto, kept: frozenset[str]) -> onnx.ModelProto:
        """The quantized form of a clean model, left as it was; the operators named in `kept` stay in float."""
        step = self.step
        if step.mode == "weights":
            return with_small_weights(
                model, bits=step.bits, packed=step.packed, per_channel=step.per_channel, exclude=kept
            )
        if step.mode == "static":
            return self._with_small_tables(self._with_dynamic(self._static(model, kept), kept, ("LSTM",)), kept)
        made = self._with_dynamic(gemm_as_matmul(model, kept), kept, ("LSTM", "MatMul"))
        return self._with_small_tables(made, kept)

    def _static(self, model: onnx.ModelProto, kept: frozenset[str]) -> onnx.ModelProto:
        names = {each.name for each in static_operators(model, kept)}
        if not names:
            return model
        return with_pairs(
            model,
            names,
            self.ranges,
            activations=self.step.activations,
            per_channel=self.step.per_channel,
            reduced=self.reduced,
            joined=joined_operators(model, names) if self.step.chains else None,
        )

    def _with_dynamic(self, model: onnx.ModelProto, kept: frozenset[str], types: tuple[str, ...]) -> onnx.ModelProto:
        names = {each.name for each in dynamic_operators(model, kept) if each.operator in types}
        if not names:
            return model
        return with_dynamic(model, names, per_channel=self.step.per_channel, reduced=self.reduced)

    def _with_small_tables(self, model: onnx.ModelProto, kept: frozenset[str]) -> onnx.ModelProto:
        """Tables that are looked up in 8 bits: they cost bytes, not time."""
        tables = [each for each in weighted_operators(model) if each.operator == "Gather" and each.name not in kept]
        return with_unpacked(model, tables, bits=8, per_channel=True) if tables else model


def ranged_tensors(step: "Quantize", model: onnx.ModelProto) -> tuple[str, ...]:
    """Activations whose ranges the step needs; what stays in float later needs no more."""
    if step.mode != "static":
        return ()
    names = {each.name for each in static_operators(model, step.excluded)}
    joined = joined_operators(model, names) if step.chains else frozenset[str]()
    return tensors_of(model, names | joined)
