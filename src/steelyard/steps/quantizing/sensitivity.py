"""Sensitivity of each operator to quantization, label-free: how outputs change when it alone is quantized."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from steelyard.core.protocols import Feed
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.graph.weighted import Weighted, initializers, weighted_operators
from steelyard.steps.quantizing.feeding import Feeds, open_model, read_rows
from steelyard.steps.quantizing.preparing import prepared
from steelyard.steps.quantizing.ranges import Range, find_ranges, tapped
from steelyard.steps.quantizing.static import static_operators, tensors_of
from steelyard.steps.quantizing.switched import Switched, switched

LIMIT_S = 20.0
"""Seconds that all operators together may take; those that are left over have no figure."""

ROWS = 64
"""Rows that sensitivities are measured on: they rank operators, they prove nothing."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What quantizing one operator alone does.

    Attributes:
        name: of the operator.
        operator: its type.
        output_error: RMS of the change of the model's outputs over their RMS; None where time ran out.
        weight_error: RMS of the rounding error of its weights over their RMS.
        elements: how many weights.
        macs: multiply-accumulates of one row; 0 for look-ups.
    """

    name: str
    operator: str
    output_error: float | None
    weight_error: float
    elements: int
    macs: int

    @property
    def harm(self) -> float:
        """Squared output error for each multiply-accumulate that integers would make cheaper; unknown ones first.

        Kernels of one model take about as long for each product, so MACs stand for microseconds here; what the plan
        gains is measured afterwards.
        """
        return np.inf if self.output_error is None else self.output_error**2 / max(self.macs, self.elements, 1)

    def to_json(self) -> Plain:
        """The plain form."""
        names = ("name", "operator", "output_error", "weight_error", "elements", "macs")
        return {name: getattr(self, name) for name in names}


def measure_file(
    source: Path, rows: Iterator[Feed], *, bits: int = 8, per_channel: bool = True, most: int = ROWS
) -> tuple[Sensitivity, ...]:
    """The sensitivity of every weighted operator of a file, the most sensitive first.

    Args:
        source: an ONNX file.
        rows: batches of real inputs.
        bits: of the weights.
        per_channel: whether each channel has a scale of its own.
        most: rows to use.

    Raises:
        InputError: if the file or the rows can't be used, see `Quantize`.
    """
    model = prepared(source)
    feeds = read_rows(model, rows, most).feeds
    names = {each.name for each in static_operators(model)}
    ranges = find_ranges(model, tensors_of(model, names), feeds, "minmax") if names else {}
    found = measure_sensitivity(model, ranges, feeds, bits=bits, per_channel=per_channel)
    return tuple(sorted(found, key=lambda each: -(each.output_error or 0.0)))


def measure_sensitivity(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    feeds: Feeds,
    *,
    bits: int = 8,
    per_channel: bool = True,
    limit_s: float = LIMIT_S,
) -> tuple[Sensitivity, ...]:
    """The sensitivity of each weighted operator of a clean model, in the order of the graph, on few rows."""
    feeds = first_rows(feeds, ROWS)
    session = switched(model, ranges, bits=bits, per_channel=per_channel)
    reference = session.run(feeds, session.outputs)
    macs = macs_of(model, feeds)
    ends = time.monotonic() + limit_s
    found = []
    for each in weighted_operators(model):
        error = _alone(session, feeds, each, reference) if time.monotonic() < ends else None
        weight = session.weight_errors[each.name]
        found.append(Sensitivity(each.name, each.operator, error, weight, each.elements, macs.get(each.name, 0)))
    return tuple(found)


def first_rows(feeds: Feeds, most: int) -> Feeds:
    """The first batches, until so many rows are there."""
    kept: list[Mapping[str, Array]] = []
    for feed in feeds:
        if sum(len(next(iter(each.values()))) for each in kept) >= most:
            break
        kept.append(feed)
    return kept


def relative_error(reference: Sequence[Sequence[Array]], got: Sequence[Sequence[Array]]) -> float:
    """RMS of the difference over RMS of the reference, over all float outputs and batches.

    Args:
        reference: outputs by batch.
        got: the same of another model.
    """
    wrong = whole = 0.0
    for wanted, found in zip(reference, got, strict=True):
        for one, other in zip(wanted, found, strict=True):
            if np.issubdtype(one.dtype, np.floating):
                known = np.isfinite(one)
                wrong += float(np.square((other - one)[known], dtype=np.float64).sum())
                whole += float(np.square(one[known], dtype=np.float64).sum())
    return float(np.sqrt(wrong / whole)) if whole else float(wrong > 0)


def macs_of(model: onnx.ModelProto, feeds: Feeds) -> Mapping[str, int]:
    """Multiply-accumulates by weighted operator for one row, from the shapes that it gives on these rows.

    A look-up has none.
    """
    operators = weighted_operators(model)
    nodes = {node.name: node for node in model.graph.node}
    names = [nodes[each.name].output[0] for each in operators]
    feed = feeds[0]
    rows = len(next(iter(feed.values())))
    shapes = [array.shape for array in open_model(tapped(model, names)).run(names, dict(feed))]
    stored = initializers(model.graph)
    found: dict[str, int] = {}
    for each, shape in zip(operators, shapes, strict=True):
        if each.operator in ("LSTM", "GRU", "RNN"):
            found[each.name] = shape[0] * each.elements
        elif each.operator != "Gather":
            # Every channel of a weight makes one element of the output at each place.
            dims = stored[next(iter(each.weights.values()))].dims
            channels = dims[0] if each.operator == "Conv" else shape[-1]
            found[each.name] = math.prod(shape) // rows * (each.elements // max(channels, 1))
    return found


def _alone(session: Switched, feeds: Feeds, each: Weighted, reference: Sequence[Sequence[Array]]) -> float:
    return relative_error(reference, session.run(feeds, session.outputs, each.name))
