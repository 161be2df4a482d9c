"""A look at the machine: what is installed, which runtimes work, how well latencies can be told apart here."""

import tempfile
from pathlib import Path

import numpy as np

from steelyard.core.errors import SteelyardError
from steelyard.core.registry import Registry
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.engine.lane import default_workers, lanes, make_protocol
from steelyard.graph.identity import identity_model
from steelyard.measure.environment import read_environment
from steelyard.measure.noise import read_noise

INPUT = (64,)
"""Shape of a row for the model that does nothing."""


def check_up(registry: Registry) -> Plain:
    """Everything `steelyard doctor` tells, in plain form. Takes a few seconds.

    Raises:
        MeasurementError: if no measuring process can be run.
    """
    cpu, training = lanes(default_workers())
    with tempfile.TemporaryDirectory() as folder:
        model = identity_model(Path(folder) / "identity.onnx", INPUT)
        rows = np.zeros((8, *INPUT), dtype=np.float32)
        runtimes = {name: _try_runtime(registry, name, model, rows) for name in registry.names("runtime")}
        protocol = make_protocol(batch=1, threads=1, cpu=cpu)
        noise = read_noise(cpu=cpu, model=model, inputs=rows, protocol=protocol)
    return {
        "environment": read_environment().to_json(),
        "runtimes": runtimes,
        "lanes": {"measuring": cpu, "training": list(training)},
        "noise": noise.to_json(),
    }


def _try_runtime(registry: Registry, name: str, model: Path, rows: Array) -> Plain:
    """Load and run a model that gives back its input; None is fine, a sentence is what went wrong."""
    try:
        outputs = registry.get("runtime", name).load(model).run(rows)
    except (SteelyardError, ImportError) as error:
        return {"works": False, "why": str(error)}
    works = bool(np.array_equal(outputs, rows))
    return {"works": works, "why": None if works else "it gave back other numbers than it was given"}
