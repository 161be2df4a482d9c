"""A bundle in use: `load(path).predict(x)`. Needs numpy and the runtime only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import BundleError
from steelyard.core.protocols import Session
from steelyard.core.task import Array, InputSpec, OutputSpec, input_from_json, output_from_json
from steelyard.core.wire import Plain
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.store.bundle import read_manifest, verified_file, verify
from steelyard.tasks.preprocess import decode, encode

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
        return self.outputs(encode(self.input, x))

    def outputs(self, encoded: Array) -> Array:
        """Outputs (n, width) of rows that are already what the graph takes."""
        starts = range(0, len(encoded), BATCH)
        parts = [self.session.run(np.ascontiguousarray(encoded[i : i + BATCH])) for i in starts]
        return np.concatenate(parts) if parts else np.empty((0, self.output.width), dtype=np.float32)


def load(path: str | Path, *, threads: int = 1) -> Predictor:
    """Load a bundle; every file's checksum is verified first.

    Args:
        path: the bundle's directory.
        threads: of the runtime.

    Raises:
        BundleError: if it is no bundle, a file is missing or was changed, or its runtime is not known here.
        RuntimeFailureError: if the runtime refuses the model.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    verify(directory, manifest)
    try:
        runtime, model = manifest["runtime"], manifest["model"]
        reads, gives = input_from_json(manifest["input"]), output_from_json(manifest["output"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the manifest of {directory} lacks fields or was changed; restore it or pack anew.", field="bundle"
        ) from error
    if runtime != "onnxruntime":
        raise BundleError(f"{directory} is for the runtime {runtime!r}, which this version lacks.", field="bundle")
    session = OnnxRuntime().load(verified_file(directory, manifest, model), threads=threads)
    return Predictor(path=directory, manifest=manifest, input=reads, output=gives, session=session)
