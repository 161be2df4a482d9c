"""A bundle in use: `load(path).predict(x)`. Needs numpy and the runtime only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import THREADS, Setting, loading_of
from steelyard.core.errors import BundleError
from steelyard.core.protocols import Runtime, Session
from steelyard.core.registry import Registry, import_object
from steelyard.core.task import Array, InputSpec, OutputSpec, feed_of, input_from_json, output_from_json
from steelyard.core.wire import Plain
from steelyard.store.bundle import read_manifest, verified_file, verify
from steelyard.tasks.preprocess import apply_own, decode, encode

BUILTIN = "steelyard.builtin:registry"
MOST_THREADS = 1024
"""Threads that a bundle may ask for: far more than a study can, whose machine may have been larger than this one."""
BATCH = 256
"""Rows a call of the runtime: enough to keep it busy, few enough for a small machine's memory."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """A loaded bundle."""

    path: Path
    manifest: Plain
    input: InputSpec
    output: OutputSpec
    session: Session
    preprocess: Callable[[Any], Any] | None = None

    def predict(self, x: Any) -> Array:
        """Labels or values (n,) of raw rows: images as the task has them, tables as arrays, frames or mappings.

        Raises:
            DataError: if the rows don't have the task's shape or columns.
        """
        return decode(self.output, self.scores(x))

    def scores(self, x: Any) -> Array:
        """The model's outputs (n, width) of raw rows: scores of classes, or values in the target's unit.

        Raises:
            DataError: if the rows don't have the task's shape or columns.
        """
        return self.outputs(encode(self.input, x if self.preprocess is None else apply_own(self.preprocess, x)))

    def outputs(self, encoded: Array) -> Array:
        """Outputs (n, width) of rows that are already what the graph takes."""
        starts = range(0, len(encoded), BATCH)
        parts = [self.session.run(feed_of(encoded[i : i + BATCH])) for i in starts]
        return np.concatenate(parts) if parts else np.empty((0, self.output.width), dtype=np.float32)


def load(
    path: str | Path, *, threads: int | None = None, preprocess: Callable[[Any], Any] | None = None, trust: bool = False
) -> Predictor:
    """Load a bundle; every file's checksum is verified first.

    Args:
        path: the bundle's directory.
        threads: of the runtime; None for those that the point was chosen with.
        preprocess: the user's own preprocessing, where the bundle was made with one. It is never run from a bundle:
            what a stranger made can't run code.
        trust: whether the model file may run code when it is opened, which one for the runtime `torch` can: only say
            so where you know who made the bundle.

    Raises:
        InputError: if the model file can run code and is not trusted.
        MissingExtraError: if the library of its runtime is not installed.
        BundleError: if it is no bundle, a file is missing or was changed, its runtime is not known here, or it needs
            its preprocessing.
        RuntimeFailureError: if the runtime refuses the model.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    verify(directory, manifest)
    try:
        runtime, model = manifest["runtime"], manifest["model"]
        own = dict(manifest.get("own") or {})
        # The point's own options come first; the threads of the study are those of points without.
        options = {THREADS: manifest.get("threads", 1), **dict(manifest.get("options") or {})}
        reads, gives = input_from_json(manifest["input"]), output_from_json(manifest["output"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(
            f"the manifest of {directory} lacks fields or was changed; restore it or pack anew.", field="bundle"
        ) from error
    registry: Registry = import_object(BUILTIN)
    if runtime not in registry.names("runtime"):
        raise BundleError(f"{directory} is for the runtime {runtime!r}, which this version lacks.", field="bundle")
    if ("preprocess" in own) != (preprocess is not None):
        need = "was made with a preprocessing of its own; pass it as" if preprocess is None else "was made without a"
        raise BundleError(f"{directory} {need} preprocess.", field="preprocess")
    file = verified_file(directory, manifest, model)
    own_threads, loading = _loading(registry.get("runtime", runtime), options, directory)
    session = registry.get("runtime", runtime).load(file, threads=threads or own_threads, trust=trust, **loading)
    return Predictor(
        path=directory, manifest=manifest, input=reads, output=gives, session=session, preprocess=preprocess
    )


def _loading(runtime: Runtime, options: Mapping[str, Any], directory: Path) -> tuple[int, dict[str, Setting]]:
    """Threads and options of the runtime that a manifest names.

    Raises:
        BundleError: if the runtime has no such option, or can't have so many threads.
    """
    for name, setting in options.items():
        # The runtime itself refuses settings that an option lacks; `trust` must come from the user alone.
        is_known = name in runtime.options if name != THREADS else type(setting) is int and 0 < setting <= MOST_THREADS
        if not is_known:
            raise BundleError(
                f"the manifest of {directory} has {name} {setting!r}, which {runtime.name} can't be loaded with; "
                "restore it or pack anew.",
                field="bundle",
            )
    threads, loading = loading_of(options.items())
    return threads or 1, loading
