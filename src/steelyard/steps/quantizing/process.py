"""The way of a file through quantization: cleaned, calibrated, repaired, rewritten, checked, written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from steelyard.core.errors import SteelyardError, UnknownNameError
from steelyard.core.protocols import Feed
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.graph.audit import MOST_FLOAT, NotQuantizedError, check_quantized
from steelyard.graph.equalising import equalise
from steelyard.graph.stored import stored
from steelyard.graph.weighted import Weighted, weighted_operators
from steelyard.steps.quantizing.building import Builder, ranged_tensors
from steelyard.steps.quantizing.correcting import with_corrected_biases
from steelyard.steps.quantizing.feeding import Feeds, open_model, read_rows
from steelyard.steps.quantizing.hiding import with_raised_masks
from steelyard.steps.quantizing.logarithms import before_logarithms
from steelyard.steps.quantizing.mixing import fewest_in_float, most_sensitive
from steelyard.steps.quantizing.preparing import prepared
from steelyard.steps.quantizing.processor import has_vnni
from steelyard.steps.quantizing.ranges import Range, find_ranges
from steelyard.steps.quantizing.sensitivity import ROWS, first_rows, measure_sensitivity, relative_error
from steelyard.steps.quantizing.static import static_operators, tensors_of

if TYPE_CHECKING:
    from steelyard.steps.quantize import Quantize

_NAMED = 3
"""How many operators the error names."""

SPECTRAL = "a logarithm takes what it gives, of which the smallest counts too"
"""Why what makes a spectrum stays in float."""

_WHY = {
    "Conv": "its dynamic integer kernel is slower than the float one",
    "ConvTranspose": "ONNX Runtime has no integer kernel for it",
    "GRU": "ONNX Runtime has no integer kernel for it",
    "RNN": "ONNX Runtime has no integer kernel for it",
    "LSTM": "its layout is not the one that the integer kernel takes",
}


@dataclass(frozen=True, slots=True)
class Work:
    """What is known before the model is rewritten.

    Attributes:
        step: the step.
        model: clean, repaired, in float.
        reference: clean, in float, as it came: what errors are measured against.
        feeds: rows to calibrate on; none where the step needs none.
        builder: how models are rewritten.
        facts: what has been done, for the report.
    """

    step: "Quantize"
    model: onnx.ModelProto
    reference: onnx.ModelProto
    feeds: Feeds
    builder: Builder
    facts: Mapping[str, Plain] = field(default_factory=dict)

    def outputs(self, model: onnx.ModelProto, feeds: Feeds) -> Sequence[Sequence[Array]]:
        """All outputs of a model, batch by batch."""
        session = open_model(model)
        return [session.run(None, dict(feed)) for feed in feeds]


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
    work = _started(step, model, rows)
    kept, made, facts = _chosen(work)
    left = weighted_operators(made)
    spectra = before_logarithms(model)
    whys = {each.name: SPECTRAL if each.name in spectra else _why(step, each, kept) for each in left}
    _refuse_mostly_float(step, made, left, whys)
    floats = sorted({name for each in left for name in each.weights.values()})
    check_quantized(made, allowed=floats)
    onnx.save(made, target)
    return {
        "operators": len(operators) - len(left),
        "mode": step.mode,
        "weight_bits": 7 if work.builder.reduced and step.mode != "weights" else step.bits,
        **work.facts,
        **facts,
        "left_float": [
            {"name": each.name, "operator": each.operator, "elements": each.elements, "why": whys[each.name]}
            for each in left
        ],
        "float_weights": floats,
    }


def _started(step: "Quantize", model: onnx.ModelProto, rows: Iterator[Feed]) -> Work:
    """Read the rows that the step needs, calibrate, and repair the float model."""
    facts: dict[str, Plain] = {}
    reference = model
    feeds: Feeds = ()
    if step.equalize:
        model, facts["equalized"] = equalise(model)
    ranges: Mapping[str, Range] = {}
    wanted = ranged_tensors(step, model)
    if wanted or step.is_measuring:
        calibration = read_rows(model, rows, step.rows)
        facts["calibration_rows"] = calibration.rows
        feeds = calibration.feeds
        model, raised = with_raised_masks(model, feeds)
        if raised:
            facts["masks"] = list(raised)
    if step.is_measuring and step.mode != "weights":
        names = {each.name for each in static_operators(model)}
        wanted = tuple(dict.fromkeys((*wanted, *tensors_of(model, names))))
    if wanted:
        ranges = find_ranges(model, wanted, feeds, step.calibration)
    return Work(step, model, reference, feeds, Builder(step, not has_vnni(), ranges), facts)


def _chosen(work: Work) -> tuple[frozenset[str], onnx.ModelProto, Plain]:
    """Which operators stay in float on the step's own account, the quantized model, and how it was found."""
    step, always = work.step, frozenset(work.step.excluded)
    if step.mode != "weights":
        always |= before_logarithms(work.model)
    model = work.model
    facts: dict[str, Plain] = {}
    if step.bias_correction:
        model, facts = _corrected(work, always)
    if not (step.keep_float or step.max_error):
        return frozenset(), work.builder.build(model, always), facts
    found = measure_sensitivity(model, work.builder.ranges, work.feeds, bits=step.bits, per_channel=step.per_channel)
    always |= most_sensitive(found, step.keep_float)
    made, kept = work.builder.build(model, always), always
    feeds = work.feeds
    reference = work.outputs(work.reference, feeds)

    def error_of(names: frozenset[str]) -> tuple[float, onnx.ModelProto]:
        built = work.builder.build(model, names)
        return relative_error(reference, work.outputs(built, feeds)), built

    if step.max_error:
        kept, error, made = fewest_in_float(found, error_of, step.max_error, always=always)
    else:
        error = relative_error(reference, work.outputs(made, feeds))
    told = sorted(found, key=lambda each: -(each.output_error or 0.0))
    return kept, made, {**facts, "output_error": error, "sensitivity": [each.to_json() for each in told]}


def _corrected(work: Work, always: frozenset[str]) -> tuple[onnx.ModelProto, dict[str, Plain]]:
    """The model with corrected biases, if that lowers the output error on the calibration rows; else as it was."""
    step, builder = work.step, work.builder
    corrected, number = with_corrected_biases(
        work.model, builder.ranges, work.feeds, bits=step.bits, per_channel=step.per_channel
    )
    feeds = first_rows(work.feeds, 4 * ROWS)
    reference = work.outputs(work.reference, feeds)
    before, after = (
        relative_error(reference, work.outputs(builder.build(model, always), feeds))
        for model in (work.model, corrected)
    )
    is_better = after < before
    facts = {"operators": number if is_better else 0, "error_before": before, "error_after": after}
    return (corrected if is_better else work.model), {"bias_correction": facts}


def _refuse_mostly_float(
    step: "Quantize", made: onnx.ModelProto, left: Sequence[Weighted], whys: Mapping[str, str]
) -> None:
    """Refuse a model that would be called quantized and is not.

    Raises:
        NotQuantizedError: naming the operators that stayed in float, and why.
    """
    share = stored(made).float_share
    if share <= MOST_FLOAT:
        return
    listed = "; ".join(f"{each.operator} {each.name!r}: {whys[each.name]}" for each in left[:_NAMED])
    more = f"; and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    raise NotQuantizedError(
        f"quantize with mode {step.mode!r} would leave {share:.0%} of the weights in float ({listed}{more}); "
        "use another mode, such as 'weights'."
    )


def _why(step: "Quantize", each: Weighted, kept: frozenset[str]) -> str:
    """Why an operator stayed in float."""
    if each.name in step.excluded:
        return "it is excluded"
    if each.name in kept:
        return "quantizing it costs the most"
    return _WHY.get(each.operator, "its weights stand where no integer kernel takes them")
