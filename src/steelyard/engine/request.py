"""A request: what a user asks for, as given. `resolve` turns it into a plan, checking everything on the way."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.candidate import FamilySpace, Knob, Setting, Space, StepSetting
from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.goal import Budget, Goal
from steelyard.core.protocols import Family, Metric, Task
from steelyard.core.registry import Registry
from steelyard.core.userfile import absolute_address, is_user_address, load_function
from steelyard.core.wire import file_sha256
from steelyard.engine.lane import default_workers
from steelyard.engine.plan import Plan
from steelyard.engine.registries import extended_registry, family_name, metric_name, metric_of
from steelyard.families.own import Own
from steelyard.tasks.metrics import DEFAULT_METRICS, metrics_of

BUILTIN = "steelyard.builtin:registry"
PIPELINES: tuple[tuple[StepSetting, ...], ...] = ((), (StepSetting("quantize"),))
"""Pipelines of compression steps that are searched: none, and int8."""
MOST_CANDIDATES = 10**6
"""A space larger than this is a slip of the keyboard, not a question."""


@dataclass(frozen=True, slots=True)
class Request:
    """The question as asked. Fields are those of the command line, in SI units; None means the default.

    `task` is a built-in task's name, a kind of task for `data`, or a prepared task. `model` names families or
    `file.py:function`; `knobs` restricts knobs by name; `loss`, `loop`, `preprocess` and the goal's metric may be
    `file.py:function`.
    """

    task: str | Task
    data: Any = None
    target: str | None = None
    group: str | None = None
    split_by: str | None = None
    model: str | tuple[str, ...] | None = None
    runtime: str = "onnxruntime"
    goal: Goal = field(default_factory=Goal)
    budget: Budget | None = None
    strategy: str = "tpe"
    knobs: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)
    workers: int | None = None
    seed: int = 0
    batch: int = 1
    threads: int = 1
    out: Path | None = None
    storage: str | None = None
    loss: str | None = None
    loop: str | None = None
    preprocess: str | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    plugins: tuple[str, ...] = ()
    trust: bool = False


def resolve(request: Request) -> Plan:
    """Check a request and fill in what it leaves open. Writes nothing.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    _check_counts(request)
    registry = extended_registry(BUILTIN, request.plugins)
    registry.get("runtime", request.runtime)
    strategy = registry.get("strategy", request.strategy)
    _check_energy(request.goal)
    names = _families(request, registry)
    task = _task(request, registry)
    metrics, goal_metric = _metrics(request.goal, task)
    request.goal.check_against(metric=goal_metric, metric_in_unit_range=metrics[goal_metric].in_unit_range)
    space, model = _space(request, registry, task, names)
    own = {name: address for name, address in _own_files(request, model).items() if address}
    return Plan(
        task=task,
        space=space,
        goal=request.goal,
        budget=request.budget or Budget(wall_s=float(task.defaults.get("budget_s", 600.0))),
        strategy=strategy,
        recipe=_recipe(request, task),
        metrics={metric_name(address): metric for address, metric in metrics.items()},
        metric_addresses=tuple(metrics),
        monitor=metric_name(goal_metric) if is_user_address(goal_metric) else task.metric,
        goal_metric=metric_name(goal_metric),
        out=request.out or default_out(task.name, [each.family for each in space.families]),
        seed=request.seed,
        workers=request.workers or default_workers(),
        batch=request.batch,
        threads=request.threads,
        storage=request.storage,
        registry=BUILTIN,
        plugins=tuple(absolute_address(each) if is_user_address(each) else each for each in request.plugins),
        model=model,
        preprocess=request.preprocess,
        trial_limit_s=_trial_limit(request, task),
        files={name: file_sha256(Path(address.rpartition(":")[0])) for name, address in own.items()},
    )


def default_out(task: str, families: list[str]) -> Path:
    """`steelyard-out/TASK-MODEL`, with what a file system dislikes replaced."""
    name = f"{task}-{'+'.join(families)}".replace(".py:", "-").replace(":", "-").replace("/", "-")
    return Path("steelyard-out") / name


def _check_counts(request: Request) -> None:
    for name in ("batch", "threads", "workers"):
        count = getattr(request, name)
        if count is not None and count < 1:
            raise InputError(f"'{name}' must be at least 1, got {count!r}.", field=name)
    if not 0 <= request.seed < 2**31:
        raise InputError(f"'seed' must be between 0 and 2147483647, got {request.seed!r}.", field="seed")


def _check_energy(goal: Goal) -> None:
    """A limit that can't be measured here is refused at once."""
    asked = "max_energy" if goal.max_energy_j is not None else "minimize" if goal.minimize == "energy" else None
    if asked is not None:
        raise InputError(
            f"'{asked}' asks for energy, which can't be measured on this machine; use latency, size or memory.",
            field=asked,
        )


def _families(request: Request, registry: Registry) -> tuple[str, ...] | None:
    """The families asked for, their names checked before any data are read; None for the task's default."""
    if request.model is None:
        return None
    names = request.model.split(",") if isinstance(request.model, str) else request.model
    names = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not names:
        raise InputError("'model' must name at least one family, got none.", field="model")
    known = [name for name in registry.names("family") if name != "baseline"]
    for name in names:
        if is_user_address(name):
            load_function(name, field="model")
        elif name not in known:
            raise UnknownNameError("model", name, known, field="model")
    return names


def _task(request: Request, registry: Registry) -> Task:
    if not isinstance(request.task, str):
        return request.task
    if request.data is None:
        if request.task in DEFAULT_METRICS:
            raise InputError(f"'data' must name a file or folder for the kind {request.task!r}.", field="data")
        if request.task not in registry.names("task"):
            raise UnknownNameError("task", request.task, [*registry.names("task"), *DEFAULT_METRICS], field="task")
        task: Task = registry.get("task", request.task)(request.seed)
        return task
    if request.task not in DEFAULT_METRICS:
        known = "a built-in task, which has data of its own" if request.task in registry.names("task") else "not known"
        raise InputError(
            f"'task' must be a kind ({', '.join(DEFAULT_METRICS)}) where --data is given; {request.task!r} is {known}.",
            field="task",
        )
    return read_task(request)


def read_task(request: Request) -> Task:
    """The user's own data as a task.

    Raises:
        DataError: if they can't be used.
    """
    from steelyard.tasks.reading import from_data  # noqa: PLC0415  reads with libraries that built-in tasks don't need

    return from_data(
        request.data,
        str(request.task),
        target=request.target,
        group=request.group,
        split_by=request.split_by,
        seed=request.seed,
        trust=request.trust,
    )


def _metrics(goal: Goal, task: Task) -> tuple[dict[str, Metric], str]:
    """Every metric by address, and the goal's."""
    names = metrics_of(task.kind)
    asked = goal.metric or task.metric
    if is_user_address(asked):
        asked = absolute_address(asked)
    elif asked not in names:
        raise UnknownNameError(f"metric for {task.kind}", asked, names, field="metric")
    return {name: metric_of(name) for name in dict.fromkeys((*names, asked))}, asked


def _space(request: Request, registry: Registry, task: Task, names: tuple[str, ...] | None) -> tuple[Space, str | None]:
    """The space, and the address of the user's own model where one is named."""
    asked = dict(request.knobs)
    families: list[FamilySpace] = []
    used: set[str] = set()
    model: str | None = None
    for name in names or tuple(task.defaults["families"]):
        family, own = _family(name, registry)
        model = own or model
        refusal = family.refusal(task)
        if refusal is not None:
            raise InputError(f"'model' {name!r} can't learn {task.name!r}: {refusal}.", field="model")
        knobs = family.knobs(task)
        used |= {knob.name for knob in knobs} & asked.keys()
        families.append(
            FamilySpace(family.name, tuple(Knob(k.name, asked[k.name]) if k.name in asked else k for k in knobs))
        )
    unknown = sorted(asked.keys() - used)
    if unknown:
        known = {knob.name for each in families for knob in each.knobs}
        raise UnknownNameError("knob", unknown[0], known, field="knob")
    space = Space(tuple(families), PIPELINES, request.runtime)
    if space.size > MOST_CANDIDATES:
        raise InputError(
            f"'knob' spans {space.size:.3g} candidates, more than {MOST_CANDIDATES:,}; give fewer choices.",
            field="knob",
        )
    _check_settings(space)
    return space, model


def _family(name: str, registry: Registry) -> tuple[Family, str | None]:
    if not is_user_address(name):
        family: Family = registry.get("family", name)
        return family, None
    address = absolute_address(name)
    return Own(family_name(address), load_function(address, field="model")), address


def _check_settings(space: Space) -> None:
    """Whole, positive settings for the families that ship; the user's own function says what it takes."""
    for family in space.families:
        if ":" in family.family:
            continue
        for knob in family.knobs:
            lowest = 0 if knob.name == "bias" else 1
            for choice in knob.choices:
                if isinstance(choice, bool) or not isinstance(choice, int) or not lowest <= choice <= 2**16:
                    raise InputError(
                        f"'knob' {knob.name} must be whole numbers from {lowest} to 65536, got {choice!r}.",
                        field="knob",
                    )


def _recipe(request: Request, task: Task) -> dict[str, Any]:
    """The training settings that differ from the defaults of `steelyard.training.recipe`."""
    names = ("optimizer", "learning_rate", "batch")
    recipe: dict[str, Any] = {name: task.defaults[name] for name in names if name in task.defaults}
    for name in ("optimizer", "learning_rate", "epochs"):
        if getattr(request, name) is not None:
            recipe[name] = getattr(request, name)
    for name in ("loss", "loop"):
        address = getattr(request, name)
        if address is not None:
            load_function(address, field="train" if name == "loop" else name)
            recipe[name] = absolute_address(address)
    if recipe.get("optimizer", "adam") not in ("adam", "rmsprop", "sgd"):
        raise UnknownNameError("optimizer", recipe["optimizer"], ("adam", "rmsprop", "sgd"), field="optimizer")
    rate = recipe.get("learning_rate")
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InputError(f"'learning_rate' must be a positive finite number, got {rate!r}.", field="learning_rate")
    if recipe.get("epochs", 1) < 1:
        raise InputError(f"'epochs' must be at least 1, got {recipe['epochs']!r}.", field="epochs")
    return recipe


def _trial_limit(request: Request, task: Task) -> float:
    """Seconds after which a candidate counts as hung: the whole budget, at least a minute, an hour without one."""
    if request.budget is None:
        return max(60.0, float(task.defaults.get("budget_s", 600.0)))
    return max(60.0, request.budget.wall_s) if request.budget.wall_s is not None else 3600.0


def _own_files(request: Request, model: str | None) -> dict[str, str | None]:
    metric = request.goal.metric if request.goal.metric and is_user_address(request.goal.metric) else None
    return {
        "model": model,
        "loss": request.loss,
        "train": request.loop,
        "preprocess": request.preprocess,
        "metric": metric,
    }
