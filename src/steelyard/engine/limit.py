"""The machine's peaks: measured once for an environment and cached, like the yardstick's nominal time."""

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from steelyard.core.protocols import Runtime
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain, content_key, dumps, write_text
from steelyard.engine.lane import YARDSTICK_VERSION, cache_folder, make_protocol
from steelyard.graph.probes import (
    chain_model,
    convolution_model,
    integer_accumulating_model,
    integer_convolution_model,
    integer_product_model,
    product_model,
)
from steelyard.measure.environment import read_environment
from steelyard.measure.layers import RUNTIME, Layer, roof_of_model
from steelyard.measure.peaks import Probe, measure_peaks
from steelyard.measure.process import Subject
from steelyard.measure.roofline import Peaks

log = logging.getLogger(__name__)

PROBES_VERSION = 1
"""Raised when the probes change: peaks are other ones then."""

_SIDES = (256, 512, 1024)
_CONVOLUTIONS = ((64, 28), (128, 28))
"""Channels and side of the probes' pictures: as in the middle of a residual network."""
_CHAINS = (1, 65)


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
    except (OSError, ValueError, KeyError, TypeError) as error:
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


def limit_of(layers: Sequence[Layer], latency: Quantity, peaks: Peaks) -> Plain:
    """How far a model is from the limit of the machine, and bound by what: `limit` in the JSON of `profile`.

    Args:
        layers: of its trace, made with these peaks.
        latency: its p50.
        peaks: of the machine.

    Returns:
        `peaks`; `attainable_s`, the latency if every kernel met its roof and a call cost what the floor says;
        `distance`, the latency over that; `utilisation` and `bound` of the whole; `time_by_bound`, shares of the time
        in layers of each bound.
    """
    roof = roof_of_model(layers)
    shares: dict[str, float] = {}
    for layer in layers:
        shares[layer.bound] = shares.get(layer.bound, 0.0) + layer.share
    plain: dict[str, Plain] = {"peaks": peaks.to_json(), "time_by_bound": shares}
    if roof is None or not roof.is_complete:
        return {**plain, "attainable_s": None, "distance": None, "utilisation": None, "bound": "unknown"}
    own_s = sum(layer.time.value for layer in layers if layer.name == RUNTIME)
    attainable_s = roof.attainable_s + own_s
    used = roof.utilisation_of(latency)
    return {
        **plain,
        "attainable_s": attainable_s,
        "distance": latency.value / attainable_s,
        "utilisation": None if used is None else used.to_json(),
        # The runtime's own call is overhead that no kernel can be blamed for.
        "bound": replace(roof, overhead_s=roof.overhead_s + own_s).bound,
    }


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
