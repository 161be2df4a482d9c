"""What the command line says, as the values that the Python interface takes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.core.candidate import Setting
from steelyard.core.errors import InputError
from steelyard.core.goal import Budget, Goal, parse_duration, parse_share

GOAL_FIELDS = (
    "max_drop",
    "relative",
    "absolute",
    "confidence",
    "require_proof",
    "metric",
    "min_quality",
    "minimize",
    "max_latency_ms",
    "max_size_mb",
    "max_memory_mb",
    "max_energy_mj",
)
LIMIT_UNITS = (
    ("max_latency_ms", "max_latency_s", 1e-3),
    ("max_size_mb", "max_size_bytes", 1e6),
    ("max_memory_mb", "max_memory_bytes", 1e6),
    ("max_energy_mj", "max_energy_j", 1e-3),
)
"""Limits on costs: the option, the field of the goal, and the factor to SI units."""
BUDGET_FIELDS = ("budget", "trials")
RENAMED = {"train": "loop", "knob": "knobs", "plugin": "plugins", "strategy_option": "strategy_options"}
"""Options whose field in the Python interface has another name."""


def request_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `steelyard.find` from those of the command line or a config file; None means not given.

    Raises:
        InputError: if a value can't be read.
    """
    options = {name: value for name, value in given.items() if value is not None}
    goal = {name: options.pop(name) for name in GOAL_FIELDS if name in options}
    budget = {name: options.pop(name) for name in BUDGET_FIELDS if name in options}
    options = {RENAMED.get(name, name): value for name, value in options.items()}
    options["goal"] = goal_of(goal)
    if budget:
        options["budget"] = budget_of(budget)
    return options


def goal_of(given: Mapping[str, Any]) -> Goal:
    """A goal in SI units from milliseconds, megabytes (10^6 bytes) and millijoules.

    Raises:
        InputError: if a value can't be read, or two contradict each other.
    """
    if given.get("relative") and given.get("absolute"):
        raise InputError("'relative' and 'absolute' exclude each other; give one.", field="relative")
    fields: dict[str, Any] = {
        name: given[name]
        for name in ("confidence", "require_proof", "metric", "min_quality", "minimize")
        if name in given
    }
    if "max_drop" in given:
        fields["max_drop"] = parse_share(str(given["max_drop"]))
    if given.get("relative") or given.get("absolute"):
        fields["relative"] = bool(given.get("relative"))
    return Goal(**fields, **limits_of({name: value for name, value in given.items() if name != "minimize"}))


def limits_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a goal that are about costs, in SI units; other options are passed over.

    Raises:
        InputError: if a limit is not positive and finite.
    """
    fields: dict[str, Any] = {"minimize": given["minimize"]} if "minimize" in given else {}
    for name, field, factor in LIMIT_UNITS:
        if name in given:
            limit = given[name] * factor
            if not (math.isfinite(limit) and limit > 0):
                raise InputError(f"'{name}' must be a positive finite number, got {given[name]!r}.", field=name)
            fields[field] = limit
    return fields


def budget_of(given: Mapping[str, Any]) -> Budget:
    """A budget; trials alone lift the limit on time.

    Raises:
        InputError: if the duration has no unit or a value is out of range.
    """
    wall_s = parse_duration(str(given["budget"])) if "budget" in given else None
    return Budget(wall_s=wall_s, trials=given.get("trials"))


def knobs_of(texts: Sequence[str]) -> dict[str, tuple[Setting, ...]]:
    """Knobs from `width=10,50,100`.

    Raises:
        InputError: if a text has no name, no choices, or the knob is given twice.
    """
    knobs: dict[str, tuple[Setting, ...]] = {}
    for text in texts:
        name, equals, choices = text.partition("=")
        parts = [part.strip() for part in choices.split(",") if part.strip()]
        if not (name.strip() and equals and parts):
            raise InputError(f"'knob' must be NAME=V1,V2,…, such as width=10,50,100, got {text!r}.", field="knob")
        if name.strip() in knobs:
            raise InputError(f"'knob' {name.strip()} is given twice; put all choices into one.", field="knob")
        knobs[name.strip()] = tuple(_setting(part) for part in parts)
    return knobs


def strategy_options_of(texts: Sequence[str]) -> dict[str, Setting]:
    """Settings of a strategy from `population=50`.

    Raises:
        InputError: if a text has no name, no value, or the name is given twice.
    """
    options: dict[str, Setting] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value:
            raise InputError(
                f"'strategy_option' must be NAME=VALUE, such as population=50, got {text!r}.", field="strategy_option"
            )
        if name in options:
            raise InputError(f"'strategy_option' {name} is given twice; give it once.", field="strategy_option")
        options[name] = _setting(value)
    return options


def _setting(text: str) -> Setting:
    """A whole number, a number, or else the text itself; what is not finite is no number."""
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text
