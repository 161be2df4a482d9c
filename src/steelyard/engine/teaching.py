"""The cost model hears of what was measured by the full protocol, where one was built: estimates are better for it."""

import logging
from collections.abc import Mapping
from pathlib import Path

from steelyard.core.errors import SteelyardError
from steelyard.engine.learning import is_built

log = logging.getLogger(__name__)


def teach(
    path: Path, seconds: float, *, runtime: str, threads: int, batch: int, shapes: Mapping[str, tuple[int, ...]]
) -> bool:
    """Tell the cost model of a measured latency; returns whether it was told.

    It learns from ONNX files on ONNX Runtime with one thread, and nothing where none was built. A file that it can't
    read has been measured all the same, so that is a line in the log and no error.

    Args:
        path: the model file.
        seconds: its p50.
        runtime: that it was measured on.
        threads: of the runtime.
        batch: rows an inference.
        shapes: of inputs by name, where the file leaves more axes free than the first.
    """
    if runtime != "onnxruntime" or threads != 1 or path.suffix != ".onnx" or not is_built():
        return False
    # Loads what only estimates need.
    from steelyard.engine.estimate import observe  # noqa: PLC0415

    try:
        observe(path, seconds, shapes, batch)
    except SteelyardError as error:
        log.info("the cost model can't learn from %s (%s)", path.name, error)
        return False
    return True
