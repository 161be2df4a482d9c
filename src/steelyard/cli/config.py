"""`--config FILE`: options of `find` from YAML, checked against a schema that is published."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import yaml

from steelyard.core.errors import ConfigError

Setting = int | float | str
_MISFIT = re.compile(r"Expected `(?P<wanted>.*?)`, got `(?P<got>.*?)` - at `\$\.(?P<path>.*)`")
"""How msgspec says that a value has another type than its field."""


class Config(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", omit_defaults=True):
    """Options of `steelyard find`, under the names of the command line; knobs as a mapping of lists."""

    task: str | None = None
    data: str | None = None
    target: str | None = None
    model: str | None = None
    runtime: str | None = None
    max_drop: float | str | None = None
    relative: bool | None = None
    absolute: bool | None = None
    confidence: float | None = None
    require_proof: bool | None = None
    metric: str | None = None
    min_quality: float | None = None
    minimize: str | None = None
    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    max_memory_mb: float | None = None
    max_energy_mj: float | None = None
    scenario: str | None = None
    strategy: str | None = None
    strategy_option: dict[str, Setting] | None = None
    scale: str | None = None
    budget: str | int | float | None = None
    trials: int | None = None
    knob: dict[str, list[Setting]] | None = None
    steps: str | None = None
    workers: int | None = None
    seed: int | None = None
    seeds: int | None = None
    halving: bool | None = None
    vocabulary: str | None = None
    loss: str | None = None
    train: str | None = None
    preprocess: str | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    group: str | None = None
    split_by: str | None = None
    trust: bool | None = None
    batch: int | None = None
    threads: int | None = None
    out: str | None = None
    storage: str | None = None
    measured: str | None = None
    warm_start: str | None = None
    plugin: list[str] | None = None


def read_config(path: Path) -> dict[str, Any]:
    """The options that a config file gives, by the names of the command line's parameters.

    Raises:
        ConfigError: naming the file and the path of the field that is wrong.
    """
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"'config' {path} can't be read ({error.strerror}); check the path.", field="config"
        ) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"'config' {path} is no YAML ({reason}); mend it there.", field="config") from error
    config = _checked({} if plain is None else plain, path)
    options = {name: getattr(config, name) for name in config.__struct_fields__}
    given = {name: value for name, value in options.items() if value is not None}
    for name, kind in (("out", Path), ("measured", Path), ("warm_start", Path), ("plugin", tuple)):
        if name in given:
            given[name] = kind(given[name])
    if "knob" in given:
        given["knob"] = {name: tuple(choices) for name, choices in given["knob"].items()}
    return given


def _checked(plain: Any, path: Path) -> Config:
    """The config, or a sentence on the first field that is unknown or of another type."""
    if not isinstance(plain, dict):
        raise ConfigError(
            f"'config' {path} must hold fields such as `task: digits`, got a {type(plain).__name__}.", field="config"
        )
    known = Config.__struct_encode_fields__
    for name in plain:
        if name not in known:
            near = get_close_matches(str(name), known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]!r}?" if near else "docs/reference/config.md has every field."
            raise ConfigError(f"'config' {path} has the unknown field {str(name)!r}; {remedy}", field=str(name))
    try:
        return msgspec.convert(plain, Config)
    except (msgspec.ValidationError, RecursionError) as error:
        found = _MISFIT.fullmatch(str(error))
        if found is None:
            raise ConfigError(f"'config' {path} can't be used ({error}); mend it there.", field="config") from error
        wanted = found["wanted"].replace(" | null", "").replace(" | ", " or ")
        field = found["path"].replace("[...]", "")
        raise ConfigError(f"'{field}' of 'config' {path} must be {wanted}, got {found['got']}.", field=field) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of a config file."""
    return msgspec.json.schema(Config)
