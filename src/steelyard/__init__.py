"""steelyard: how big should this model be?

Finds, by measuring, the smallest and fastest model that is still good enough for a task, proves it, and packs it.
"""

from typing import TYPE_CHECKING, Any

from steelyard.core.version import __version__

if TYPE_CHECKING:
    from steelyard.api import Budget, Goal, Outcome, Predictor, Quantity, SteelyardError, find, load, resolve

__all__ = [
    "Budget",
    "Goal",
    "Outcome",
    "Predictor",
    "Quantity",
    "SteelyardError",
    "__version__",
    "find",
    "load",
    "resolve",
]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: `import steelyard` loads none of the libraries below."""
    if name in __all__:
        from steelyard import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module 'steelyard' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
