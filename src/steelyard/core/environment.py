"""The machine and the versions that a figure was measured on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from steelyard.core.wire import Plain, content_key


@dataclass(frozen=True, slots=True)
class Environment:
    """Part of every measurement: figures of different environments are never compared silently."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    versions: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Hash of everything in it."""
        return content_key(self.to_json())

    def to_json(self) -> Plain:
        """The plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "versions": dict(sorted(self.versions.items())), "flags": list(self.flags)}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**plain, "flags": tuple(plain["flags"])})
