"""A look at the machine: what is installed, which runtimes work, how well latencies can be told apart here."""

import tempfile
from pathlib import Path

import numpy as np

from steelyard.core.errors import MissingExtraError, SteelyardError
from steelyard.core.registry import Registry
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.engine.conversion import floor_model
from steelyard.engine.lane import default_workers, lanes, make_protocol
from steelyard.graph.identity import float_port, identity_model
from steelyard.measure.environment import read_environment
from steelyard.measure.noise import read_noise

INPUT = (64,)
"""Shape of a row for the model that does nothing."""
REFERENCE = "onnxruntime"
"""The runtime that the machine's noise is read with: the one that is always installed."""


def check_up(registry: Registry) -> Plain:
    """Everything `steelyard doctor` tells, in plain form.

    Takes a few seconds, and some more for each runtime whose library exports torch modules.

    Raises:
        MeasurementError: if no measuring process can be run.
    """
    cpu, training = lanes(default_workers())
    with tempfile.TemporaryDirectory() as folder:
        rows = np.arange(8 * INPUT[0], dtype=np.float32).reshape(8, *INPUT)
        runtimes = {name: _try_runtime(registry, name, Path(folder), rows) for name in registry.names("runtime")}
        model = identity_model(Path(folder) / "identity.onnx", (float_port(INPUT),))
        protocol = make_protocol(registry.get("runtime", REFERENCE), batch=1, threads=1, cpu=cpu)
        noise = read_noise(cpu=cpu, model=model, inputs=rows, protocol=protocol)
    return {
        "environment": read_environment().to_json(),
        "runtimes": runtimes,
        "lanes": {"measuring": cpu, "training": list(training)},
        "noise": noise.to_json(),
    }


def _try_runtime(registry: Registry, name: str, folder: Path, rows: Array) -> Plain:
    """Make, load and run a model that gives back its input; None is fine, a sentence is what went wrong."""
    try:
        registry.get("exporter", name).check()
        model = floor_model(registry, name, (float_port(INPUT),), folder)
        outputs = registry.get("runtime", name).load(model, trust=True).run(rows)
    except MissingExtraError as error:
        return {"works": False, "installed": False, "why": str(error)}
    except (SteelyardError, ImportError) as error:
        return {"works": False, "installed": True, "why": str(error)}
    works = bool(np.array_equal(outputs, rows))
    why = None if works else "it gave back other numbers than it was given"
    return {"works": works, "installed": True, "why": why}
