"""Outputs of a model, computed in a measuring process: a file that crashes its runtime brings down nobody else."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.measure.latency import Protocol
from steelyard.measure.process import Inputs, Subject, input_file, run_child


def outputs_of(subject: Subject, inputs: Inputs, protocol: Protocol, *, calls: int) -> list[NDArray[Any]]:
    """The first output of each of the first `calls` inferences.

    Args:
        subject: the model.
        inputs: its input rows.
        protocol: loader, imports, batch and threads.
        calls: inferences at most; there may be fewer different ones.

    Raises:
        MeasurementError: naming the model, if it can't be loaded or run.
    """
    with input_file(inputs) as path, tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        target = Path(folder) / "outputs.npz"
        request = {**protocol.request("outputs", path, [subject]), "calls": calls, "outputs": str(target)}
        run_child(request, limit_s=protocol.start_s + protocol.load_s + protocol.cap_s)
        with np.load(target, allow_pickle=False) as found:
            return [found[name] for name in sorted(found.files)]
