"""The Python interface: `find`, `load`, `pack`. The command line is a thin layer over it."""

import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from steelyard.core.errors import SteelyardError, UnknownNameError
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
    "find",
    "load",
    "pack",
    "profile",
    "resolve",
]


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
    if isinstance(options.get("out"), str):
        options["out"] = Path(options["out"])
    if isinstance(options.get("model"), list):
        options["model"] = tuple(options["model"])
    options["knobs"] = knobs_from(options.get("knobs") or {})
    return resolve_request(Request(task=task, **options))


def find(task: Any, *, listen: Listener = silent, started: float | None = None, **options: Any) -> Outcome:
    """Find, prove and pack the right-sized model of a task.

    Args:
        task: a built-in task's name (`digits`), or a kind of task (`image-classification`) with `data`.
        listen: hears what happens.
        started: when the caller's command began, by the monotonic clock: the budget counts from there. None is now.
        options: the fields of `steelyard.engine.request.Request`, all optional: `data`, `target`, `model`, `goal`,
            `budget`, `strategy`, `knobs`, `seed`, `out`, `workers`, `batch`, `threads` ...

    Returns:
        The answer: the same as the JSON of the command line, as values. The bundle is at `outcome.bundle`.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    began = time.monotonic() if started is None else started
    worker = WorkerProcess()
    try:
        # A worker imports for seconds; it starts before the question is read, on another core.
        worker.start()
        plan = resolve(task, **options)
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


def pack(bundle: str | Path, point: str, out: str | Path) -> Outcome:
    """Pack another point of a bundle's front into a directory of its own.

    Args:
        bundle: the bundle's directory.
        point: the point's key, or the first characters of it.
        out: a new or empty directory.

    Raises:
        BundleError: if it is no bundle.
        UnknownNameError: if it holds no such point.
    """
    from steelyard.engine.pack import repack  # noqa: PLC0415

    return repack(Path(bundle), point, Path(out), rendered)


def prepare_rendering() -> None:
    """Load what draws the report, so that drawing it later takes no more than its own time."""
    from steelyard.report import card, html  # noqa: PLC0415  load what draws charts

    del card
    html.chart_library()


def rendered(outcome: Outcome) -> dict[str, str]:
    """The texts that a bundle carries: its card and its report, by file name."""
    from steelyard.report import card, html  # noqa: PLC0415  load what draws charts

    return {"MODEL_CARD.md": card.render(outcome), "report.html": html.render(outcome)}
