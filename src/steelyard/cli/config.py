"""`--config FILE`: options of `find` from YAML, checked against a schema that is published."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from steelyard.core.errors import ConfigError

Setting = int | float | str


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
    strategy: str | None = None
    budget: str | None = None
    trials: int | None = None
    knob: dict[str, list[Setting]] | None = None
    workers: int | None = None
    seed: int | None = None
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
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"'config' {path} is no YAML ({reason}); mend it there.", field="config") from error
    try:
        config = msgspec.convert({} if plain is None else plain, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"'config' {path}: {error}; docs/reference/config.md has every field.", field="config"
        ) from error
    options = {name: getattr(config, name) for name in config.__struct_fields__}
    given = {name: value for name, value in options.items() if value is not None}
    for name, kind in (("out", Path), ("plugin", tuple)):
        if name in given:
            given[name] = kind(given[name])
    if "knob" in given:
        given["knob"] = {name: tuple(choices) for name, choices in given["knob"].items()}
    return given


def schema() -> dict[str, Any]:
    """The JSON Schema of a config file."""
    return msgspec.json.schema(Config)
