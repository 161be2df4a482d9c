"""Settings of strategies, by name, for any that is a frozen dataclass; and what a strategy tells of its own run."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from types import NoneType
from typing import Any, get_args, get_type_hints

from steelyard.core.candidate import Setting
from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.generation import Generation
from steelyard.core.goal import is_number
from steelyard.core.protocols import Generational, Strategy
from steelyard.core.trial import Trial
from steelyard.core.wire import Plain
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem

FIELD = "strategy_option"
OURS = frozenset({"name", "rows"})
"""Fields that are no settings of a user: a strategy's name, and the training rows, which are filled in here."""
_RULES: Mapping[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def configured(strategy: Strategy, given: Mapping[str, Setting], *, rows: int | None = None) -> Strategy:
    """A strategy with these settings, and told the training rows where it has a field `rows`.

    Raises:
        InputError: if a setting is not known, of another kind, or refused by the strategy.
    """
    known = _settings(strategy)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError(
            f"'strategy_options' must map names to numbers or texts, such as {{'population': 50}}, got {given!r}.",
            field=FIELD,
        )
    for name in given:
        if not known:
            raise InputError(
                f"'{FIELD}' must be left out for the strategy {strategy.name!r}, which has none, got {name!r}.",
                field=FIELD,
            )
        if name not in known:
            raise UnknownNameError(f"option of {strategy.name}", name, known, field=FIELD)
    checked: dict[str, Any] = {name: _checked(strategy.name, name, value, known[name]) for name, value in given.items()}
    if rows is not None and is_dataclass(strategy) and any(each.name == "rows" for each in fields(strategy)):
        checked["rows"] = rows
    if not checked:
        return strategy
    other: Strategy = replace(strategy, **checked)  # type: ignore[type-var]
    return other


def settings_of(strategy: Strategy) -> Plain:
    """The settings of a strategy by name; empty where it has none."""
    return {name: getattr(strategy, name) for name in _settings(strategy)}


def generations(plan: Plan, trials: Sequence[Trial], *, floor: float) -> tuple[Generation, ...]:
    """The generations of a search by evolution, as far as the trials tell; empty for any other strategy.

    Args:
        plan: whose strategy and goal they are of.
        trials: the finished ones.
        floor: the least quality that relative drops are taken of.
    """
    if not isinstance(plan.strategy, Generational):
        return ()
    problem = StudyProblem(plan.goal, plan.metric, plan.seed, floor)
    return plan.strategy.generations_of(plan.space, trials, problem)


def _settings(strategy: Strategy) -> dict[str, tuple[type, ...]]:
    """The kinds that each setting may have, by its name."""
    if not is_dataclass(strategy):
        return {}
    hints = get_type_hints(type(strategy))
    names = (each.name for each in fields(strategy) if each.init and each.name not in OURS)
    return {name: get_args(hints[name]) or (hints[name],) for name in names}


def _checked(strategy: str, name: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """The value, if it is of one of the kinds; a whole number may stand where a number may."""
    fits = {
        int: isinstance(value, int) and not isinstance(value, bool),
        float: is_number(value),
        bool: isinstance(value, bool),
        str: isinstance(value, str),
        NoneType: value is None,
    }
    if not any(fits.get(kind, False) for kind in kinds):
        rule = " or ".join(_RULES[kind] for kind in kinds if kind in _RULES) or "another value"
        raise InputError(f"'{name}' of the strategy {strategy!r} must be {rule}, got {value!r}.", field=FIELD)
    return value
