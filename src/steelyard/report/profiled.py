"""A profile as tables: figures by runtime, other batches, layers, other models beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelyard.core.port import Port
from steelyard.core.profiling import Comparison, Profile, RuntimeProfile
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain
from steelyard.report.formatting import (
    UNKNOWN,
    cleaned,
    format_bytes,
    format_count,
    format_interval,
    format_seconds,
    significant,
)
from steelyard.report.tables import NOTHING, Cell, Column, Row, Table

FIGURES: Mapping[str, str] = {
    "latency_p50_s": "latency p50",
    "latency_p95_s": "latency p95",
    "latency_p99_s": "latency p99",
    "latency_floor_s": "floor (a model that does nothing)",
    "throughput_per_s": "throughput",
    "load_s": "load time",
    "size_bytes": "file",
    "peak_memory_bytes": "peak memory",
    "load_memory_bytes": "peak while loading",
    "run_memory_bytes": "peak while running",
    "peak_memory_without_arena_bytes": "peak without the arena",
    "parameters": "parameters",
    "macs": "MACs",
    "activations": "activations",
    "utilisation": "utilisation",
    "energy_j": "energy an inference",
}
"""Figures of a runtime, in the order in which they are shown, with their titles."""

MOST_LAYERS = 20
"""Layers shown, the slowest first; the JSON has them all."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Tables under a title, with sentences before and after them."""

    title: str
    notices: tuple[str, ...]
    tables: tuple[Table, ...]
    claims: tuple[str, ...]


def sheet_of(profile: Profile) -> Sheet:
    """Everything about a profile that people read."""
    tables = [_figures(profile.runtimes), _batches(profile.runtimes), _parity(profile.runtimes), layers_table(profile)]
    return Sheet(
        title=f"{cleaned(profile.model)}: {_inputs(profile.inputs)}",
        notices=tuple(cleaned(each) for each in profile.notices),
        tables=tuple(table for table in tables if table.rows),
        claims=(
            *_limit(profile.limit),
            *_audit(profile.audit),
            *_estimate(profile.estimate),
            *(comparison_sentence(each, profile.model) for each in profile.comparisons),
        ),
    )


def _inputs(inputs: Plain) -> str:
    ports = ", ".join(str(Port(cleaned(each["name"]), each["type"], each["shape"])) for each in inputs["ports"])
    threads = "" if inputs["threads"] == 1 else f", {inputs['threads']} threads"
    return f"{ports}; {cleaned(inputs['origin'])}, batch {inputs['batch']}{threads}"


def _figures(runtimes: Mapping[str, RuntimeProfile]) -> Table:
    """One row a figure, one column a runtime."""
    measured = {name: each for name, each in runtimes.items() if each.error is None}
    columns = (Column("figure", "figure", "left", 0), *(Column(name, name, priority=1) for name in measured))
    rows = []
    for name, title in FIGURES.items():
        if any(name in each.metrics for each in measured.values()):
            cells = [_cell(name, each.metrics.get(name)) for each in measured.values()]
            rows.append(Row((Cell(title, name), *cells)))
    return Table("Figures, with their 95 % intervals", columns, tuple(rows))


def _cell(name: str, quantity: Quantity | None) -> Cell:
    if quantity is None:
        return NOTHING
    if name == "utilisation":
        return Cell(f"{100 * quantity.value:.1f} %", quantity.value)
    if name == "activations":
        return Cell(format_count(quantity.value), quantity.value)
    return Cell(format_interval(quantity, name), quantity.value)


def _batches(runtimes: Mapping[str, RuntimeProfile]) -> Table:
    columns = (
        Column("runtime", "runtime", "left", 0),
        Column("batch", "batch", priority=0),
        Column("latency", "latency p50", priority=1),
        Column("throughput", "throughput", priority=0),
    )
    rows = []
    for name, each in runtimes.items():
        for point in each.batches:
            latency = Cell(format_seconds(point.latency.value), point.latency.value)
            throughput = Cell(f"{significant(point.throughput.value)} /s", point.throughput.value)
            rows.append(Row((Cell(name), Cell(str(point.batch), point.batch), latency, throughput)))
    return Table("Other batch sizes", columns, tuple(rows))


def _parity(runtimes: Mapping[str, RuntimeProfile]) -> Table:
    columns = (
        Column("runtime", "runtime", "left", 0),
        Column("max_abs", "largest difference", priority=0),
        Column("max_rel", "relative", priority=1),
        Column("agreement", "same decisions", priority=1),
        Column("flips", "flips", priority=2),
        Column("source", "against", "left", 3),
    )
    rows = []
    for name, each in runtimes.items():
        parity = each.parity
        if parity is None:
            continue
        agreement = parity["agreement"]
        share = UNKNOWN if agreement is None else f"{100 * agreement:.2f} %"
        flips = UNKNOWN if parity["flips"] is None else f"{parity['flips']} of {parity['n']}"
        cells = (_difference(parity["max_abs"]), _difference(parity["max_rel"]), Cell(share, agreement), Cell(flips))
        rows.append(Row((Cell(name), *cells, Cell(cleaned(parity.get("source", ""))))))
    return Table("Parity on the inputs above", columns, tuple(rows))


def _difference(value: float | None) -> Cell:
    return NOTHING if value is None else Cell(f"{value:.2g}", value)


def layers_table(profile: Profile) -> Table:
    """The slowest layers."""
    columns = (
        Column("layer", "layer", "left", 0),
        Column("operator", "operator", "left", 1),
        Column("time", "time", priority=0),
        Column("share", "share", priority=0),
        Column("macs", "MACs", priority=2),
        Column("bytes", "bytes moved", priority=3),
        Column("utilisation", "of the limit", priority=2),
        Column("bound", "bound by", "left", 2),
    )
    slowest = sorted(profile.layers, key=lambda layer: -layer["time_s"]["value"])[:MOST_LAYERS]
    return Table(
        f"Layers, the {len(slowest)} slowest", columns, tuple(_layer(each) for each in slowest)
    ).without_empty()


def _layer(layer: Plain) -> Row:
    time_s = layer["time_s"]["value"]
    used = layer.get("utilisation")
    return Row(
        (
            Cell(cleaned(layer["name"])),
            Cell(cleaned(layer["operator"])),
            Cell(format_seconds(time_s), time_s),
            Cell(f"{100 * layer['share']:.1f} %", layer["share"]),
            NOTHING if layer.get("macs") is None else Cell(format_count(layer["macs"]), layer["macs"]),
            NOTHING if layer.get("bytes") is None else Cell(format_bytes(layer["bytes"]), layer["bytes"]),
            NOTHING if used is None else Cell(f"{100 * used:.0f} %", used),
            NOTHING if layer.get("bound") is None else Cell(layer["bound"]),
        )
    )


def _limit(limit: Plain | None) -> Sequence[str]:
    return () if limit is None else (limit["text"],)


def _audit(audit: Plain | None) -> Sequence[str]:
    return () if audit is None else tuple(cleaned(text) for text in audit["sentences"])


def _estimate(estimate: Plain | None) -> Sequence[str]:
    if estimate is None:
        return ()
    quantity = Quantity.from_json(estimate["latency_p50_s"])
    text = f"estimated without a run: latency p50 {format_interval(quantity, 'latency_p50_s')}"
    unfamiliar = estimate.get("unfamiliar") or ()
    return (text, *(f"unlike anything that was learned from: {cleaned(each)}" for each in unfamiliar))


def comparison_sentence(found: Comparison, first: str) -> str:
    """What can be said of two models: which is faster and by how much, or that there is no difference to tell."""
    name, runtime = cleaned(found.model), found.runtime
    if found.ratio is None:
        return f"{name} on {runtime}: {cleaned(found.error or UNKNOWN)}"
    ratio = found.ratio
    if ratio.low is None or ratio.high is None:
        return f"{name} on {runtime}: measured in one process, too few to compare"
    if not found.is_different:
        return f"{name} on {runtime}: no difference (ratio {_span(ratio.value, ratio.low, ratio.high)})"
    if ratio.value > 1:
        factor = _span(ratio.value, ratio.low, ratio.high)
        return f"{name} on {runtime} takes {factor} times as long as {cleaned(first)}"
    factor = _span(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)
    return f"{name} on {runtime} is {factor} times faster than {cleaned(first)}"


def _span(value: float, low: float, high: float) -> str:
    digits = 3 if high < 10 else 1
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
