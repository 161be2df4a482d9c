"""The way of a file through quantization: cleaned, calibrated, rewritten, checked, written."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from steelyard.core.errors import SteelyardError, UnknownNameError
from steelyard.core.protocols import Feed
from steelyard.core.wire import Plain
from steelyard.graph.audit import MOST_FLOAT, NotQuantizedError, check_quantized
from steelyard.graph.stored import stored
from steelyard.graph.weighted import Weighted, weighted_operators
from steelyard.steps.quantizing.dynamic import dynamic_operators, with_dynamic
from steelyard.steps.quantizing.feeding import read_rows
from steelyard.steps.quantizing.hiding import with_raised_masks
from steelyard.steps.quantizing.preparing import prepared
from steelyard.steps.quantizing.ranges import find_ranges
from steelyard.steps.quantizing.rewriting import gemm_as_matmul
from steelyard.steps.quantizing.static import joined_operators, static_operators, tensors_of, with_pairs
from steelyard.steps.quantizing.weights import with_small_weights, with_unpacked

if TYPE_CHECKING:
    from steelyard.steps.quantize import Quantize

_NAMED = 3
"""How many operators the error names."""

_WHY = {
    "Conv": "its dynamic integer kernel is slower than the float one",
    "ConvTranspose": "ONNX Runtime has no integer kernel for it",
    "GRU": "ONNX Runtime has no integer kernel for it",
    "RNN": "ONNX Runtime has no integer kernel for it",
    "LSTM": "its layout is not the one that the integer kernel takes",
}


def quantize(step: "Quantize", source: Path, target: Path, rows: Iterator[Feed]) -> Plain:
    """Carry out a `Quantize` step; see there.

    Raises:
        SteelyardError: if the step does not fit the model.
    """
    model = prepared(source)
    operators = weighted_operators(model)
    if not operators:
        raise SteelyardError("quantize found no convolution or matrix product with weights to quantize.")
    names = {each.name for each in operators}
    for name in step.excluded:
        if name not in names:
            raise UnknownNameError("operator", name, names, field="exclude")
    made, facts = _STEPS[step.mode](step, model, rows)
    left = weighted_operators(made)
    kept = sorted({name for each in left for name in each.weights.values()})
    whys = {each.name: _why(step, each) for each in left}
    share = stored(made).float_share
    if share > MOST_FLOAT:
        listed = "; ".join(f"{each.operator} {each.name!r}: {whys[each.name]}" for each in left[:_NAMED])
        raise NotQuantizedError(
            f"quantize with mode {step.mode!r} would leave {share:.0%} of the weights in float ({listed}); "
            "use another mode, such as 'weights'."
        )
    check_quantized(made, allowed=kept)
    onnx.save(made, target)
    return {
        "operators": len(operators) - len({each.name for each in left}),
        "mode": step.mode,
        **facts,
        "left_float": [
            {"name": each.name, "operator": each.operator, "elements": each.elements, "why": whys[each.name]}
            for each in left
        ],
        "float_weights": kept,
    }


def _static(step: "Quantize", model: onnx.ModelProto, rows: Iterator[Feed]) -> tuple[onnx.ModelProto, Plain]:
    from steelyard.steps.quantize import has_vnni  # noqa: PLC0415

    reduced = not has_vnni()
    operators = {each.name for each in static_operators(model, step.excluded)}
    facts: dict[str, Any] = {"weight_bits": 7 if reduced else 8}
    if operators:
        calibration = read_rows(model, rows, step.rows)
        facts["calibration_rows"] = calibration.rows
        model, raised = with_raised_masks(model, calibration.feeds)
        if raised:
            facts["masks"] = list(raised)
        joined = joined_operators(model, operators) if step.chains else None
        wanted = tensors_of(model, operators | (joined or frozenset()))
        ranges = find_ranges(model, wanted, calibration.feeds, step.calibration)
        model = with_pairs(
            model,
            operators,
            ranges,
            activations=step.activations,
            per_channel=step.per_channel,
            reduced=reduced,
            joined=joined,
        )
    lstms = {each.name for each in dynamic_operators(model, step.excluded) if each.operator == "LSTM"}
    if lstms:
        model = with_dynamic(model, lstms, per_channel=step.per_channel, reduced=reduced)
    return _with_small_tables(step, model), facts


def _dynamic(step: "Quantize", model: onnx.ModelProto, rows: Iterator[Feed]) -> tuple[onnx.ModelProto, Plain]:  # noqa: ARG001
    from steelyard.steps.quantize import has_vnni  # noqa: PLC0415

    reduced = not has_vnni()
    model = gemm_as_matmul(model, step.excluded)
    names = {each.name for each in dynamic_operators(model, step.excluded)}
    if names:
        model = with_dynamic(model, names, per_channel=step.per_channel, reduced=reduced)
    return _with_small_tables(step, model), {"weight_bits": 7 if reduced else 8}


def _weights(step: "Quantize", model: onnx.ModelProto, rows: Iterator[Feed]) -> tuple[onnx.ModelProto, Plain]:  # noqa: ARG001
    made = with_small_weights(
        model, bits=step.bits, packed=step.packed, per_channel=step.per_channel, exclude=step.excluded
    )
    return made, {"weight_bits": step.bits}


_STEPS = {"static": _static, "dynamic": _dynamic, "weights": _weights}


def _with_small_tables(step: "Quantize", model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with tables that are looked up in 8 bits: they cost bytes, not time."""
    tables: list[Weighted] = [
        each for each in weighted_operators(model) if each.operator == "Gather" and each.name not in step.excluded
    ]
    return with_unpacked(model, tables, bits=8, per_channel=True) if tables else model


def _why(step: "Quantize", each: Weighted) -> str:
    """Why an operator stayed in float."""
    if each.name in step.excluded:
        return "it is excluded"
    return _WHY.get(each.operator, "its weights stand where no integer kernel takes them")
