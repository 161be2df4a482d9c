"""What a kit measured on another machine: figures by point, checked when they are read, as JSON and back."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_args

from steelyard.core.environment import Environment
from steelyard.core.errors import InputError
from steelyard.core.goal import is_number
from steelyard.core.quantity import Quantity, Unit
from steelyard.core.wire import Plain

SCHEMA = 1
UNITS: Mapping[str, Unit] = {
    "latency_p50_s": "s",
    "latency_p95_s": "s",
    "latency_p99_s": "s",
    "latency_floor_s": "s",
    "throughput_per_s": "1/s",
    "peak_memory_bytes": "B",
    "load_memory_bytes": "B",
    "load_s": "s",
    "run_memory_bytes": "B",
    "energy_j": "J",
}
"""The costs that another machine can tell, with their units. All other figures of a point stay as they are."""

RANGES: Mapping[Unit, tuple[float, float]] = {
    "s": (1e-9, 86_400.0),
    "1/s": (1e-6, 1e12),
    "B": (0.0, 2.0**50),
    "J": (0.0, 1e9),
    "1": (1e-6, 1e6),
}
"""What a figure can be at all: no call ends within a clock's step or takes a day, no process holds a petabyte."""

LARGEST_FILE_BYTES = 16 * 1024 * 1024
"""A result holds a few hundred figures; what is larger is no result."""


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """The figures of one variant, and the SHA-256 of the file that they are of."""

    sha256: str
    metrics: Mapping[str, Quantity]
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Plain:
        """The plain form."""
        metrics = {name: quantity.to_json() for name, quantity in self.metrics.items()}
        return {"sha256": self.sha256, "metrics": metrics, "notes": dict(self.notes)}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a kit measured.

    Attributes:
        kit: the kit's key.
        study: the study of its bundle.
        environment: of the machine that measured.
        points: figures by key of the variant.
        ratios: p50 of one variant over that of another, paired within processes, by "first/second".
        failures: variants that could not be measured there, and why.
        absent: figures that the machine could not give, and why.
        how: batch, threads, processes, the inputs used, the comparison of one file with itself.
    """

    kit: str
    study: str
    environment: Environment
    points: Mapping[str, MeasuredPoint]
    ratios: Mapping[str, Quantity] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    how: Mapping[str, Any] = field(default_factory=dict)

    def ratio(self, first: str, second: str) -> Quantity | None:
        """How many times as long the first variant takes as the second; None where it was not measured in pairs."""
        found = self.ratios.get(f"{first}/{second}")
        turned = self.ratios.get(f"{second}/{first}")
        if found is not None or turned is None:
            return found
        low = None if turned.high is None else 1 / turned.high
        high = None if turned.low is None else 1 / turned.low
        return Quantity(1 / turned.value, "1", low, high, turned.n)

    def has(self, metric: str) -> bool:
        """Whether any variant has a figure of that name."""
        return any(metric in point.metrics for point in self.points.values())

    def to_json(self) -> Plain:
        """The plain form: what `measure.py` prints."""
        return {
            "schema": SCHEMA,
            "kit": self.kit,
            "study": self.study,
            "environment": self.environment.to_json(),
            "points": {key: point.to_json() for key, point in self.points.items()},
            "ratios": {pair: quantity.to_json() for pair, quantity in self.ratios.items()},
            "failures": dict(self.failures),
            "absent": dict(self.absent),
            "how": dict(self.how),
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`, for a file that a stranger may have written.

        Raises:
            ValueError: with what is wrong, and where.
        """
        _keys(plain, cls.__dataclass_fields__ | {"schema": None}, "the whole")
        if plain["schema"] != SCHEMA:
            raise ValueError(f"its schema is {plain['schema']!r}, where {SCHEMA} is read")
        points = {_key(key): _point(point, key) for key, point in _mapping(plain["points"], "points").items()}
        if not points:
            raise ValueError("it has no point that could be measured")
        return cls(
            kit=_key(plain["kit"]),
            study=_key(plain["study"]),
            environment=_environment(plain["environment"]),
            points=points,
            ratios=_ratios(plain["ratios"], points),
            failures=_texts(plain["failures"], "failures"),
            absent=_texts(plain["absent"], "absent"),
            how=_how(plain["how"]),
        )


def read_measured(path: Path) -> Measured:
    """Read what a kit measured.

    Raises:
        InputError: if the file can't be read or is nothing that a kit writes.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"'measured' {path} can't be read ({error.strerror}); check the path.", field="measured"
        ) from error
    try:
        if len(data) > LARGEST_FILE_BYTES:
            raise ValueError(f"it is larger than {LARGEST_FILE_BYTES // 1024**2} MiB")
        plain = json.loads(data.decode(), parse_constant=_no_constant, object_pairs_hook=_once)
        return Measured.from_json(plain)
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"'measured' {path} is not what a kit's measure.py writes ({why}); copy it again or measure again.",
            field="measured",
        ) from error


def _no_constant(text: str) -> Any:
    raise ValueError(f"it holds {text}, which is no figure")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has a field twice")
    return found


def _mapping(plain: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(plain, dict):
        raise ValueError(f"{where} must be an object, got {_shown(plain)}")
    return plain


def _keys(plain: Any, known: Mapping[str, Any], where: str) -> None:
    """Exactly the fields that there are."""
    found = _mapping(plain, where)
    for name in known:
        if name not in found:
            raise ValueError(f"{where} lacks {name!r}")
    for name in found:
        if name not in known:
            raise ValueError(f"{where} has the unknown field {_shown(name)}")


def _shown(value: Any) -> str:
    return repr(value)[:40]


def _key(text: Any) -> str:
    is_key = isinstance(text, str) and len(text) == 12 and set(text) <= set("0123456789abcdef")
    if not is_key:
        raise ValueError(f"a key must be twelve hexadecimal digits, got {_shown(text)}")
    return str(text)


def _texts(plain: Any, where: str) -> dict[str, str]:
    found = dict(_mapping(plain, where))
    for name, text in found.items():
        if not isinstance(text, str):
            raise ValueError(f"{where}.{_shown(name)} must be a text, got {_shown(text)}")
    return found


def _environment(plain: Any) -> Environment:
    _keys(plain, Environment.__dataclass_fields__, "environment")
    for name in ("processor", "system", "python"):
        if not isinstance(plain[name], str):
            raise ValueError(f"environment.{name} must be a text, got {_shown(plain[name])}")
    for name, least in (("cores", 1), ("memory_bytes", 0)):
        _whole(plain[name], least, f"environment.{name}")
    flags = plain["flags"]
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise ValueError(f"environment.flags must be a list of texts, got {_shown(flags)}")
    return Environment.from_json({**plain, "versions": _texts(plain["versions"], "environment.versions")})


def _whole(value: Any, least: int, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**63:
        raise ValueError(f"{where} must be a whole number of at least {least}, got {_shown(value)}")
    return value


def _point(plain: Any, key: str) -> MeasuredPoint:
    where = f"points.{key}"
    _keys(plain, MeasuredPoint.__dataclass_fields__, where)
    digest = plain["sha256"]
    if not isinstance(digest, str) or len(digest) != 64:
        raise ValueError(f"{where}.sha256 must be a SHA-256, got {_shown(digest)}")
    metrics = {}
    for name, quantity in _mapping(plain["metrics"], f"{where}.metrics").items():
        if name not in UNITS:
            raise ValueError(f"{where}.metrics has {_shown(name)}, which a kit does not measure")
        metrics[name] = _quantity(quantity, UNITS[name], f"{where}.metrics.{name}")
    for name in ("latency_p50_s", "throughput_per_s"):
        if name not in metrics:
            raise ValueError(f"{where}.metrics lacks {name!r}")
    named = [name for name in ("latency_p50_s", "latency_p95_s", "latency_p99_s") if name in metrics]
    # p50 is a midmean over processes and the others are order statistics: a few per cent apart the wrong way is no lie.
    if any(metrics[high].value < 0.8 * metrics[low].value for low, high in itertools.pairwise(named)):
        raise ValueError(f"{where}.metrics has percentiles that fall")
    return MeasuredPoint(digest, metrics, _mapping(plain["notes"], f"{where}.notes"))


def _quantity(plain: Any, unit: Unit, where: str) -> Quantity:
    _keys(plain, Quantity.__dataclass_fields__, where)
    if plain["unit"] != unit or unit not in get_args(Unit):
        raise ValueError(f"{where}.unit must be {unit!r}, got {_shown(plain['unit'])}")
    least, most = RANGES[unit]
    for name in ("value", "low", "high"):
        figure = plain[name]
        if figure is None and name != "value":
            continue
        if not is_number(figure) or not math.isfinite(figure) or not least <= figure <= most:
            raise ValueError(f"{where}.{name} must be a number from {least:g} to {most:g}, got {_shown(figure)}")
    if plain["n"] is not None:
        _whole(plain["n"], 1, f"{where}.n")
    quantity = Quantity.from_json(plain)
    low = quantity.value if quantity.low is None else quantity.low
    high = quantity.value if quantity.high is None else quantity.high
    if not low <= quantity.value <= high:
        raise ValueError(f"{where}.value must lie in its interval, got {quantity.value!r} in {low!r} to {high!r}")
    return quantity


def _ratios(plain: Any, points: Mapping[str, Any]) -> dict[str, Quantity]:
    found = {}
    for pair, quantity in _mapping(plain, "ratios").items():
        first, _, second = pair.partition("/")
        if first not in points or second not in points or first == second:
            raise ValueError(f"ratios has {_shown(pair)}, which names no two of its points")
        found[pair] = _quantity(quantity, "1", f"ratios.{pair}")
    return found


def _how(plain: Any) -> Mapping[str, Any]:
    how = _mapping(plain, "how")
    for name in ("batch", "threads", "processes"):
        _whole(how.get(name), 1, f"how.{name}")
    return how
