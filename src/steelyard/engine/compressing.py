"""`compress`: a model that is there already, made smaller. From the question to a plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.candidate import FamilySpace, Space
from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.goal import Budget, Goal
from steelyard.core.registry import Registry
from steelyard.core.task import TaskKind
from steelyard.core.userfile import absolute_address, is_user_address, load_function
from steelyard.core.wire import file_sha256
from steelyard.engine.given import opened
from steelyard.engine.lane import default_workers
from steelyard.engine.pipelines import pipelines_of
from steelyard.engine.plan import Plan
from steelyard.engine.registries import metric_name
from steelyard.engine.request import BUILTIN, Request, check_energy, check_goal, default_out, metrics_for, registry_with
from steelyard.engine.strategies import configured
from steelyard.engine.values import check_values
from steelyard.tasks.given import Material, prepare_given, read_arrays_of

KINDS: Mapping[str, TaskKind] = {
    "classification": "classification",
    "regression": "regression",
    "label-free": "label-free",
    "language-modelling": "language-modelling",
    "image-classification": "classification",
    "text-classification": "classification",
    "audio-classification": "classification",
    "series-classification": "classification",
    "tabular-classification": "classification",
    "tabular-regression": "regression",
}
"""Kinds of task that a given model may have, by the names of the command line."""
DEFAULT_STRATEGY = "shrink"
"""Measured beside `elastic` by benchmarks/compress_elastic.py."""
TRIAL_LIMIT_S = 3600.0
"""Seconds after which a candidate counts as hung where no budget says how long one may take."""


@dataclass(frozen=True, slots=True)
class CompressRequest:
    """The question as asked. Fields are those of the command line, in SI units; None means the default.

    `model` is an ONNX file, a Keras file, `file.py:function` or a torch module; `data` a file, a mapping of arrays by
    name, or a pair (x, y); `steps` the names of the steps that may be used, None for all that fit.
    """

    model: Any
    data: Any = None
    weights: Path | None = None
    task: str | None = None
    steps: tuple[str, ...] | None = None
    target: str | None = None
    group: str | None = None
    split_by: str | None = None
    runtime: str = "onnxruntime"
    goal: Goal = field(default_factory=Goal)
    budget: Budget | None = None
    strategy: str | None = None
    workers: int | None = None
    seed: int = 0
    batch: int = 1
    threads: int = 1
    out: Path | None = None
    storage: str | None = None
    preprocess: str | None = None
    plugins: tuple[str, ...] = ()
    trust: bool = False
    scenario: str | None = None


def resolve_compress(request: CompressRequest) -> Plan:
    """Check a question and fill in what it leaves open. Writes nothing.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    values = {name: getattr(request, name, None) for name in Request.__dataclass_fields__}
    named = request.model if isinstance(request.model, str) else None
    check_values({**values, "task": request.task or "", "model": named})
    registry = registry_with(request.plugins)
    registry.get("runtime", request.runtime)
    exporter = registry.get("exporter", request.runtime)
    exporter.check()
    if "onnx" not in exporter.sources:
        raise InputError(
            f"'runtime' {request.runtime} takes no ONNX files, which compressed models are; use onnxruntime.",
            field="runtime",
        )
    strategy = registry.get("strategy", request.strategy or DEFAULT_STRATEGY)
    check_energy(request.goal)
    _check_steps(request.steps, registry)
    if request.data is None:
        raise InputError("'data' must name rows that the model never saw, such as --data rows.npz.", field="data")
    if request.task is not None and request.task not in KINDS:
        raise UnknownNameError("task", request.task, KINDS, field="task")
    material = _material(request)
    with opened(request.model, material, registry, weights=request.weights, trust=request.trust) as found:
        model, given, path = found
        kind = None if request.task is None else KINDS[request.task]
        task = prepare_given(material, given, seed=request.seed, kind=kind)
        pipelines = pipelines_of(model, path, registry, asked=request.steps, goal=request.goal)
    metrics, goal_metric = metrics_for(request.goal, task)
    check_goal(request.goal, metrics[goal_metric])
    space = Space((FamilySpace(model.name),), pipelines, request.runtime)
    return Plan(
        task=task,
        space=space,
        goal=request.goal,
        budget=request.budget or Budget(wall_s=float(task.defaults["budget_s"])),
        strategy=configured(strategy, {}, rows=len(task.train)),
        recipe={},
        metrics={metric_name(address): metric for address, metric in metrics.items()},
        metric_addresses=tuple(metrics),
        monitor=metric_name(goal_metric) if is_user_address(goal_metric) else task.metric,
        goal_metric=metric_name(goal_metric),
        out=request.out or default_out(task.name, [model.name]),
        seed=request.seed,
        workers=request.workers or default_workers(),
        batch=request.batch,
        threads=request.threads,
        storage=request.storage,
        registry=BUILTIN,
        plugins=tuple(absolute_address(each) if is_user_address(each) else each for each in request.plugins),
        trial_limit_s=max(60.0, request.budget.wall_s) if request.budget and request.budget.wall_s else TRIAL_LIMIT_S,
        files={**model.files, **_own_files(request)},
        given=model,
        sharing="always" if request.strategy == "elastic" else "never",
        scenario=Path(request.scenario).stem if request.scenario else "",
    )


def _check_steps(steps: tuple[str, ...] | None, registry: Registry) -> None:
    known = (*registry.names("module_step"), *registry.names("step"))
    for name in steps or ():
        if name not in known:
            raise UnknownNameError("step", name, known, field="steps")
    if steps is not None and not steps:
        raise InputError("'steps' must name at least one step, got none.", field="steps")


def _material(request: CompressRequest) -> Material:
    """The arrays that were named, in memory or in a file."""
    preprocess = load_function(request.preprocess, field="preprocess") if request.preprocess else None
    data, target = request.data, request.target or "y"
    if isinstance(data, str | Path):
        arrays = read_arrays_of(
            data, target=request.target, group=request.group, split_by=request.split_by, trust=request.trust
        )
        # Readers of tables and folders have named the targets already.
        is_named = target in arrays or any(f"{target}_{split}" in arrays for split in ("train", "valid", "test"))
        target = target if is_named else "y"
        return Material(arrays, str(data), target, request.group, preprocess)
    if isinstance(data, Mapping):
        return Material(data, "'data'", target, request.group, preprocess)
    if isinstance(data, tuple) and len(data) == 2:
        return Material({"x": data[0], target: data[1]}, "'data'", target, None, preprocess)
    return Material({"x": data}, "'data'", target, None, preprocess)


def _own_files(request: CompressRequest) -> dict[str, str]:
    named = {"preprocess": request.preprocess, "metric": request.goal.metric}
    return {
        name: file_sha256(Path(absolute_address(address).rpartition(":")[0]))
        for name, address in named.items()
        if address and is_user_address(address)
    }
