"""Options of the runtime as knobs of a search: what may be asked for, and the choices that are searched."""

import itertools
import os
from collections.abc import Mapping, Sequence

from steelyard.core.candidate import THREADS, Setting
from steelyard.core.errors import InputError
from steelyard.core.protocols import Runtime
from steelyard.engine.values import A_CORE

Options = tuple[tuple[str, Setting], ...]
"""Settings of one candidate by option, without those that are the defaults anyway."""


def loading_knobs(runtime: Runtime, threads: int) -> dict[str, tuple[Setting, ...]]:
    """The options of loading that can be knobs, each with the settings it may have, the default first.

    Args:
        runtime: that is searched on.
        threads: of candidates that name none.
    """
    counts = range(1, A_CORE * (os.cpu_count() or 1) + 1)
    return {THREADS: (threads, *(count for count in counts if count != threads)), **runtime.options}


def options_of(asked: Mapping[str, Sequence[Setting]], known: Mapping[str, tuple[Setting, ...]]) -> tuple[Options, ...]:
    """Every choice of the options asked for; the empty one is always there and stands for the defaults.

    A setting that is the default is left out of a choice, so that one way of loading has one name. The order is that
    of the options known, however they were asked for.

    Args:
        asked: choices by option, all of them known.
        known: the settings that each option may have, the default first.

    Raises:
        InputError: naming the option, what it takes and what was given.
    """
    names = [name for name in known if name in asked]
    chosen = [_settings(name, asked[name], known[name]) for name in names]
    choices = [
        tuple((name, each) for name, each in zip(names, settings, strict=True) if each != known[name][0])
        for settings in itertools.product(*chosen)
    ]
    return tuple(dict.fromkeys([(), *choices]))


def check_choices(name: str, choices: Sequence[Setting]) -> None:
    """Refuse a knob without choices, or with one twice.

    Raises:
        InputError: naming the knob and its choices.
    """
    if not choices or len(set(choices)) != len(choices):
        shown = ", ".join(map(str, choices)) or "none"
        raise InputError(f"'knob' {name} must have at least one choice, each once, got {shown}.", field="knob")


def _settings(name: str, choices: Sequence[Setting], known: Sequence[Setting]) -> list[Setting]:
    """The settings of an option that were asked for, in the order in which they are known."""
    found = [_setting(name, choice, known) for choice in choices]
    check_choices(name, found)
    return sorted(found) if name == THREADS else sorted(found, key=known.index)


def _setting(name: str, choice: Setting, known: Sequence[Setting]) -> Setting:
    """A setting that is known; of what was typed, `true` and `false` are no texts."""
    for each in known:
        is_typed = isinstance(each, bool) and str(choice).lower() == str(each).lower()
        if is_typed or (each == choice and type(each) is type(choice)):
            return each
    raise InputError(f"'knob' {name} must be {_rule(name, known)}, got {choice!r}.", field="knob")


def _rule(name: str, known: Sequence[Setting]) -> str:
    if name == THREADS:
        return f"whole numbers from 1 to {len(known)}"
    return "one of " + ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in known)
