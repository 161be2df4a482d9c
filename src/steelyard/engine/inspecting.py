"""Files looked into by a process of their own: counts, and the audit of what a runtime makes of them.

A stranger's file may crash, hang or exhaust the libraries that infer its shapes or optimise it; never the caller.
"""

from collections.abc import Mapping
from pathlib import Path

from steelyard.core.candidate import Setting
from steelyard.core.wire import Plain
from steelyard.graph.counting import Counts, count
from steelyard.graph.fusion import Audit, audit_graph, is_quantized
from steelyard.graph.reading import read_model
from steelyard.measure.calling import call
from steelyard.measure.layers import Layer
from steelyard.runtimes.onnxruntime.trace import optimised_model

LIMIT_S = 60.0
"""Seconds that a file may take to be counted or optimised: networks of gigabytes take a few."""

SPARE_BYTES = 2 * 2**30
"""Memory beside what grows with the file: libraries, and graphs of many operators."""

_COPIES = 6
"""How often a file's bytes lie in memory while it is read, inferred and optimised."""


def safe_counts(path: Path, *, batch: int = 1, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Counts:
    """`count` of a file, by a process of its own.

    Args:
        path: an ONNX file.
        batch: see `count`.
        shapes: see `count`.

    Raises:
        InputError: if the file or a shape can't be used.
        MeasurementError: if the process dies, or exceeds its time or memory.
    """
    plain = _called("count_here", path, batch=batch, shapes={k: list(v) for k, v in (shapes or {}).items()})
    return Counts.from_json(plain)


def audit_file(
    path: Path, *, layers: tuple[Layer, ...] = (), options: Mapping[str, Setting] | None = None
) -> Audit | None:
    """What ONNX Runtime makes of a quantized file; None where the file is not quantized.

    Args:
        path: an ONNX file.
        layers: of its trace, for the shares of time; none for an audit without costs.
        options: of loading.

    Raises:
        InputError: if the file can't be used.
        MeasurementError: if ONNX Runtime refuses it, or the process dies.
    """
    plain = _called("audit_here", path, options=dict(options or {}))
    if plain is None:
        return None
    audit = Audit.from_json(plain)
    return audit.with_shares({layer.name: layer.share for layer in layers}) if layers else audit


def count_here(path: str, *, batch: int, shapes: Mapping[str, list[int]]) -> Plain:
    """The called process's part of `safe_counts`."""
    return count(read_model(Path(path)), batch, {name: tuple(shape) for name, shape in shapes.items()}).to_json()


def audit_here(path: str, *, options: Mapping[str, Setting]) -> Plain:
    """The called process's part of `audit_file`."""
    source = read_model(Path(path))
    if not is_quantized(source):
        return None
    audit = audit_graph(source, optimised_model(path, 1, **options))
    return None if audit is None else audit.to_json()


def _called(function: str, path: Path, **arguments: Plain) -> Plain:
    size = path.stat().st_size if path.is_file() else 0
    return call(
        f"steelyard.engine.inspecting:{function}",
        {"path": str(path), **arguments},
        key=path.name,
        limit_s=LIMIT_S,
        memory_bytes=_COPIES * size + SPARE_BYTES,
    )
