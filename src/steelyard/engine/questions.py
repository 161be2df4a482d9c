"""What `profile` is asked, as people and programs write it, turned into a `Question`."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.goal import parse_duration, parse_share
from steelyard.engine.feeding import parse_shapes
from steelyard.engine.profiling import Question

_RENAMED = {"shape": "shapes", "runtime": "runtimes", "budget": "budget_s"}


def question_of(model: str, given: Mapping[str, Any]) -> Question:
    """The question of these options; None means not given.

    Raises:
        UnknownNameError: for an option that there is not.
        InputError: if a value can't be read.
    """
    known = {each.name for each in fields(Question)} - {"model", "shapes", "runtimes", "budget_s"} | set(_RENAMED)
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise UnknownNameError("option", name, known, field=name)
        if value is not None:
            options[_RENAMED.get(name, name)] = _READERS.get(name, _as_it_is)(value)
    return Question(model, **options)


def _as_it_is(value: Any) -> Any:
    return value


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else [str(each) for each in value]
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _models(value: Any) -> tuple[str, ...]:
    """Models to compare with; one may stand twice, to see what equal models look like."""
    parts = value.split(",") if isinstance(value, str) else [str(each) for each in value]
    return tuple(part.strip() for part in parts if part.strip())


def _shapes(value: Any) -> Mapping[str, tuple[int, ...]]:
    if isinstance(value, Mapping):
        return parse_shapes([f"{name}:{','.join(map(str, sizes))}" for name, sizes in value.items()])
    if isinstance(value, str):
        return parse_shapes([value])
    entries = list(value)
    if entries and all(isinstance(each, int) for each in entries):
        return parse_shapes([",".join(map(str, entries))])
    return parse_shapes(entries)


def _sizes(value: Any) -> tuple[int, ...]:
    parts = value.split(",") if isinstance(value, str) else [str(each) for each in value]
    kept = [part.strip() for part in parts if part.strip()]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 2**20 for part in kept):
        raise InputError(f"'batches' must be whole numbers such as 8,32, got {value!r}.", field="batches")
    return tuple(dict.fromkeys(map(int, kept)))


def _share(value: Any) -> float:
    return parse_share(value, field="half_width") if isinstance(value, str) else float(value)


def _seconds(value: Any) -> float:
    return parse_duration(value) if isinstance(value, str) else float(value)


_READERS: Mapping[str, Any] = {
    "shape": _shapes,
    "runtime": _names,
    "compare": _models,
    "batches": _sizes,
    "half_width": _share,
    "budget": _seconds,
    "weights": Path,
}
