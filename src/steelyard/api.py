"""The Python interface: `find`, `compress`, `profile`, `load` and others. The command line is a thin layer over it."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from steelyard.core.errors import InputError, SteelyardError, UnknownNameError
from steelyard.core.events import Listener, silent
from steelyard.core.goal import Budget, Goal
from steelyard.core.outcome import Outcome
from steelyard.core.profiling import Profile
from steelyard.core.quantity import Quantity
from steelyard.engine.plan import Plan
from steelyard.engine.predictor import Predictor, load
from steelyard.engine.request import Request, registry_with
from steelyard.engine.request import resolve as resolve_request
from steelyard.engine.values import knobs_from
from steelyard.engine.workers import WorkerProcess

__all__ = [
    "Budget",
    "Goal",
    "Outcome",
    "Predictor",
    "Profile",
    "Quantity",
    "SteelyardError",
    "compress",
    "find",
    "kit",
    "load",
    "pack",
    "profile",
    "resolve",
    "resolve_compress",
]

LIMITS = ("minimize", "max_latency_s", "max_size_bytes", "max_memory_bytes", "max_energy_j")
"""Fields of a goal that can be asked anew of another machine's costs: no test row is looked at for them."""


def resolve(task: Any, **options: Any) -> Plan:
    """Check a question and fill in what it leaves open, without running it: what `--dry-run` shows.

    Args:
        task: as for `find`.
        options: as for `find`.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    known = {each.name for each in fields(Request)} - {"task"}
    for name in options:
        if name not in known:
            raise UnknownNameError("option", name, known, field=name)
    for name in ("plugins",):
        if isinstance(options.get(name), str):
            options[name] = (options[name],)
    if isinstance(options.get("steps"), str):
        options["steps"] = tuple(each.strip() for each in options["steps"].split(",") if each.strip())
    for name in ("out", "measured", "warm_start"):
        if isinstance(options.get(name), str):
            options[name] = Path(options[name])
    for name in ("model", "steps"):
        if isinstance(options.get(name), list):
            options[name] = tuple(options[name])
    options = _with_scenario(options, kind=task if isinstance(task, str) and options.get("data") is not None else None)
    options["knobs"] = knobs_from(options.get("knobs") or {})
    return resolve_request(Request(task=task, **options))


def find(task: Any, *, listen: Listener = silent, started: float | None = None, **options: Any) -> Outcome:
    """Find, prove and pack the right-sized model of a task.

    Args:
        task: a built-in task's name (`digits`), or a kind of task (`image-classification`) with `data`.
        listen: hears what happens.
        started: when the caller's command began, by the monotonic clock: the budget counts from there. None is now.
        options: the fields of `steelyard.engine.request.Request`, all optional: `data`, `target`, `model`, `goal`,
            `budget`, `strategy`, `strategy_options`, `knobs`, `seed`, `out`, `workers`, `batch`, `threads` ...

    Returns:
        The answer: the same as the JSON of the command line, as values. The bundle is at `outcome.bundle`.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    began = time.monotonic() if started is None else started
    worker = WorkerProcess()
    try:
        _start_early(worker, options.get("out"))
        plan = resolve(task, **options)
        from steelyard.engine.pipeline import Start  # noqa: PLC0415  loads the storage, which `load` must not
        from steelyard.engine.pipeline import find as run  # noqa: PLC0415

        return run(plan, rendered, listen, start=Start(began, worker, prepare_rendering))
    finally:
        worker.kill()


def _start_early(worker: WorkerProcess, out: str | Path | None) -> None:
    """Start a worker before the question is read, on another core: it imports for seconds.

    Where a study is there already it may be finished, and need none; if it goes on, the worker starts then.
    """
    if not isinstance(out, str | Path) or not (Path(out) / "study.db").exists():
        worker.start()


def resolve_compress(model: Any, data: Any = None, **options: Any) -> Plan:
    """Check a question about a model that is there already, without running it: what `compress --dry-run` shows.

    Args:
        model: as for `compress`.
        data: as for `compress`.
        options: as for `compress`.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    from steelyard.engine.compressing import CompressRequest  # noqa: PLC0415  `load` must not pay for it
    from steelyard.engine.compressing import resolve_compress as resolve_request  # noqa: PLC0415

    known = {each.name for each in fields(CompressRequest)} - {"model", "data"}
    for name in options:
        if name not in known:
            raise UnknownNameError("option", name, known, field=name)
    for name in ("plugins", "steps"):
        if isinstance(options.get(name), str):
            options[name] = tuple(options[name].split(","))
        elif isinstance(options.get(name), list):
            options[name] = tuple(options[name])
    for name in ("out", "weights"):
        if isinstance(options.get(name), str):
            options[name] = Path(options[name])
    options = _with_scenario(options)
    named = str(model) if isinstance(model, Path) else model
    return resolve_request(CompressRequest(model=named, data=data, **options))


def compress(
    model: Any, data: Any = None, *, listen: Listener = silent, started: float | None = None, **options: Any
) -> Outcome:
    """Make a model smaller and faster as far as it stays good, prove that it does, and pack it.

    Args:
        model: an ONNX file, a Keras file (with `trust`), `file.py:function` that returns a torch module, or a torch
            module.
        data: rows that the model never saw: a file (.npz, a table, class folders), a mapping of arrays by name, or a
            pair (x, y). Without targets the model is judged against itself.
        listen: hears what happens.
        started: when the caller's command began, by the monotonic clock: the budget counts from there. None is now.
        options: the fields of `steelyard.engine.compressing.CompressRequest`, all optional: `weights`, `task`,
            `steps`, `goal`, `budget`, `strategy`, `seed`, `out`, `workers`, `batch`, `threads` ...

    Returns:
        The answer, as of `find`; the reference is the model given. The bundle is at `outcome.bundle`.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    began = time.monotonic() if started is None else started
    worker = WorkerProcess()
    try:
        _start_early(worker, options.get("out"))
        plan = resolve_compress(model, data, **options)
        from steelyard.engine.pipeline import Start  # noqa: PLC0415  loads the storage, which `load` must not
        from steelyard.engine.pipeline import find as run  # noqa: PLC0415

        return run(plan, rendered, listen, start=Start(began, worker, prepare_rendering))
    finally:
        worker.kill()


def profile(model: Any, *, listen: Listener = silent, **options: Any) -> Profile:
    """Measure what a model costs: time, memory, size, layers, on each runtime, with intervals.

    Args:
        model: a model file, a bundle, or `file.py:function` that returns a torch module.
        listen: hears what happens.
        options: all optional: `data` (a file of real inputs) or `shape` (text, or a tuple of sizes, or either by input
            name), `runtime` and `compare` (texts, or sequences of them), `weights`, `batch`, `batches`, `threads`,
            `half_width` ("2%" or 0.02), `budget` ("60s" or seconds), `estimate`, `seed`, `trust`, `plugins`.

    Returns:
        The same as the JSON of the command line, as values.

    Raises:
        InputError: one sentence on the first thing that can't be used, or where no runtime can run the model.
    """
    from steelyard.engine.profiling import profile as run  # noqa: PLC0415  `load` must not pay for it
    from steelyard.engine.questions import question_of  # noqa: PLC0415

    plugins = options.pop("plugins", ())
    question = question_of(str(model), options)
    names = (plugins,) if isinstance(plugins, str) else tuple(plugins)
    return run(question, registry_with(names), listen, plugins=names)


def pack(
    bundle: str | Path,
    point: str | None = None,
    out: str | Path | None = None,
    *,
    measured: str | Path | None = None,
    **limits: Any,
) -> Outcome:
    """Pack another point of a bundle's front into a directory of its own.

    Args:
        bundle: the bundle's directory.
        point: the point's key, or the first characters of it.
        out: a new or empty directory; must be given.
        measured: instead of a point: the file that a kit's `measure.py` wrote. The choice is made again by its costs.
        limits: with `measured`, the fields of `Goal` that are the other machine's matter: `minimize`,
            `max_latency_s`, `max_size_bytes`, `max_memory_bytes`, `max_energy_j`. Those not given stay.

    Raises:
        BundleError: if it is no bundle.
        UnknownNameError: if it holds no such point.
        InputError: if neither or both of point and measured are given, or the file is no kit's.
    """
    from steelyard.engine.pack import repack, repack_measured  # noqa: PLC0415

    if out is None:
        raise InputError("'out' must name a new or empty directory, got none.", field="out")
    if (point is None) == (measured is None):
        got = "neither" if point is None else "both"
        raise InputError(f"'point' or 'measured' must say what to pack, one of the two, got {got}.", field="point")
    for name in limits:
        if name not in LIMITS:
            raise UnknownNameError("limit", name, LIMITS, field=name)
    if measured is not None:
        return repack_measured(Path(bundle), Path(measured), Path(out), rendered, limits)
    if limits:
        raise InputError(
            f"'{next(iter(limits))}' needs costs to judge: give 'measured', or search again by find.",
            field=next(iter(limits)),
        )
    return repack(Path(bundle), str(point), Path(out), rendered)


def kit(bundle: str | Path, out: str | Path | None = None, *, samples: Any = None, preprocess: Any = None) -> Path:
    """Write a zip that measures a bundle's models on another machine, and return its path.

    It holds the chosen model, the reference and the front, inputs, and `measure.py`, which needs numpy and the runtime
    only. What that writes is the `measured` of `find` and `pack`.

    Args:
        bundle: the bundle's directory.
        out: a new file; the bundle's name with `-kit.zip` in the current folder where None.
        samples: None draws inputs at random, and no row of your data leaves. A path, or rows in the task's raw form:
            up to 64 of them go into the kit.
        preprocess: the preprocessing that the bundle was made with, where it had one and samples are given.

    Raises:
        BundleError: if it is no bundle.
        InputError: if the file exists already.
    """
    from steelyard.engine.kit import make_kit  # noqa: PLC0415

    path, _ = make_kit(Path(bundle), None if out is None else Path(out), samples=samples, preprocess=preprocess)
    return path


def _with_scenario(options: dict[str, Any], *, kind: str | None = None) -> dict[str, Any]:
    """Options, and what the scenario that they name says of those not given."""
    if options.get("scenario") is None:
        return options
    from steelyard.select.scenario import read_scenario  # noqa: PLC0415  needed here alone

    scenario = read_scenario(str(options["scenario"]))
    found = {"goal": scenario.goal, **scenario.options_for(strategy=options.get("strategy")), **options}
    families = None if kind is None else scenario.families_for(kind)
    return found if families is None else {"model": families, **found}


def prepare_rendering() -> None:
    """Load what draws the report, so that drawing it later takes no more than its own time."""
    from steelyard.report import card, html  # noqa: PLC0415  load what draws charts

    del card
    html.chart_library()


def rendered(outcome: Outcome) -> dict[str, str]:
    """The texts that a bundle carries: its card and its report, by file name."""
    from steelyard.report import card, html  # noqa: PLC0415  load what draws charts

    return {"MODEL_CARD.md": card.render(outcome), "report.html": html.render(outcome)}
