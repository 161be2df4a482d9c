"""Scenarios: those that ship, and the user's own file of the same form."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import yaml

from steelyard.core.errors import ConfigError, InputError, UnknownNameError
from steelyard.core.goal import Goal, parse_share
from steelyard.core.scenario import Scenario

FOLDER = resources.files("steelyard.select") / "scenarios"
SI = (
    ("max_latency_ms", "max_latency_s", 1e-3),
    ("max_size_mb", "max_size_bytes", 1e6),
    ("max_memory_mb", "max_memory_bytes", 1e6),
    ("max_energy_mj", "max_energy_j", 1e-3),
)
"""Limits as people write them, the field of a goal, and the factor to SI units."""
PLAIN = ("confidence", "require_proof", "min_quality", "minimize")
"""Fields of a goal that a file gives as they are."""
ASKED = ("max_drop", *PLAIN, *(option for option, _, _ in SI))
"""Fields of a goal as a file has them."""
OPTIONS = ("runtime", "batch", "threads")
"""Options of a search that a scenario may set."""
WEIGHTS = ("quality", "training", "speed", "size", "memory")
"""What a fitness can weigh."""


class _File(msgspec.Struct, forbid_unknown_fields=True, rename="kebab"):
    """A scenario file; names are those of the command line."""

    about: str = ""
    max_drop: float | str | None = None
    confidence: float | None = None
    require_proof: bool | None = None
    min_quality: float | None = None
    minimize: str | None = None
    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    max_memory_mb: float | None = None
    max_energy_mj: float | None = None
    runtime: str | None = None
    batch: int | None = None
    threads: int | None = None
    weights: dict[str, float] = {}
    families: dict[str, str] = {}
    sources: dict[str, str] = {}


def scenario_names() -> tuple[str, ...]:
    """The scenarios that ship, in alphabetical order."""
    return tuple(sorted(each.name.removesuffix(".yaml") for each in FOLDER.iterdir() if each.name.endswith(".yaml")))


def read_scenario(name: str) -> Scenario:
    """A scenario by its name, or of the user's own file `PATH.yaml`.

    Raises:
        UnknownNameError: if it is neither, with the nearest name.
        ConfigError: naming the file and the field that can't be used.
    """
    if not name.endswith((".yaml", ".yml")):
        if name not in scenario_names():
            raise UnknownNameError("scenario", name, scenario_names(), field="scenario")
        return _scenario(name, f"scenario {name}", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"'scenario' {name} can't be read ({reason}); check the path.", field="scenario") from error
    return _scenario(path.stem, f"'scenario' {name}", text)


def _scenario(name: str, where: str, text: str) -> Scenario:
    file = _parsed(where, text)
    for weight, value in file.weights.items():
        if weight not in WEIGHTS:
            raise UnknownNameError(f"weight of {where}", weight, WEIGHTS, field="scenario")
        if not (math.isfinite(value) and value >= 0):
            raise ConfigError(f"weight {weight!r} of {where} must be at least 0, got {value!r}.", field="scenario")
    if file.weights.get("quality") == 0:
        raise ConfigError(
            f"weight 'quality' of {where} must be above 0: smallness alone ends at the smallest model.",
            field="scenario",
        )
    return Scenario(
        name=name,
        about=" ".join(file.about.split()),
        goal=_goal(where, file),
        asked={each: getattr(file, each) for each in ASKED if getattr(file, each) is not None},
        options={each: getattr(file, each) for each in OPTIONS if getattr(file, each) is not None},
        weights=file.weights,
        families=file.families,
        sources=file.sources,
    )


def _goal(where: str, file: _File) -> Goal:
    fields: dict[str, Any] = {each: getattr(file, each) for each in PLAIN if getattr(file, each) is not None}
    try:
        if file.max_drop is not None:
            fields["max_drop"] = parse_share(str(file.max_drop))
        for option, field, factor in SI:
            limit = getattr(file, option)
            if limit is not None:
                fields[field] = limit * factor
        return Goal(**fields)
    except InputError as error:
        raise ConfigError(f"{where} can't be used: {error.message}", field="scenario") from error


def _parsed(where: str, text: str) -> _File:
    try:
        plain = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{where} is no YAML ({' '.join(str(error).split())}); mend it there.", field="scenario"
        ) from error
    if not isinstance(plain, Mapping):
        raise ConfigError(
            f"{where} must hold fields such as `max-size-mb: 0.5`, got a {type(plain).__name__}.", field="scenario"
        )
    known = _File.__struct_encode_fields__
    for name in plain:
        if name not in known:
            near = get_close_matches(str(name), known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}."
            raise ConfigError(f"{where} has the unknown field {str(name)!r}; {remedy}", field="scenario")
    try:
        return msgspec.convert(plain, _File)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{where} can't be used ({error}); mend it there.", field="scenario") from error
