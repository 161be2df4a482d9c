"""What of a question says how models learn beyond the recipe: weights to start from, changes of rows, who votes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.candidate import Space
from steelyard.core.errors import InputError
from steelyard.core.protocols import Exporter, Task
from steelyard.engine.plan import Start


@dataclass(frozen=True, slots=True)
class Beginning:
    """What trainings are asked to start from: a file of weights or the home of an earlier study, and what learns."""

    pretrained: Path | None
    tune: str | None


def starts_for(
    asked: Beginning, space: Space, families: Mapping[str, Any], task: Task, *, seed: int
) -> tuple[Start, ...]:
    """The pretrained weights that families start from, where there are any.

    Args:
        asked: what to start from.
        space: of the search.
        families: by name; those that learn by themselves start from nothing.
        task: what is to be learned.
        seed: of what starts fresh.

    Raises:
        InputError: if the weights fit no family, or there is something to tune and nothing to start from.
    """
    if asked.pretrained is None:
        if asked.tune is not None:
            raise InputError(
                f"'tune' {asked.tune} says what of pretrained weights learns; give --pretrained too, or leave it out.",
                field="tune",
            )
        return ()
    from steelyard.engine.pretrained import Builder, starts_of  # noqa: PLC0415  imports torch, which `load` must not

    modules = tuple(each for each in space.families if each.is_module)
    return starts_of(asked.pretrained, modules, Builder(families, task, seed))


def augment_for(augment: str | None, task: Task, *, is_own_loop: bool) -> dict[str, str]:
    """The recipe's part of it: the changes of rows asked for, in the order in which they are made; nothing for none.

    Raises:
        InputError: if one is not known for this kind of task, or the training loop is the user's own.
    """
    if augment is None:
        return {}
    from steelyard.training.changes import changes_of, known_changes, names_in  # noqa: PLC0415  imports torch

    names = names_in(augment)
    changes_of(names, task.kind)
    if names and is_own_loop:
        raise InputError(
            "'augment' changes rows in our own training loop; change them in that of --train, or leave it out.",
            field="augment",
        )
    return {"augment": ",".join(each for each in known_changes(task.kind) if each in names)} if names else {}


def members_for(vote: int | None, exporter: Exporter, task: Task) -> int:
    """How many of the front vote; they are one ONNX file.

    Raises:
        InputError: if the runtime runs no ONNX file as it is, or models act in an environment.
    """
    if vote is None:
        return 0
    if exporter.name != "onnxruntime":
        raise InputError(
            f"'vote' makes one ONNX file of several, which {exporter.name} does not run; leave it out.", field="vote"
        )
    if task.environment:
        raise InputError(f"'vote' is about rows, but {task.name!r} is played; leave it out.", field="vote")
    return vote
