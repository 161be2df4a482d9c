"""What the argument parser refuses, as one sentence of ours: what, where, and what to do."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

KINDS = {"valid integer": "a whole number", "valid number": "a number"}
"""What the parser asks of a value, in its words and in ours."""


def usage_sentence(error: Any, argv: Sequence[str]) -> tuple[str, str | None]:
    """The sentence and the name of the option or argument at fault.

    Args:
        error: of the parser; its classes are private, so they are told apart by name.
        argv: what was given, to say which value could not be read.
    """
    context: Any = getattr(error, "ctx", None)
    remedy = f"`{getattr(context, 'command_path', 'steelyard')} --help` shows what there is."
    name, message = type(error).__name__, str(getattr(error, "message", error)).strip()
    option: Any = getattr(error, "option_name", None)
    parameter: Any = getattr(error, "param", None)
    if name == "NoSuchOption":
        return _unknown("option", option, _options(context), remedy), _field(option)
    if name == "BadOptionUsage":
        takes = "must have a value" if "requires" in message else "takes no value"
        return f"'{_field(option)}' {takes}; {remedy}", _field(option)
    if parameter is not None:
        return _misread(name, message, parameter, argv, remedy), parameter.name
    return _misplaced(message, context, remedy)


def _misread(name: str, message: str, parameter: Any, argv: Sequence[str], remedy: str) -> str:
    """An option or argument that is missing or can't be read."""
    if name == "MissingParameter":
        return f"'{parameter.name}' must be given; {remedy}"
    rule = next((ours for theirs, ours in KINDS.items() if theirs in message), None)
    given = value_given(argv, parameter.opts)
    if rule is None or given is None:
        return f"'{parameter.name}' can't be read ({message}); {remedy}"
    return f"'{parameter.name}' must be {rule}, got {given!r}."


def _misplaced(message: str, context: Any, remedy: str) -> tuple[str, str | None]:
    """A word that belongs to no option."""
    if message.startswith("No such command"):
        known = sorted(getattr(context.command, "commands", {}))
        return _unknown("command", message.split("'")[1], known, remedy), "command"
    if "unexpected extra argument" in message:
        return f"{message.rpartition('(')[2].rstrip(')')!r} is one argument too many; {remedy}", None
    if message.startswith("Usage:") or not message:
        return f"a command must be named; {remedy}", "command"
    return f"{message.splitlines()[0].rstrip('.')}; {remedy}", None


def value_given(argv: Sequence[str], names: Sequence[str]) -> str | None:
    """The last value that the command line gives to an option, under any of its names."""
    found = None
    for index, text in enumerate(argv):
        for name in names:
            if text == name and index + 1 < len(argv):
                found = argv[index + 1]
            elif text.startswith(f"{name}="):
                found = text.partition("=")[2]
    return found


def _unknown(what: str, given: str, known: Sequence[str], remedy: str) -> str:
    near = get_close_matches(given, known, n=1, cutoff=0.5)
    return f"{what} {given!r} is not known; " + (f"did you mean {near[0]!r}?" if near else remedy)


def _options(context: Any) -> list[str]:
    parameters = context.command.params if context is not None else []
    return sorted(name for each in parameters for name in each.opts if name.startswith("--"))


def _field(option: str) -> str:
    return option.lstrip("-").replace("-", "_")
