"""One input or output of a model, whatever its file format."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model.

    Attributes:
        name: as the model calls it.
        type: of its elements, as numpy calls it.
        shape: sizes of its axes; a free axis is its name, or None where it has none. None where the rank is not known.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        """For people: `x float32 (n, 3, 32, 32)`."""
        axes = "?" if self.shape is None else ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.type} ({axes})"

    def to_json(self) -> Plain:
        """The plain form; free axes by name, or null."""
        return {"name": self.name, "type": self.type, "shape": None if self.shape is None else list(self.shape)}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives.

    Attributes:
        inputs: that a caller must give.
        outputs: what comes back.
        index_limits: for inputs that index a table, how many entries the smallest one has.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...] = ()
    index_limits: Mapping[str, int] = field(default_factory=dict)
