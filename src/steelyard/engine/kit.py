"""Making a kit of a bundle: its variants, inputs like its own, and the code that measures them elsewhere."""

import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import BundleError, InputError
from steelyard.core.kit import InputKind, Kit, KitPoint
from steelyard.core.outcome import Outcome, Point
from steelyard.core.port import Signature
from steelyard.core.protocols import Runtime
from steelyard.core.sequence import UNKNOWN, SeriesInput, SoundInput, TextInput
from steelyard.core.task import (
    Array,
    Column,
    ImageInput,
    InputSpec,
    SequenceInput,
    TensorInput,
    feed_of,
    input_from_json,
    structured,
)
from steelyard.core.wire import Plain
from steelyard.engine.conversion import floor_ports
from steelyard.engine.evidence import packed_points, read_evidence
from steelyard.engine.feeding import drawn
from steelyard.engine.lane import INPUT_ROWS
from steelyard.engine.registries import extended_registry
from steelyard.graph.identity import identity_model
from steelyard.store.bundle import read_manifest, verified_file, verify
from steelyard.store.kit import check_target, write_kit
from steelyard.tasks.preprocess import apply_own, encode
from steelyard.tasks.rows import read_rows

INPUTS, NAMED_INPUTS = "inputs.npy", "inputs.npz"
"""The file of the inputs: one array, or arrays by the names of a model's inputs."""
FLOOR = "floor.onnx"
REGISTRY = "steelyard.builtin:registry"
_SPREAD = 3.0**0.5
"""Uniform values within this many standard deviations of the mean have that mean and that standard deviation."""


def make_kit(
    bundle: Path,
    out: Path | None = None,
    *,
    samples: Any = None,
    preprocess: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> tuple[Path, Kit]:
    """Write a kit of a bundle as a zip; returns its path and what it says of itself.

    Args:
        bundle: the bundle's directory.
        out: a new file; by default the bundle's name with `-kit.zip`, in the current folder.
        samples: a file of rows, or rows in the task's raw form; up to 64 of them go into the kit. None, the default,
            draws inputs at random from what the bundle knows of its input: no row of anybody's leaves.
        preprocess: the preprocessing that the bundle was made with, where it had one and samples are given.
        seed: of the random inputs.

    Raises:
        BundleError: if it is no bundle, or was changed.
        InputError: if the target exists, or the runtime can't be carried along.
        DataError: if the samples are no rows of the task.
    """
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    path = Path(f"{bundle.resolve().name}-kit.zip") if out is None else out
    check_target(path)
    outcome, spec = read_evidence(bundle, manifest), _input(bundle, manifest)
    rows = random_rows(spec, seed) if samples is None else _sample_rows(spec, samples, manifest, preprocess)
    kind: InputKind = "random" if samples is None else "samples"
    points, files = _variants(bundle, manifest, outcome)
    inputs = NAMED_INPUTS if isinstance(spec, TensorInput) else INPUTS
    floor = FLOOR if all(point.path.endswith(".onnx") for point in points.values()) else None
    kit = Kit(
        study=outcome.study,
        task=outcome.task,
        points=points,
        chosen=outcome.chosen.key,
        inputs=inputs,
        input_kind=kind,
        batch=manifest.get("batch", 1),
        threads=manifest.get("threads", 1),
        floor=floor,
        packages=_packages(points, outcome.environment.versions),
    )
    files |= {inputs: _saved(rows), **({FLOOR: _identity(spec)} if floor else {})}
    return path, write_kit(path, kit, files)


def _input(bundle: Path, manifest: Plain) -> InputSpec:
    try:
        return input_from_json(manifest["input"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the manifest of {bundle} lacks its input or was changed; restore it or pack anew.", field="bundle"
        ) from error


def random_rows(spec: InputSpec, seed: int, rows: int = INPUT_ROWS) -> Array:
    """Rows (rows, ...) float32 of the shape, the type and the rough range of a model's input.

    For a model that names its inputs itself they are structured by those names, each in its own type. Elsewhere numbers
    are uniform with the mean and the standard deviation that the bundle knows, codes of categories are drawn below the
    table that they index.
    """
    random = np.random.default_rng(seed)
    if isinstance(spec, ImageInput):
        unit = random.uniform(-_SPREAD, _SPREAD, (rows, *spec.shape))
        # The channel's axis is last for "hwc", first for "chw"; "hw" has one channel and no axis for it.
        shape = (-1, 1, 1) if spec.layout == "chw" else (-1,)
        mean, std = (np.array(each, dtype=np.float64).reshape(shape) for each in (spec.mean, spec.std))
        return np.asarray(unit * std + mean, dtype=np.float32)
    if isinstance(spec, TensorInput):
        found = drawn(Signature(spec.ports), {}, batch=rows, seed=seed).example()
        return structured(found if isinstance(found, Mapping) else {spec.ports[0].name: found})
    if isinstance(spec, SeriesInput | TextInput | SoundInput):
        return _sequences(spec, rows, random)
    columns = [_column(column, rows, random) for column in spec.columns]
    return np.stack(columns, axis=1).astype(np.float32)


def _sequences(spec: SequenceInput, rows: int, random: np.random.Generator) -> Array:
    """Series and sounds uniform with their spread, whole from end to end; ids of tokens below their vocabularies."""
    if isinstance(spec, TextInput):
        parts = [random.integers(UNKNOWN, each.size, (rows, each.length)) for each in spec.tokens]
        return np.concatenate(parts, axis=1).astype(np.float32)
    unit = random.uniform(-_SPREAD, _SPREAD, (rows, *spec.shape))
    if isinstance(spec, SoundInput):
        return np.asarray(0.1 * unit, dtype=np.float32)
    mean, std = (np.array(each, dtype=np.float64)[:, None] for each in (spec.mean, spec.std))
    return np.asarray(unit * std + mean, dtype=np.float32)


def _column(column: Column, rows: int, random: np.random.Generator) -> Array:
    if column.kind == "category":
        return random.integers(0, len(column.categories) + 1, rows)
    return random.uniform(-_SPREAD, _SPREAD, rows) * column.std + column.mean


def _sample_rows(spec: InputSpec, samples: Any, manifest: Plain, preprocess: Callable[[Any], Any] | None) -> Array:
    """The first real rows, as the graph takes them."""
    if ("preprocess" in (manifest.get("own") or {})) != (preprocess is not None):
        had = "with" if preprocess is None else "without"
        raise BundleError(f"the bundle was made {had} a preprocessing of its own; say so here too.", field="preprocess")
    raw = read_rows(samples, spec) if isinstance(samples, str | Path) else samples
    rows = encode(spec, raw if preprocess is None else apply_own(preprocess, raw))[:INPUT_ROWS]
    if not len(rows):
        raise InputError("'with_samples' must hold at least one row, got none.", field="with_samples")
    return rows if rows.dtype.names else np.asarray(rows, dtype=np.float32)


def _variants(bundle: Path, manifest: Plain, outcome: Outcome) -> tuple[dict[str, KitPoint], dict[str, bytes | Path]]:
    """The points that the bundle holds, and every file of each."""
    registry = extended_registry(REGISTRY, ())
    points, files = {}, {}
    for point in packed_points(outcome).values():
        verified_file(bundle, manifest, point.artifact)
        runtime: Runtime = registry.get("runtime", point.candidate.runtime)
        folder = f"variants/{point.key}"
        for name in _files_of(point, manifest):
            files[f"{folder}/{Path(name).name}"] = bundle / name
        points[point.key] = KitPoint(
            name=str(point.candidate),
            path=f"{folder}/{Path(point.artifact).name}",
            runtime=runtime.name,
            loader=runtime.loader,
            imports=tuple(runtime.imports),
            options=point.candidate.options,
        )
    return points, dict(files)


def _files_of(point: Point, manifest: Plain) -> list[str]:
    """The artifact and what belongs to it: files of the same stem beside it, as some formats have two."""
    stem = point.artifact.removesuffix(Path(point.artifact).suffix)
    return [name for name in manifest["sha256"] if name.startswith(f"{stem}.")]


def _packages(points: Mapping[str, KitPoint], versions: Mapping[str, str]) -> tuple[str, ...]:
    """What pip installs: the versions that the bundle was made with, where they are known."""
    names = dict.fromkeys(["numpy", *(name.partition(".")[0] for point in points.values() for name in point.imports)])
    return tuple(f"{name}=={versions[name]}" if name in versions else name for name in names)


def _saved(rows: Array) -> bytes:
    stream = io.BytesIO()
    feed = feed_of(rows)
    if isinstance(feed, Mapping):
        np.savez(stream, allow_pickle=False, **feed)
    else:
        np.save(stream, feed, allow_pickle=False)
    return stream.getvalue()


def _identity(spec: InputSpec) -> bytes:
    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        return identity_model(Path(folder) / FLOOR, floor_ports(spec)).read_bytes()
