"""A generation of a search by evolution, as reported."""

from dataclasses import dataclass
from typing import Self

from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation: its individuals after the weakest were replaced, and the best that ever lived.

    Attributes:
        number: from 0, the random one.
        size: how many individuals it has.
        new: how many different candidates were bred in it that no generation before had.
        failed: individuals whose candidate ended in a failure; they are in no statistic.
        unknown: individuals that were not finished when the search ended; they are in no statistic.
        minimum: the least fitness of its individuals, higher is better; None where none has one.
        mean: the average fitness.
        maximum: the highest fitness; never below that of the generation before.
        hall: the hall of fame: keys of the best candidates so far with their fitness, the best first.
    """

    number: int
    size: int
    new: int
    failed: int
    unknown: int
    minimum: float | None
    mean: float | None
    maximum: float | None
    hall: tuple[tuple[str, float], ...] = ()

    def to_json(self) -> Plain:
        """The plain form."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "hall": [{"key": key, "fitness": fitness} for key, fitness in self.hall]}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls(**{**plain, "hall": tuple((each["key"], each["fitness"]) for each in plain["hall"])})
