"""The limit of a model: its layers, how far it is from this machine's peaks, and what of a quantized file is in float.

Peaks are measured once for an environment and cached, like the yardstick's nominal time.
"""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from steelyard.core.candidate import Setting
from steelyard.core.errors import InputError, MeasurementError
from steelyard.core.protocols import Runtime
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain, content_key, dumps, write_text
from steelyard.engine.inspecting import audit_file
from steelyard.engine.lane import YARDSTICK_VERSION, cache_folder, make_protocol, nominal_time
from steelyard.graph.probes import (
    chain_model,
    convolution_model,
    integer_accumulating_model,
    integer_convolution_model,
    integer_product_model,
    product_model,
)
from steelyard.measure.environment import read_environment
from steelyard.measure.latency import Protocol
from steelyard.measure.layers import RUNTIME, Layer, layers_of, roof_of_model
from steelyard.measure.peaks import Probe, measure_peaks
from steelyard.measure.process import Inputs, Subject
from steelyard.measure.roofline import Bound, Peaks
from steelyard.measure.tracing import trace_kernels
from steelyard.runtimes.onnxruntime.run import RUNTIME as ONNX_RUNTIME

log = logging.getLogger(__name__)

PROBES_VERSION = 1
"""Raised when the probes change: peaks are other ones then."""

_SIDES = (256, 512, 1024)
_CONVOLUTIONS = ((64, 28), (128, 28))
"""Channels and side of the probes' pictures: as in the middle of a residual network."""
_CHAINS = (1, 65)

_TRACER = "steelyard.runtimes.onnxruntime.trace:trace"
_CAUSES: dict[Bound, str] = {
    "compute": "its products",
    "memory": "the bytes that it moves",
    "overhead": "the cost of calling kernels and the runtime",
}


def limit_of(
    subject: Subject, rows: Inputs, protocol: Protocol, latency: Quantity, floor: Quantity | None
) -> tuple[tuple[Plain, ...], Plain | None]:
    """Layers of an ONNX file on ONNX Runtime, and its limit: `layers` and `limit` in the JSON of `profile`.

    Args:
        subject: the model.
        rows: its inputs.
        protocol: that its latency was measured by.
        latency: its p50.
        floor: p50 of a model that does nothing; None where none was measured: what the trace does not explain stands
            in its place.

    Returns:
        Rows as `Layer.to_json` gives them, and `limit_from`'s figures with `text`, one sentence for people. Peaks are
        those of one thread: with more the rows have no bounds, and the limit is None.

    Raises:
        MeasurementError: one sentence, if the model can't be traced or the peaks can't be measured.
    """
    try:
        trace = trace_kernels(subject, rows, protocol, tracer=_TRACER)
    except InputError as error:
        raise MeasurementError(f"model {subject.key!r} can't be traced: {error.message}") from error
    peaks = peaks_of_machine(protocol.cpu) if protocol.threads == 1 else None
    own = floor or Quantity(max(0.0, latency.value * (1 - trace.covered)), "s")
    layers = layers_of(trace, latency, own, peaks)
    plain = tuple(layer.to_json() for layer in layers)
    return plain, None if peaks is None else limit_from(layers, latency, peaks)


def audit_of(path: Path, layers: Sequence[Plain] = (), options: Mapping[str, Setting] | None = None) -> Plain | None:
    """What of a quantized file runs in float all the same: `audit` in the JSON of `profile`; None for other files.

    Args:
        path: an ONNX file.
        layers: rows of `limit_of`, for the shares of time.
        options: of loading.

    Raises:
        InputError: if the file can't be used.
        MeasurementError: if ONNX Runtime refuses it, or its process dies.
    """
    audit = audit_file(path, options=options)
    if audit is None:
        return None
    return (audit.with_shares({row["name"]: row["share"] for row in layers}) if layers else audit).to_json()


def peaks_of_machine(cpu: int | None) -> Peaks:
    """`machine_peaks` by ONNX Runtime at this machine's nominal speed.

    Raises:
        MeasurementError: if they can't be measured.
    """
    return machine_peaks(ONNX_RUNTIME, cpu=cpu, nominal_s=nominal_time(cpu))


def machine_peaks(runtime: Runtime, *, cpu: int | None, nominal_s: float) -> Peaks:
    """What one thread of this machine can do at best; seconds the first time, read from the cache afterwards.

    Args:
        runtime: ONNX Runtime: the probes are ONNX files.
        cpu: the processor to measure on.
        nominal_s: the yardstick's nominal time.

    Raises:
        MeasurementError: if they can't be measured.
    """
    environment = read_environment()
    path = cache_folder() / f"peaks-{content_key([PROBES_VERSION, YARDSTICK_VERSION, environment.to_json()])}.json"
    try:
        return Peaks.from_json(json.loads(path.read_text(encoding="utf-8"))["peaks"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        log.debug("no peaks in %s (%s)", path, error)
    protocol = make_protocol(runtime, batch=1, threads=1, cpu=cpu)
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        peaks = measure_peaks(
            write_probes(Path(folder)), protocol, nominal_s=nominal_s, memory_bytes=environment.memory_bytes
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, dumps({"peaks": peaks.to_json(), "environment": environment.to_json()}))
    except OSError as error:
        log.info("the machine's peaks can't be cached in %s (%s)", path, error)
    return peaks


def limit_from(layers: Sequence[Layer], latency: Quantity, peaks: Peaks) -> Plain:
    """How far a model is from the limit of the machine, and bound by what.

    Args:
        layers: of its trace, made with these peaks.
        latency: its p50.
        peaks: of the machine.

    Returns:
        `peaks`; `attainable_s`, the latency if every kernel met its roof and a call cost what the floor says;
        `distance`, the latency over that; `utilisation` and `bound` of the whole; `time_by_bound`, shares of the time
        in layers of each bound; `text`, all of it in a sentence.
    """
    roof = roof_of_model(layers)
    shares: dict[str, float] = {}
    for layer in layers:
        shares[layer.bound] = shares.get(layer.bound, 0.0) + layer.share
    plain: dict[str, Plain] = {"peaks": peaks.to_json(), "time_by_bound": shares}
    if roof is None or not roof.is_complete:
        text = "The limit is not known: the work of some kernels is not."
        return {**plain, "text": text, "attainable_s": None, "distance": None, "utilisation": None, "bound": "unknown"}
    own_s = sum(layer.time.value for layer in layers if layer.name == RUNTIME)
    attainable_s = roof.attainable_s + own_s
    used = roof.utilisation_of(latency)
    # The runtime's own call is overhead that no kernel can be blamed for.
    bound = replace(roof, overhead_s=roof.overhead_s + own_s).bound
    return {
        **plain,
        "text": _said(attainable_s, latency, bound),
        "attainable_s": attainable_s,
        "distance": latency.value / attainable_s,
        "utilisation": None if used is None else used.to_json(),
        "bound": bound,
    }


def _said(attainable_s: float, latency: Quantity, bound: Bound) -> str:
    """The limit for people."""
    reached = f"{attainable_s / latency.value:.0%}".replace("%", " %")
    return (
        f"Reaches {reached} of the speed that this machine's peaks allow ({_time(attainable_s)} against "
        f"{_time(latency.value)}); bound by {_CAUSES[bound]}."
    )


def _time(seconds: float) -> str:
    """Three digits in the unit that people read them in."""
    for least, factor, unit in ((0.9995, 1.0, "s"), (9.995e-4, 1e3, "ms")):
        if seconds >= least:
            return f"{factor * seconds:#.3g} {unit}".replace(". ", " ")
    return f"{1e6 * seconds:#.3g} µs".replace(". ", " ")


def write_probes(folder: Path) -> list[Probe]:
    """The micro-models: products and convolutions in float32 and in 8 bits, and chains of idle kernels."""
    probes = []
    for side in _SIDES:
        square, work = (side, side), side**3
        for name, kind, element, write in (
            ("MatMul", "float32", "float32", product_model),
            ("QLinearMatMul", "int8", "uint8", integer_product_model),
            ("MatMulInteger", "int8", "uint8", integer_accumulating_model),
        ):
            path = write(folder / f"{name}-{side}.onnx", side, side, side)
            probes.append(Probe(Subject(f"{name} {side}", path), kind, work, square, element))
    for channels, side in _CONVOLUTIONS:
        shape, work = (1, channels, side, side), 9 * channels**2 * side**2
        for name, kind, element, convolve in (
            ("Conv", "float32", "float32", convolution_model),
            ("QLinearConv", "int8", "uint8", integer_convolution_model),
        ):
            path = convolve(folder / f"{name}-{channels}.onnx", channels, side)
            probes.append(Probe(Subject(f"{name} {channels}x{side}", path), kind, work, shape, element))
    for links in _CHAINS:
        path = chain_model(folder / f"chain-{links}.onnx", links)
        probes.append(Probe(Subject(f"chain of {links}", path), "idle", links, (1,), "float32"))
    return probes
