"""The contract of `steelyard.core.protocols.Runtime`."""

import tempfile
from pathlib import Path

import numpy as np

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Runtime
from steelyard.core.task import Array
from steelyard.testing.contract import attempt, require, require_close, require_error, require_name, require_outputs


def check_runtime(runtime: Runtime, model: Path, rows: Array) -> None:
    """Check that a runtime runs a model of its own format, and refuses what is none.

    Args:
        runtime: the runtime.
        model: a model file that it runs.
        rows: inputs (n, ...), float32, two or more.

    Raises:
        ContractError: one sentence on the first thing that does not hold.
    """
    require_name(runtime.name, "the runtime")
    fits = runtime.suffix.startswith(".") and len(runtime.suffix) > 1
    require(fits, f"'suffix' of {runtime.name} must be a suffix with its dot, got {runtime.suffix!r}.")
    require(model.suffix == runtime.suffix, f"the model to check {runtime.name} on must end in {runtime.suffix}.")
    session = attempt(lambda: runtime.load(model), f"loading {model.name}")
    kept = rows.copy()
    outputs = attempt(lambda: session.run(rows), f"running {model.name}")
    require_outputs(outputs, len(rows), None, f"outputs of {runtime.name}")
    require(np.array_equal(rows, kept, equal_nan=True), f"{runtime.name} must not change its input.")
    require(np.array_equal(session.run(rows), outputs), f"{runtime.name} must give one output for one input.")
    one_by_one = np.concatenate([session.run(rows[i : i + 1]) for i in range(len(rows))])
    require_close(one_by_one, outputs, f"rows of {runtime.name} one by one and all at once")
    threaded = attempt(lambda: runtime.load(model, threads=2), f"loading {model.name} for two threads")
    require_close(threaded.run(rows), outputs, f"outputs of {runtime.name} on one thread and on two")
    _check_refusals(runtime, model)


def _check_refusals(runtime: Runtime, model: Path) -> None:
    content = model.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        broken = {
            "an empty file": b"",
            "a file of garbage": b"this is no model\n" * 20,
            "a truncated file": content[: len(content) // 2],
        }
        for name, bytes_of_it in broken.items():
            path = Path(folder) / f"broken{runtime.suffix}"
            path.write_bytes(bytes_of_it)
            require_error(lambda at=path: runtime.load(at), RuntimeFailureError, name)  # type: ignore[misc]
        missing = Path(folder) / f"missing{runtime.suffix}"
        require_error(lambda: runtime.load(missing), RuntimeFailureError, "a missing file")
