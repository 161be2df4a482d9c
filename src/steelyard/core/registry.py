"""The Registry: literal tables of what ships, passed as a value, extended by copy, resolved on use."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from steelyard.core.errors import InputError, UnknownNameError

SHELVES = ("task", "family", "step", "module_step", "runtime", "exporter", "strategy")
"""The kinds of plugin."""


@dataclass(frozen=True, slots=True)
class Lazy:
    """The address `module:name` of an object that is imported when it is first used."""

    address: str

    def resolve(self) -> Any:
        """Import the module and return the object.

        Raises:
            InputError: if the address is malformed, the module is missing, or it has no such name.
        """
        return import_object(self.address)


@dataclass(frozen=True, slots=True)
class Registry:
    """Named plugins on shelves, one shelf a kind. Entries are objects or `Lazy` addresses of them."""

    shelves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def names(self, shelf: str) -> tuple[str, ...]:
        """The names on a shelf, in the order of registration."""
        return tuple(self.shelves.get(shelf, {}))

    def get(self, shelf: str, name: str) -> Any:
        """The object of that name.

        Raises:
            UnknownNameError: with the nearest known name.
        """
        entries = self.shelves.get(shelf, {})
        if name not in entries:
            raise UnknownNameError(shelf, name, entries, field=shelf)
        entry = entries[name]
        return entry.resolve() if isinstance(entry, Lazy) else entry

    def with_entry(self, shelf: str, name: str, entry: Any) -> Self:
        """A copy with one more entry (or a replaced one).

        Raises:
            UnknownNameError: if there is no such kind of plugin.
        """
        if shelf not in SHELVES:
            raise UnknownNameError("kind of plugin", shelf, SHELVES)
        changed = {**self.shelves, shelf: {**self.shelves.get(shelf, {}), name: entry}}
        return replace(self, shelves=changed)


def import_object(address: str, *, field: str | None = None) -> Any:
    """The object at `package.module:name`.

    Raises:
        InputError: if the address is malformed, the module is missing, or it has no such name.
    """
    module_name, colon, name = address.partition(":")
    if not (module_name and colon and name):
        raise InputError(f"'{field or 'address'}' must be 'module:name', got {address!r}.", field=field)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and not module_name.startswith(error.name):
            raise
        raise InputError(
            f"module {module_name!r} of {address!r} can't be found; is it on the path?", field=field
        ) from error
    if not hasattr(module, name):
        raise InputError(f"module {module_name!r} has no {name!r}; check the name after the colon.", field=field)
    return getattr(module, name)
