"""steelyard: how big should this model be?

Finds, by measuring, the smallest and fastest model that is still good enough for a task, proves it, and packs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from steelyard.core.version import __version__

if TYPE_CHECKING:
    from steelyard.api import compress, find, kit, pack, profile, resolve
    from steelyard.core.errors import SteelyardError
    from steelyard.core.goal import Budget, Goal
    from steelyard.core.outcome import Outcome
    from steelyard.core.profiling import Profile
    from steelyard.core.quantity import Quantity
    from steelyard.engine.predictor import Predictor, load

__all__ = [
    "Budget",
    "Goal",
    "Outcome",
    "Predictor",
    "Profile",
    "Quantity",
    "SteelyardError",
    "__version__",
    "compress",
    "find",
    "kit",
    "load",
    "pack",
    "profile",
    "resolve",
]

_HOMES = {
    "Budget": "steelyard.core.goal",
    "Goal": "steelyard.core.goal",
    "Outcome": "steelyard.core.outcome",
    "Predictor": "steelyard.engine.predictor",
    "Profile": "steelyard.core.profiling",
    "Quantity": "steelyard.core.quantity",
    "SteelyardError": "steelyard.core.errors",
    "compress": "steelyard.api",
    "find": "steelyard.api",
    "kit": "steelyard.api",
    "load": "steelyard.engine.predictor",
    "pack": "steelyard.api",
    "profile": "steelyard.api",
    "resolve": "steelyard.api",
}


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used: `import steelyard` loads none of the libraries below."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'steelyard' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
