"""Values of a request that are wrong by themselves, whatever the task: types, counts, combinations."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.core.errors import InputError
from steelyard.core.goal import Budget, Goal, is_number
from steelyard.core.protocols import Task

A_CORE = 4
"""Workers or threads a core at most: more only take each other's time and memory."""
MOST_ROWS = 2**16
"""Rows an inference at most."""
SCALES = ("free", "compound")
"""Which scales are searched: all, or those along which knobs grow together."""
MOST_SEEDS = 100
"""Seeds that finalists are trained with at most."""
TEXTS = ("target", "group", "split_by", "storage", "loss", "loop", "preprocess", "optimizer", "runtime", "strategy")


def check_values(given: Mapping[str, Any]) -> None:
    """Check what needs no data.

    Args:
        given: fields of `steelyard.engine.request.Request` by name.

    Raises:
        InputError: one sentence on the first value that can't be used.
    """
    for name, kind in (("goal", Goal), ("budget", Budget)):
        value = given[name]
        if value is not None and not isinstance(value, kind):
            raise InputError(f"'{name}' must be a {kind.__name__}, got {value!r}.", field=name)
    for name in TEXTS:
        value = given[name]
        if value is not None and (not isinstance(value, str) or not value):
            raise InputError(f"'{name}' must be a text that is not empty, got {value!r}.", field=_option(name))
    if given.get("scale") is not None and given["scale"] not in SCALES:
        raise InputError(f"'scale' must be free or compound, got {given['scale']!r}.", field="scale")
    _check_kinds(given)
    most = A_CORE * (os.cpu_count() or 1)
    _check_count("batch", given["batch"], MOST_ROWS)
    _check_count("threads", given["threads"], most)
    _check_count("workers", given["workers"], most)
    _check_count("seeds", given.get("seeds"), MOST_SEEDS)
    _check_count("epochs", given["epochs"], 10**6)
    seed = given["seed"]
    if not _is_whole(seed) or not 0 <= seed < 2**31:
        raise InputError(f"'seed' must be between 0 and 2147483647, got {seed!r}.", field="seed")
    if given["preprocess"] is not None and given["data"] is None:
        raise InputError(
            "'preprocess' needs data of your own; a built-in task comes prepared, so give --data or leave it out.",
            field="preprocess",
        )


def knobs_from(given: Any) -> dict[str, tuple[Any, ...]]:
    """Knobs by name from a mapping of sequences.

    Raises:
        InputError: if they have another form.
    """
    rule = "'knobs' must map names to sequences of numbers or texts, such as {'width': (10, 50, 100)}"
    if not isinstance(given, Mapping):
        raise InputError(f"{rule}, got {given!r}.", field="knobs")
    knobs = {}
    for name, choices in given.items():
        is_fit = isinstance(name, str) and isinstance(choices, Sequence) and not isinstance(choices, str | bytes)
        if not is_fit or not all(isinstance(choice, int | float | str) for choice in choices):
            raise InputError(f"{rule}, got {choices!r} for {name!r}.", field="knobs")
        knobs[name] = tuple(choices)
    return knobs


def _check_kinds(given: Mapping[str, Any]) -> None:
    """Fields that a Python caller can give the wrong type; the command line gives the right one by itself."""
    model = given["model"]
    names = (model,) if isinstance(model, str) or not isinstance(model, list | tuple) else model
    rules: tuple[tuple[str, str, bool], ...] = (
        ("task", "a task or the name of one", isinstance(given["task"], str | Task)),
        ("model", "a name, or names", model is None or all(isinstance(name, str) for name in names)),
        ("out", "a path", given["out"] is None or isinstance(given["out"], Path)),
        ("measured", "a path", given["measured"] is None or isinstance(given["measured"], Path)),
        ("warm_start", "a path", given["warm_start"] is None or isinstance(given["warm_start"], Path)),
        ("halving", "True, False or None", given.get("halving") is None or isinstance(given["halving"], bool)),
        ("learning_rate", "a number", given["learning_rate"] is None or is_number(given["learning_rate"])),
        ("steps", "names of steps", all(isinstance(each, str) for each in _sequence(given.get("steps") or ()))),
        ("plugins", "addresses module:function", all(isinstance(each, str) for each in _sequence(given["plugins"]))),
    )
    for name, rule, holds in rules:
        if not holds:
            raise InputError(f"'{name}' must be {rule}, got {given[name]!r}.", field=name)


def _sequence(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _check_count(name: str, count: Any, most: int) -> None:
    if count is None:
        return
    if not _is_whole(count) or not 1 <= count <= most:
        raise InputError(f"'{name}' must be a whole number from 1 to {most}, got {count!r}.", field=name)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _option(name: str) -> str:
    """The field's name on the command line."""
    return "train" if name == "loop" else name
