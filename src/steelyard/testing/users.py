"""Contract suites on what a user's own file holds: each function is tried as what its arguments say it is."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from steelyard.core.errors import SteelyardError
from steelyard.core.protocols import Task
from steelyard.core.registry import Registry
from steelyard.core.task import ClassOutput, ValueOutput
from steelyard.families.own import GIVEN, Own
from steelyard.tasks.metrics import OwnMetric
from steelyard.testing.contract import ContractError, attempt, require
from steelyard.testing.fakes import FakeTask, fake_space
from steelyard.testing.families import check_family
from steelyard.testing.metrics import check_metric
from steelyard.testing.strategies import check_strategy
from steelyard.testing.tasks import check_task

Role = Literal["model", "task", "plugin", "metric"]
"""What a function of the user's file may be."""
TRIED = {
    "grey images of 8 × 8": FakeTask.image(),
    "coloured images of 12 × 12": FakeTask.image(height=12, channels=3),
    "a table with two classes": FakeTask.table(),
    "a table with values": FakeTask.values(),
}
"""Tasks that models and families are tried on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one function or object: tried as `role`; `why` says what fails, empty where nothing does.

    `remarks` are sentences on what it is not for.
    """

    name: str
    role: str
    why: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing fails."""
        return not self.why


def role_of(function: Callable[..., Any]) -> Role | None:
    """What a function is by its arguments: None where they say nothing.

    `registry`: a plugin. `seed` alone: a task. `outputs, targets`: a metric. `inputs`, `outputs` or `shape`: a model.
    """
    names = tuple(inspect.signature(function).parameters)
    if names[:1] == ("registry",):
        return "plugin"
    if names == ("seed",):
        return "task"
    if names == ("outputs", "targets"):
        return "metric"
    return "model" if set(names) & set(GIVEN) else None


def check_function(name: str, function: Callable[..., Any], label: str, ours: Registry) -> Iterator[Finding]:
    """Try a function as what it is.

    Args:
        name: the function's own.
        function: of the user's file.
        label: how findings name it, `file.py:function`.
        ours: the registry that ships, which a plugin extends.
    """
    role = role_of(function)
    if role == "model":
        yield _on_tasks(label, "model", Own(name, function))
    elif role == "task":
        yield _found(label, "task", lambda: _check_task(function, name))
    elif role == "metric":
        yield _found(label, "metric", lambda: _check_metric(OwnMetric(name, function)))
    elif role == "plugin":
        yield from _check_plugin(label, function, ours)


def _check_task(function: Callable[..., Any], name: str) -> None:
    task = attempt(lambda: function(0), f"{name}(0)")
    require(isinstance(task, Task), f"{name}(0) must return a task, got {type(task).__name__}.")
    check_task(task)
    require(
        attempt(lambda: function(0), f"{name}(0)").data_hash == task.data_hash,
        f"{name}(0) must give the same rows each time: seed whatever is drawn.",
    )


def _check_plugin(label: str, extend: Callable[..., Any], ours: Registry) -> Iterator[Finding]:
    """The plugin itself, then each entry that it adds."""
    added: dict[tuple[str, str], Any] = {}

    def run() -> None:
        extended = attempt(lambda: extend(ours), label)
        require(isinstance(extended, Registry), f"a plugin must return a Registry, got {type(extended).__name__}.")
        for shelf, entries in extended.shelves.items():
            for name, entry in entries.items():
                if ours.shelves.get(shelf, {}).get(name) is not entry:
                    added[shelf, name] = attempt(partial(extended.get, shelf, name), f"{shelf} {name!r}")
        require(added, "a plugin must return a copy with an entry more, got what was there already.")

    yield _found(label, "plugin", run)
    for (shelf, name), entry in added.items():
        if shelf == "family":
            yield _on_tasks(name, "family", entry)
        elif shelf == "strategy":
            yield _found(name, "strategy", partial(check_strategy, entry, fake_space(), exhausts=False))
        elif shelf == "task":
            yield _found(name, "task", partial(_check_task, entry, name))
        else:
            yield Finding(name, shelf, remarks=(f"no suite is run for a {shelf.replace('_', ' ')}",))


def _on_tasks(label: str, role: str, family: Any) -> Finding:
    """A family holds if its contract does on every task that it does not refuse; a model, on one kind at least.

    A user's function can't refuse: where it fails on tables, say, it may be for images.
    """
    failed: dict[str, str] = {}
    refused: list[str] = []
    for what, task in TRIED.items():
        try:
            attempt(partial(check_family, family, task), f"the suite of {family.name}")
        except ContractError as error:
            failed[what] = str(error)
            continue
        refusal = family.refusal(task)
        if refusal is not None:
            refused.append(f"refuses {what}: {refusal}")
    if failed and (role == "family" or len(failed) == len(TRIED)):
        what, why = next(iter(failed.items()))
        return Finding(label, role, f"on {what}: {why}")
    return Finding(label, role, remarks=(*refused, *(f"is not for {what}: {why}" for what, why in failed.items())))


def _check_metric(metric: Any) -> None:
    """On scores of classes or on values: a metric of one is mostly none of the other."""
    try:
        check_metric(metric, ClassOutput(("a", "b", "c")))
    except SteelyardError:
        check_metric(metric, ValueOutput(3.0, 2.0))


def _found(label: str, role: str, check: Callable[[], None]) -> Finding:
    try:
        attempt(check, f"the suite of {label}")
    except ContractError as error:
        return Finding(label, role, error.message)
    return Finding(label, role)
