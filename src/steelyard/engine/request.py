"""A request: what a user asks for, as given. `resolve` turns it into a plan, checking everything on the way."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from steelyard.core.candidate import FamilySpace, Knob, Setting, Space
from steelyard.core.errors import InputError, SteelyardError, UnknownNameError
from steelyard.core.goal import COST_METRICS, Budget, Goal
from steelyard.core.measured import read_measured
from steelyard.core.protocols import Family, FittedFamily, Metric, Strategy, Task
from steelyard.core.registry import Registry
from steelyard.core.userfile import absolute_address, is_user_address, load_function
from steelyard.core.wire import file_sha256
from steelyard.engine.alone import Question, check_alone, default_families
from steelyard.engine.forms import UNCOMPRESSED, added_to, pipelines_for
from steelyard.engine.lane import default_workers
from steelyard.engine.lessons import Beginning, augment_for, members_for, starts_for
from steelyard.engine.options import check_choices, loading_knobs, options_of
from steelyard.engine.plan import Plan, Sharing, starts_identity
from steelyard.engine.reading import task_of
from steelyard.engine.registries import extended_registry, family_name, metric_name, metric_of
from steelyard.engine.strategies import configured
from steelyard.engine.values import check_values
from steelyard.families.own import Own
from steelyard.families.sequences import VOCABULARY, vocabulary_knob
from steelyard.tasks.metrics import METRICS, metrics_of, more_metrics_of

BUILTIN = "steelyard.builtin:registry"
DEFAULT_STRATEGY = "elastic"
"""What searches where nothing is asked for; it shares weights where that pays, and always where it is asked for."""
LARGEST_SETTING = 2**16
"""No knob of the families that ship goes beyond it."""
RESERVED = frozenset((*METRICS, *COST_METRICS.values(), "parameters", "macs"))
"""Names that a metric of the user's own can't have, because they are figures of every point already."""
MOST_CANDIDATES = 10**6
"""A space larger than this is a slip of the keyboard, not a question."""


@dataclass(frozen=True, slots=True)
class Request:
    """The question as asked. Fields are those of the command line, in SI units; None means the default.

    `task` is a built-in task's name, a kind of task for `data`, or a prepared task. `model` names families or
    `file.py:function`; `knobs` restricts knobs by name; `loss`, `loop`, `preprocess` and the goal's metric may be
    `file.py:function`. `strategy_options` are the strategy's own, by name. `scale` "compound" restricts the scales to
    those along which depth, width and resolution grow together. `measured` is a file that a kit's `measure.py` wrote: a
    finished study answers by its costs.
    `warm_start` is the home of an earlier study, whose front is proposed first. `seeds` is with how many seeds the
    finalists are trained. `scenario` is the name or file that the goal is from. `halving` is whether trainings that
    have become hopeless are stopped early, where that can be told. `steps` are names of the compression steps that are
    searched; None for the default. `pretrained` is a file of weights, or the home of an earlier study, that trainings
    start from; `tune` "head" trains nothing but what is new. `augment` names changes of rows while they are learned,
    with commas between. `vote` is how many members of the front vote as one more candidate.
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
    strategy: str | None = None
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
    measured: Path | None = None
    strategy_options: Mapping[str, Setting] = field(default_factory=dict)
    scale: Literal["free", "compound"] = "free"
    warm_start: Path | None = None
    seeds: int | None = None
    steps: tuple[str, ...] | None = None
    halving: bool | None = None
    scenario: str | None = None
    vocabulary: str | None = None
    pretrained: Path | None = None
    tune: str | None = None
    augment: str | None = None
    vote: int | None = None


def resolve(request: Request) -> Plan:
    """Check a request and fill in what it leaves open. Writes nothing.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    check_values({name: getattr(request, name) for name in Request.__dataclass_fields__})
    registry = registry_with(request.plugins)
    registry.get("runtime", request.runtime)
    registry.get("exporter", request.runtime).check()
    strategy = _strategy(request, registry)
    measured = None if request.measured is None else read_measured(request.measured)
    if measured is None:
        check_energy(request.goal)
    names = _families(request, registry)
    task = task_of(request, registry)
    metrics, goal_metric = metrics_for(request.goal, task)
    check_goal(request.goal, metrics[goal_metric])
    space, model = _space(request, registry, task, names)
    if request.scale == "compound":
        check_ladder(space)
    own = {name: address for name, address in _own_files(request, model).items() if address}
    mine = family_name(model) if model else ""
    addresses = {each.family: str(model) if each.family == mine else each.family for each in space.families}
    families = {name: _family(address, registry)[0] for name, address in addresses.items()}
    starts = starts_for(Beginning(request.pretrained, request.tune), space, families, task, seed=request.seed)
    plan = Plan(
        task=task,
        space=space,
        goal=request.goal,
        budget=request.budget or Budget(wall_s=float(task.defaults.get("budget_s", 600.0))),
        strategy=configured(strategy, {}, rows=len(task.train)),
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
        trial_limit_s=_trial_limit(request, task),
        files={
            **{name: file_sha256(Path(absolute_address(address).rpartition(":")[0])) for name, address in own.items()},
            **starts_identity(starts),
        },
        measured=measured,
        sharing=_sharing(request),
        scale=request.scale or "free",
        seeds=request.seeds or 1,
        added=added_to(space.pipelines, request.steps),
        halving=request.halving is not False,
        scenario=Path(request.scenario).stem if request.scenario else "",
        starts=starts,
        members=members_for(request.vote, registry.get("exporter", request.runtime), task),
    )
    if request.warm_start is None:
        return plan
    from steelyard.engine.warmstart import warm_start  # noqa: PLC0415  loads the storage, which `load` must not

    return replace(plan, warm=warm_start(plan, request.warm_start))


def _sharing(request: Request) -> Sharing:
    if request.pretrained is not None or request.augment not in (None, "none"):
        # Every scale starts from its slice of what is known already; rows that change are learned one by one.
        return "never"
    if request.strategy is None and request.scale != "compound":
        # Who says how to train wants each model trained so.
        asked = (request.epochs, request.optimizer, request.learning_rate, request.loop)
        return "where it pays" if all(each is None for each in asked) else "never"
    return "always" if request.strategy == DEFAULT_STRATEGY else "never"


def default_out(task: str, families: list[str]) -> Path:
    """`steelyard-out/TASK-MODEL`, with what a file system dislikes replaced."""
    name = f"{task}-{'+'.join(families)}".replace(".py:", "-").replace(":", "-").replace("/", "-")
    return Path("steelyard-out") / name


def registry_with(plugins: tuple[str, ...]) -> Registry:
    """The registry that ships, extended by the user's plugins.

    Raises:
        InputError: if a plugin is not found, fails, or returns no registry.
    """
    try:
        registry = extended_registry(BUILTIN, plugins)
    except SteelyardError:
        raise
    except Exception as error:  # a plugin is the user's own code and raises whatever it likes
        raise InputError(
            f"'plugin' {', '.join(plugins)} failed ({type(error).__name__}: {error}); "
            "it must take a Registry and return one.",
            field="plugin",
        ) from error
    if not isinstance(registry, Registry):
        raise InputError(
            f"'plugin' {', '.join(plugins)} must return a Registry, got {type(registry).__name__}.", field="plugin"
        )
    return registry


def _strategy(request: Request, registry: Registry) -> Strategy:
    """The strategy by name; that of the ladder where scales are compound, which no other can walk."""
    name = request.strategy or DEFAULT_STRATEGY
    strategy: Strategy = configured(registry.get("strategy", name), request.strategy_options)
    if request.scale != "compound":
        return strategy
    if request.strategy not in (None, request.scale):
        raise InputError(
            f"'strategy' {request.strategy!r} walks the whole space, but 'scale' compound restricts it to a ladder; "
            "leave one of the two out.",
            field="strategy",
        )
    return configured(registry.get("strategy", request.scale), request.strategy_options)


def check_ladder(space: Space) -> None:
    """Refuse families whose scales make no ladder.

    Raises:
        InputError: naming the first.
    """
    from steelyard.strategies.compound import growing  # noqa: PLC0415  its fit loads what `load` must not pay for

    for family in space.families:
        names = [knob.name for knob in growing(family)]
        if len(names) < 2:
            raise InputError(
                f"'scale' compound needs two of the knobs depth, width and resolution, each with two choices or more; "
                f"{family.family!r} has {names[0] if names else 'none'}: leave 'scale' out or name another model.",
                field="scale",
            )


def check_goal(goal: Goal, metric: Metric) -> None:
    """Refuse a goal that no model can meet on this metric.

    Raises:
        InputError: saying which figure is out of reach.
    """
    goal.check_against(metric=metric.name, metric_in_unit_range=metric.in_unit_range)
    asked = goal.min_quality
    if asked is None:
        return
    if metric.in_unit_range and metric.higher_is_better and asked > 1:
        raise InputError(
            f"'min_quality' must be at most 1, the best {metric.name}, got {asked:g}"
            + (f"; did you mean {asked / 100:g}?" if asked <= 100 else "."),
            field="min_quality",
        )
    if metric.name == "rmse" and asked < 0:
        raise InputError(f"'min_quality' must be at least 0, the best rmse, got {asked:g}.", field="min_quality")


def check_energy(goal: Goal) -> None:
    """A limit that can't be measured here is refused at once.

    Raises:
        InputError: naming it.
    """
    asked = "max_energy" if goal.max_energy_j is not None else "minimize" if goal.minimize == "energy" else None
    if asked is not None:
        raise InputError(
            f"'{asked}' asks for energy, which a search does not measure; use latency, size or memory.",
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
        elif name.rstrip(":").endswith(".py"):
            raise InputError(
                f"'model' must be file.py:function, got {name!r}; add the function's name after a colon.", field="model"
            )
        elif name not in known:
            raise UnknownNameError("model", name, known, field="model")
    return names


def metrics_for(goal: Goal, task: Task) -> tuple[dict[str, Metric], str]:
    """Every metric by address, and the goal's.

    Raises:
        UnknownNameError: if the goal's metric is none of the task's.
        InputError: if a metric of the user's own can't be used.
    """
    names = metrics_of(task.kind)
    asked = goal.metric or task.metric
    if is_user_address(asked):
        load_function(asked, field="metric")
        name = metric_name(asked)
        if name in RESERVED or name.endswith(("_train", "_test", "_seed_sd", "_seed_mean")):
            raise InputError(
                f"'metric' {asked!r} must have a name of its own, but {name!r} is a figure of every point; rename it.",
                field="metric",
            )
        asked = absolute_address(asked)
    elif asked not in (*names, *more_metrics_of(task.kind)):
        known = (*names, *more_metrics_of(task.kind))
        raise UnknownNameError(f"metric for {task.kind}", asked, known, field="metric")
    return {name: metric_of(name) for name in dict.fromkeys((*names, asked))}, asked


def _space(request: Request, registry: Registry, task: Task, names: tuple[str, ...] | None) -> tuple[Space, str | None]:
    """The space, and the address of the user's own model where one is named."""
    asked = dict(request.knobs)
    families: list[FamilySpace] = []
    used: set[str] = set()
    model: str | None = None
    question = _question(request)
    found = [_family(name, registry) for name in names or default_families(question, registry, task)]
    check_alone([family for family, _ in found], question, registry)
    for family, own in found:
        model = own or model
        refusal = family.refusal(task)
        if task.environment and not isinstance(family, FittedFamily):
            refusal = "it learns from rows with answers; q-learning, sarsa and dqn learn by playing"
        if refusal is not None:
            raise InputError(f"'model' {own or family.name!r} can't learn {task.name!r}: {refusal}.", field="model")
        knobs = _knobs(family, task, is_own=own is not None)
        used |= {knob.name for knob in knobs} & asked.keys()
        chosen = (
            knob
            if knob.name not in asked
            else vocabulary_knob(task, asked[knob.name])
            if knob.name == VOCABULARY and own is None
            else _chosen(knob.name, asked[knob.name], is_own=own is not None)
            for knob in knobs
        )
        families.append(FamilySpace(family.name, tuple(chosen), is_module=not isinstance(family, FittedFamily)))
    known = loading_knobs(registry.get("runtime", request.runtime), request.threads)
    unknown = sorted(asked.keys() - used - known.keys())
    if unknown:
        theirs = {knob.name for each in families for knob in each.knobs}
        raise UnknownNameError("knob", unknown[0], theirs | known.keys(), field="knob")
    options = options_of({name: choices for name, choices in asked.items() if name not in used}, known)
    pipelines = UNCOMPRESSED
    if any(each.is_module for each in families):
        pipelines = pipelines_for(request.steps, registry, request.runtime, shares=_sharing(request) != "never")
    space = Space(tuple(families), pipelines, request.runtime, options)
    size = space.size - len(added_to(pipelines, request.steps)) * space.scales * len(options)
    if size > MOST_CANDIDATES:
        raise InputError(
            f"'knob' spans {size:.3g} candidates, more than {MOST_CANDIDATES:,}; give fewer choices.",
            field="knob",
        )
    return space, model


def _question(request: Request) -> Question:
    lessons = {
        "loss": request.loss,
        "train": request.loop,
        "optimizer": request.optimizer,
        "learning_rate": request.learning_rate,
        "epochs": request.epochs,
        "pretrained": request.pretrained,
        "augment": None if request.augment == "none" else request.augment,
    }
    given = tuple(name for name, value in lessons.items() if value is not None)
    return Question(request.runtime, request.scale == "compound", given)


def _family(name: str, registry: Registry) -> tuple[Family | FittedFamily, str | None]:
    if not is_user_address(name):
        family: Family | FittedFamily = registry.get("family", name)
        return family, None
    address = absolute_address(name)
    return Own(family_name(address), load_function(address, field="model")), address


def _knobs(family: Family | FittedFamily, task: Task, *, is_own: bool) -> tuple[Knob, ...]:
    """The family's knobs; the user's own function may have annotations or defaults that are no settings."""
    try:
        return family.knobs(task)
    except SteelyardError:
        raise
    except Exception as error:
        if not is_own:
            raise
        raise InputError(
            f"'model' {family.name} has arguments that can't be read as knobs ({type(error).__name__}: {error}); "
            "give them numbers or texts.",
            field="model",
        ) from error


def _chosen(name: str, choices: tuple[Setting, ...], *, is_own: bool) -> Knob:
    """A knob with the user's choices.

    For the families that ship they are whole numbers, sorted: the largest scale is the reference. The user's own
    function says what it takes, and which end is large.
    """
    check_choices(name, choices)
    for choice in choices:
        if isinstance(choice, float) and not math.isfinite(choice):
            raise InputError(f"'knob' {name} must have finite choices, got {choice!r}.", field="knob")
    if is_own:
        return Knob(name, choices)
    lowest = 0 if name in ("bias", "factors") else 1
    whole = [each for each in choices if isinstance(each, int) and not isinstance(each, bool)]
    for choice in choices:
        if choice not in whole or isinstance(choice, bool) or not lowest <= int(choice) <= LARGEST_SETTING:
            raise InputError(
                f"'knob' {name} must be whole numbers from {lowest} to {LARGEST_SETTING}, got {choice!r}.",
                field="knob",
            )
    return Knob(name, tuple(sorted(whole)))


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
    if request.tune == "head":
        recipe["tune"] = request.tune
    recipe |= augment_for(request.augment, task, is_own_loop=request.loop is not None)
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
    task = request.task if isinstance(request.task, str) and is_user_address(request.task) else None
    is_environment = request.task == "reinforcement-learning" and is_user_address(str(request.data))
    return {
        "model": model,
        "task": task,
        "loss": request.loss,
        "train": request.loop,
        "preprocess": request.preprocess,
        "metric": metric,
        **({"data": str(request.data)} if is_environment else {}),
    }
