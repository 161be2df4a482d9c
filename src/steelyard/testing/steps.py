"""The contract of `steelyard.core.protocols.Step`."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from steelyard.core.protocols import Step
from steelyard.core.task import Array
from steelyard.core.wire import Plain, file_sha256
from steelyard.testing.contract import attempt, require, require_name, require_outputs, require_plain

BATCH = 32
"""Rows a batch that a step is handed."""


def check_step(step: Step, model: Path, rows: Array) -> None:
    """Check a compression step on a model file that it fits: an ONNX file that ONNX Runtime runs.

    Args:
        step: the step.
        model: the file; it is copied, not changed.
        rows: training inputs (n, ...), float32, at least one.

    Raises:
        ContractError: one sentence on the first thing that does not hold.
    """
    require_name(step.name, "the step")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source" / model.name
        source.parent.mkdir()
        shutil.copyfile(model, source)
        before = file_sha256(source)
        report, target = _applied(step, source, Path(folder) / "first" / model.name, rows)
        require(file_sha256(source) == before, f"{step.name} must not change its source.")
        require(len(list(source.parent.iterdir())) == 1, f"{step.name} must leave nothing beside its source.")
        require(isinstance(report, dict), f"{step.name} must say what was done as a dict, got {report!r}.")
        require_plain(report, f"the report of {step.name}")
        require("name" not in report, f"the report of {step.name} must leave the entry 'name' to the engine.")
        outputs = _outputs(target, rows)
        plain = _outputs(source, rows)
        require_outputs(outputs, len(rows), plain.shape[1], f"outputs after {step.name}")
        _, second = _applied(step, source, Path(folder) / "second" / model.name, rows)
        same = np.array_equal(_outputs(second, rows), outputs)
        require(same, f"{step.name} must write the same model when applied again.")


def _applied(step: Step, source: Path, target: Path, rows: Array) -> tuple[Plain, Path]:
    target.parent.mkdir()
    report = attempt(lambda: step.apply(source, target, _batches(rows)), f"applying {step.name}")
    require(target.is_file(), f"{step.name} must write its target, got no file.")
    left = sorted(each.name for each in target.parent.iterdir() if each != target)
    require(not left, f"{step.name} must leave nothing beside its target, got {', '.join(left)}.")
    return report, target


def _batches(rows: Array) -> Iterator[Array]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]


def _outputs(path: Path, rows: Array) -> Array:
    from steelyard.runtimes.onnxruntime.run import OnnxRuntime  # noqa: PLC0415  loads the runtime

    return attempt(lambda: OnnxRuntime().load(path).run(rows), f"running {path.name}")
