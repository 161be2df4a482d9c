"""What an environment shows and takes, as columns of a table and as the labels of actions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.core.errors import InputError
from steelyard.core.task import Column

MOST_COLUMNS = 4_096
"""Numbers of an observation; a larger one is an image or a sound, which needs a network of its own kind."""
MOST_STATES = 2**20
"""States of one discrete part of an observation: their names are part of every bundle."""
MOST_ACTIONS = 4_096
"""Actions: the width of the output."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads observations of one space as rows of a table.

    Attributes:
        columns: what a row holds; means and deviations are to be fitted.
        parts: for each simple space in it: the keys that lead there, and what turns its value into numbers.
    """

    columns: tuple[Column, ...]
    parts: tuple[tuple[tuple[Any, ...], str], ...]

    def row(self, observation: Any) -> list[float]:
        """The numbers of one observation, in the order of the columns."""
        found: list[float] = []
        for keys, form in self.parts:
            value = observation
            for key in keys:
                value = value[key]
            if form == "state":
                found.append(float(value))
            else:
                # Spaces promise arrays; a list where an array was promised is the commonest slip, and harmless.
                flat = value.ravel().tolist() if hasattr(value, "ravel") else _flattened(value)
                found.extend(map(float, flat))
        return found


def reader_of(space: Any, *, origin: str) -> Reader:
    """The reader of a `gymnasium` space: discrete parts become categories, all others numbers.

    The code of a discrete state is its own number, so that observations go into a model as they are: state 0 shares
    the code of what is unknown, which an environment never shows.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary, Box, or a Dict or Tuple of these.
        origin: names the environment in errors.

    Raises:
        InputError: if the space is of another kind, or too large.
    """
    columns: list[Column] = []
    parts: list[tuple[tuple[Any, ...], str]] = []
    for keys, simple in _simple_spaces(space, (), origin):
        name = "_".join(map(str, keys)) if keys else "observation"
        own, form = _columns(simple, name, origin)
        columns += own
        parts.append((keys, form))
    if not 1 <= len(columns) <= MOST_COLUMNS:
        raise InputError(
            f"{origin} must show 1 to {MOST_COLUMNS:,} numbers an observation, got {len(columns):,}; "
            "wrap it to show fewer.",
            field="data",
        )
    return Reader(tuple(columns), tuple(parts))


def labels_of(space: Any, *, origin: str) -> tuple[int, ...]:
    """The actions of a `gymnasium` space, by the numbers that the environment gives them.

    Raises:
        InputError: if they are not a few discrete ones.
    """
    if type(space).__name__ != "Discrete":
        kind = "continuous actions" if type(space).__name__ == "Box" else f"actions of the kind {type(space).__name__}"
        raise InputError(
            f"{origin} has {kind} ({space}), and q-learning, sarsa and dqn choose among discrete ones; "
            "wrap it so that each action is one of a list.",
            field="data",
        )
    count = int(space.n)
    if not 2 <= count <= MOST_ACTIONS:
        raise InputError(
            f"{origin} must have 2 to {MOST_ACTIONS:,} actions, got {count:,}; there is nothing to learn otherwise.",
            field="data",
        )
    return tuple(range(int(space.start), int(space.start) + count))


def _simple_spaces(space: Any, keys: tuple[Any, ...], origin: str) -> list[tuple[tuple[Any, ...], Any]]:
    """The spaces that are no Dict or Tuple, with the keys that lead there."""
    kind = type(space).__name__
    if kind not in ("Dict", "Tuple"):
        return [(keys, space)]
    named = space.spaces.items() if isinstance(space.spaces, Mapping) else enumerate(space.spaces)
    return [found for key, part in named for found in _simple_spaces(part, (*keys, key), origin)]


def _columns(space: Any, name: str, origin: str) -> tuple[list[Column], str]:
    """The columns of a simple space, and how its values are read."""
    kind = type(space).__name__
    if kind == "Discrete" and int(space.start) >= 0:
        return [_category(name, int(space.start) + int(space.n), origin)], "state"
    if kind in ("Discrete", "Box"):
        size = min(math.prod(space.shape), MOST_COLUMNS + 1)
        return [Column(each, "number") for each in _names(name, size)], "numbers"
    if kind == "MultiDiscrete" and not space.start.any():
        sizes = space.nvec.ravel().tolist()
        return [
            _category(each, int(size), origin) for each, size in zip(_names(name, len(sizes)), sizes, strict=True)
        ], "numbers"
    if kind == "MultiBinary":
        return [_category(each, 2, origin) for each in _names(name, math.prod(space.shape))], "numbers"
    raise InputError(
        f"{origin} shows observations of the kind {kind}, which can't be read as a row of numbers; wrap it to show "
        "a Box, a Discrete, or a Dict or Tuple of these.",
        field="data",
    )


def _category(name: str, size: int, origin: str) -> Column:
    if size > MOST_STATES:
        raise InputError(
            f"{origin} has {size:,} states in {name!r}, more than {MOST_STATES:,}; wrap it to show what they are "
            "made of.",
            field="data",
        )
    return Column(name, "category", categories=tuple(str(each) for each in range(1, size)))


def _names(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{index}" for index in range(count)]


def _flattened(value: Any) -> list[float]:
    if isinstance(value, list | tuple):
        return [number for each in value for number in _flattened(each)]
    return [float(value)]
