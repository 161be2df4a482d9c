"""The contract of `steelyard.core.protocols.Runtime`."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.errors import InputError, RuntimeFailureError
from steelyard.core.protocols import Runtime, Session
from steelyard.core.registry import import_object
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
    session = attempt(lambda: runtime.load(model, trust=True), f"loading {model.name}")
    kept = rows.copy()
    outputs = attempt(lambda: session.run(rows), f"running {model.name}")
    require_outputs(outputs, len(rows), None, f"outputs of {runtime.name}")
    require(np.array_equal(rows, kept, equal_nan=True), f"{runtime.name} must not change its input.")
    require(np.array_equal(session.run(rows), outputs), f"{runtime.name} must give one output for one input.")
    one_by_one = np.concatenate([session.run(rows[i : i + 1]) for i in range(len(rows))])
    require_close(one_by_one, outputs, f"rows of {runtime.name} one by one and all at once")
    threaded = attempt(lambda: runtime.load(model, threads=2, trust=True), f"loading {model.name} for two threads")
    require_close(threaded.run(rows), outputs, f"outputs of {runtime.name} on one thread and on two")
    _check_loader(runtime, model, rows, outputs)
    _check_describer(runtime, model, rows)
    _check_refusals(runtime, model)
    _check_options(runtime, model)


def _check_loader(runtime: Runtime, model: Path, rows: Array, outputs: Array) -> None:
    """The loader of measuring processes gives what a session gives, and opens nothing untrusted either."""
    trusted = {"trust": True} if runtime.runs_code else {}
    opened = attempt(lambda: import_object(runtime.loader)(str(model), 1, **trusted), f"the loader of {runtime.name}")
    require_close(np.asarray(opened(rows)), outputs, f"outputs of {runtime.name} by its loader and by a session")
    if runtime.runs_code:
        require_error(lambda: runtime.load(model), InputError, "an untrusted file")
        require_error(lambda: import_object(runtime.loader)(str(model), 1), InputError, "an untrusted file")


def _check_describer(runtime: Runtime, model: Path, rows: Array) -> None:
    """What a file is said to take is what it was run on, and nothing untrusted is opened to tell it."""
    if not runtime.describer:
        return
    trusted = {"trust": True} if runtime.runs_code else {}
    describe = attempt(lambda: import_object(runtime.describer), f"the describer of {runtime.name}")
    told = attempt(lambda: describe(str(model), **trusted), f"describing {model.name}")
    what = f"the describer of {runtime.name} must give 'inputs' and 'outputs'"
    require(isinstance(told, dict) and set(told) == {"inputs", "outputs"}, f"{what}, got {told!r}.")
    for each in (*told["inputs"], *told["outputs"]):
        require(set(each) == {"name", "type", "shape"}, f"{what} of name, type and shape, got {each!r}.")
    (first,) = told["inputs"]
    fits = first["type"] == rows.dtype.name and list(rows.shape[1:]) == [
        size if size is not None else own for size, own in zip(first["shape"][1:], rows.shape[1:], strict=True)
    ]
    require(fits, f"{what} that fit the rows {rows.dtype} {rows.shape}, got {first!r}.")
    if runtime.runs_code:
        require_error(lambda: describe(str(model)), InputError, "an untrusted file to describe")


def _check_options(runtime: Runtime, model: Path) -> None:
    def load(**options: Any) -> Session:
        return runtime.load(model, trust=True, **options)

    for name, settings in runtime.options.items():
        require(len(set(settings)) > 1, f"option {name!r} of {runtime.name} must have two settings or more.")
        attempt(partial(load, **{name: settings[0]}), f"loading with {name} {settings[0]!r}")
        what = f"option {name!r} of a setting that does not exist"
        require_error(partial(load, **{name: "no such setting"}), InputError, what)
    require_error(partial(load, no_such_option=1), InputError, "an option that does not exist")


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
            for suffix in runtime.companions:
                path.with_suffix(suffix).write_bytes(model.with_suffix(suffix).read_bytes())
            require_error(lambda at=path: runtime.load(at, trust=True), RuntimeFailureError, name)  # type: ignore[misc]
        missing = Path(folder) / f"missing{runtime.suffix}"
        require_error(lambda: runtime.load(missing, trust=True), RuntimeFailureError, "a missing file")
