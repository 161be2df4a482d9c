"""The task that a request is about."""

from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.core.errors import InputError, SteelyardError, UnknownNameError
from steelyard.core.protocols import Task
from steelyard.core.registry import Registry
from steelyard.core.userfile import is_user_address, load_function
from steelyard.tasks.metrics import DEFAULT_METRICS

if TYPE_CHECKING:
    from steelyard.engine.request import Request


def task_of(request: "Request", registry: Registry) -> Task:
    """The task that a request is about: prepared, built in, of the user's own code or data.

    Raises:
        InputError: one sentence on what can't be used.
    """
    if not isinstance(request.task, str):
        return request.task
    if request.data is None:
        return _builtin_task(request, request.task, registry)
    if request.task in registry.names("task"):
        raise InputError(
            f"'task' must be a kind ({', '.join(DEFAULT_METRICS)}) where --data is given; "
            f"{request.task!r} is a built-in task, which has data of its own.",
            field="task",
        )
    if request.task not in DEFAULT_METRICS:
        raise UnknownNameError("kind of task", request.task, DEFAULT_METRICS, field="task")
    return _environment_task(request) if request.task == "reinforcement-learning" else read_task(request)


def _environment_task(request: "Request") -> Task:
    """The user's own environment as a task: a name that gymnasium knows, or `file.py:function`."""
    from steelyard.tasks.episodes import environment_task  # noqa: PLC0415  what plays in environments alone

    for option in ("target", "group", "split_by", "preprocess"):
        if getattr(request, option) is not None:
            raise InputError(f"'{option}' is about rows, and an environment has none; leave it out.", field=option)
    if not isinstance(request.data, str):
        raise InputError(
            f"'data' must be a name that gymnasium knows, or file.py:function, got {type(request.data).__name__}.",
            field="data",
        )
    return environment_task(request.data, name=str(request.task), seed=request.seed)


def _builtin_task(request: "Request", name: str, registry: Registry) -> Task:
    """A task that ships or that a plugin adds; options about the user's own data have no meaning for it."""
    if name in DEFAULT_METRICS:
        what = "an environment" if name == "reinforcement-learning" else "a file or folder"
        raise InputError(f"'data' must name {what} for the kind {name!r}; give --data.", field="data")
    if is_user_address(name):
        return _own_task(request, name)
    if name not in registry.names("task"):
        raise UnknownNameError("task", name, [*registry.names("task"), *DEFAULT_METRICS], field="task")
    for option in ("target", "group", "split_by", "vocabulary"):
        if getattr(request, option) is not None:
            raise InputError(
                f"'{option}' names a column of --data, but {name!r} has data of its own; leave it out.", field=option
            )
    task: Task = registry.get("task", name)(request.seed)
    return task


def _own_task(request: "Request", address: str) -> Task:
    """The task that a function of the user's own file makes of a seed.

    Raises:
        InputError: if it fails, or makes no task.
    """
    function = load_function(address, field="task")
    try:
        task = function(request.seed)
    except SteelyardError:
        raise
    except Exception as error:  # the user's own code raises whatever it likes
        text = next(iter(str(error).splitlines()), "no message")
        raise InputError(f"'task' {address} failed: {type(error).__name__}: {text}", field="task") from error
    if not isinstance(task, Task):
        raise InputError(
            f"'task' {address} must return a task, such as from_arrays of steelyard.tasks.reading makes, "
            f"got {type(task).__name__}.",
            field="task",
        )
    return task


def read_task(request: "Request") -> Task:
    """The user's own data as a task: a path, or in memory a pair (x, y), a data frame, or a torch data set.

    Raises:
        DataError: if they can't be used.
    """
    # Reads with libraries that built-in tasks don't need.
    from steelyard.tasks.reading import from_arrays, from_data  # noqa: PLC0415

    own = load_function(request.preprocess, field="preprocess") if request.preprocess else None
    if not isinstance(request.data, str | Path):
        is_pair = isinstance(request.data, tuple) and len(request.data) == 2
        x, y = request.data if is_pair else (request.data, request.target)
        return from_arrays(x, y, str(request.task), seed=request.seed, preprocess=own)
    return from_data(
        request.data,
        str(request.task),
        target=request.target,
        group=request.group,
        split_by=request.split_by,
        seed=request.seed,
        trust=request.trust,
        preprocess=own,
        vocabulary=request.vocabulary,
    )
