"""Families that learn by themselves: what of a question they can't answer, and where they compete unasked."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.core.errors import InputError
from steelyard.core.protocols import Exporter, Family, FittedFamily, Task
from steelyard.core.registry import Registry


@dataclass(frozen=True, slots=True)
class Question:
    """What of a question matters to them.

    Attributes:
        runtime: the runtime's name.
        is_ladder: whether depth, width and resolution are to grow together.
        lessons: names of the options given that say how networks are trained.
    """

    runtime: str
    is_ladder: bool = False
    lessons: tuple[str, ...] = ()


def check_alone(families: Sequence[Family | FittedFamily], question: Question, registry: Registry) -> None:
    """Refuse what families that learn by themselves can't do; lessons are refused where nobody could learn by them.

    Raises:
        InputError: one sentence on the first.
    """
    alone = [family for family in families if isinstance(family, FittedFamily)]
    exporter: Exporter = registry.get("exporter", question.runtime)
    if alone and "onnx" not in exporter.sources:
        raise InputError(
            f"'runtime' {question.runtime} makes its files of torch modules, but {alone[0].name!r} writes ONNX files; "
            "use onnxruntime or name another model.",
            field="runtime",
        )
    if alone and len(alone) == len(families) and question.lessons:
        option = question.lessons[0]
        raise InputError(
            f"'{option}' says how networks are trained, but {alone[0].name!r} learns by itself; leave it out or name "
            "another model.",
            field=option,
        )


def default_families(question: Question, registry: Registry, task: Task) -> tuple[str, ...]:
    """The task's families; of those that learn by themselves only the ones that can answer this question here.

    They are left out where a library is missing, where the runtime is not ONNX Runtime, which alone is known to run
    their operators, and where the question is about training networks or growing them.
    """
    names = tuple(task.defaults["families"])
    known = {name: registry.get("family", name) for name in names}
    asks_networks = question.runtime != "onnxruntime" or question.is_ladder or bool(question.lessons)
    kept = tuple(
        name
        for name, family in known.items()
        if not isinstance(family, FittedFamily) or not (asks_networks or family.refusal(task))
    )
    return kept or names
