"""Names and addresses to objects: the registry with its plugins, metrics, the user's own."""

from collections.abc import Sequence
from pathlib import Path

from steelyard.core.protocols import Metric
from steelyard.core.registry import Registry, import_object
from steelyard.core.trial import Trial
from steelyard.core.userfile import is_user_address, load_function
from steelyard.tasks.metrics import METRICS, OwnMetric


def extended_registry(address: str, plugins: tuple[str, ...]) -> Registry:
    """The registry at an address, extended by each plugin function in turn.

    Raises:
        InputError: if an address names nothing.
    """
    registry: Registry = import_object(address)
    for plugin in plugins:
        field = "plugin"
        extend = load_function(plugin, field=field) if is_user_address(plugin) else import_object(plugin, field=field)
        registry = extend(registry)
    return registry


def recovery_steps(address: str, plugins: tuple[str, ...], trials: Sequence[Trial]) -> frozenset[str]:
    """The names of the steps that trials went through which only learn: the structure stays what it was."""
    registry = extended_registry(address, plugins)
    used = {step.name for trial in trials for step in trial.candidate.steps}
    steps = [registry.get("module_step", name) for name in sorted(used & set(registry.names("module_step")))]
    return frozenset(step.name for step in steps if step.learns and step.keeps_structure)


def family_name(address: str) -> str:
    """The family's name of the user's own function: `file.py:function` without the folder."""
    file, _, function = address.rpartition(":")
    return f"{Path(file).name}:{function}"


def metric_name(address: str) -> str:
    """A metric's name: its own, or the function's for one of the user's."""
    return address.rpartition(":")[2] if is_user_address(address) else address


def metric_of(address: str) -> Metric:
    """A metric by name, or the user's own function at `file.py:function`."""
    if is_user_address(address):
        return OwnMetric(metric_name(address), load_function(address, field="metric"))
    return METRICS[address]
