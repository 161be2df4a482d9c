"""Model files for the runtimes, made of torch modules or ONNX files, and how well they agree with their source."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.port import Port
from steelyard.core.protocols import Exporter, Feed, Runtime
from steelyard.core.registry import Registry
from steelyard.core.task import InputSpec, TensorInput
from steelyard.core.wire import Plain
from steelyard.graph.identity import float_port, identity_model
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.runtimes.parity import parity_of

SOURCE_SUFFIX = ".onnx"
"""Every trained model is written as an ONNX file too: steps work on it, and operators are counted in it."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A model file of a runtime, and what is known of it.

    Attributes:
        path: the file; its companions stand beside it.
        how: which way it was written, as its exporter says.
        parity: how its outputs agree with the source's, from `parity_of`.
        size_bytes: of the file and its companions.
    """

    path: Path
    how: str
    parity: Plain
    size_bytes: int


def convert(
    registry: Registry, runtime: str, source: Any, rows: Feed, folder: Path, *, decides: bool, threads: int = 1
) -> Converted:
    """Make a runtime's model file of a torch module or an ONNX file, and compare their outputs on real rows.

    The outputs compared with are torch's own where the source is a module, and where it is a file those of ONNX Runtime
    with all its optimisations off.

    Args:
        registry: with the runtime and its exporter.
        runtime: its name.
        source: a `torch.nn.Module`, or the path of an ONNX file.
        rows: inputs (n, ...), or arrays by input name in the order of the inputs.
        folder: where the file goes, as `model` with the runtime's suffix.
        decides: whether the outputs are scores of classes.
        threads: of the runtime.

    Raises:
        MissingExtraError: if a library is not installed.
        RuntimeFailureError: if the source can't be converted, or a runtime refuses it.
    """
    home, exporter = _of(registry, runtime)
    exporter.check()
    path = folder / f"model{home.suffix}"
    if isinstance(source, Path):
        how = exporter.convert(source, path)
        wanted = OnnxRuntime().load_plain(source).run(rows)
    else:
        from steelyard.training.modules import module_outputs  # noqa: PLC0415  imports torch, which a file needs not

        how = exporter.export(source, rows_of(rows, 2), path)
        wanted = module_outputs(source, rows)
    got = home.load(path, threads=threads, trust=True).run(rows)
    if got.shape != wanted.shape:
        raise RuntimeFailureError(f"{runtime} gives outputs of shape {got.shape}, the source {wanted.shape}.")
    return Converted(path, how, parity_of(wanted, got, decides=decides), artifact_bytes(path, home.companions))


def rows_of(rows: Feed, count: int) -> Feed:
    """The first rows of every input."""
    return {name: each[:count] for name, each in rows.items()} if isinstance(rows, Mapping) else rows[:count]


def artifact_bytes(path: Path, companions: tuple[str, ...]) -> int:
    """Bytes of a model file and of the files that belong to it."""
    return sum(each.stat().st_size for each in (path, *(path.with_suffix(suffix) for suffix in companions)))


def floor_ports(spec: InputSpec) -> tuple[Port, ...]:
    """The inputs of the floor under models of a task."""
    return spec.ports if isinstance(spec, TensorInput) else (float_port(spec.shape),)


def floor_model(registry: Registry, runtime: str, ports: tuple[Port, ...], folder: Path) -> Path:
    """The model that gives back its input, as a file of the runtime: `floor` with its suffix. Made once a folder.

    Where the runtime takes ONNX this needs no torch.

    Args:
        registry: with the runtime and its exporter.
        runtime: its name.
        ports: its inputs, those of the models it is compared with.
        folder: where the file goes; it must be there.

    Raises:
        RuntimeFailureError: if it can't be made.
        MissingExtraError: if a library is not installed.
    """
    home, exporter = _of(registry, runtime)
    path = folder / f"floor{home.suffix}"
    if path.is_file():
        return path
    if home.suffix == SOURCE_SUFFIX:
        return identity_model(path, ports)
    if "onnx" in exporter.sources:
        exporter.convert(identity_model(folder / f"floor{SOURCE_SUFFIX}", ports), path)
        return path
    from steelyard.training.modules import identity_module  # noqa: PLC0415  imports torch

    sizes = [size for size in (ports[0].shape or ())[1:] if isinstance(size, int)]

    # Another process may look for it meanwhile: it is there once it is whole.
    partial = folder / f".floor{home.suffix}"
    exporter.export(identity_module(), np.zeros((2, *sizes), dtype=np.float32), partial)
    return partial.replace(path)


def _of(registry: Registry, runtime: str) -> tuple[Runtime, Exporter]:
    return registry.get("runtime", runtime), registry.get("exporter", runtime)
