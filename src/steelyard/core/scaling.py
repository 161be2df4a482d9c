"""How a family's knobs should grow together: what a fit over measured scales says, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from steelyard.core.candidate import Setting
from steelyard.core.quantity import Quantity
from steelyard.core.wire import Plain

COMPOUND = "compound"
"""The line along which all knobs grow together; other lines are named by the one knob that grows."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What each knob should be multiplied by when the cost doubles, from one base.

    Attributes:
        cost: what doubles: "published" is α β² γ² = 2, others are measured figures by name.
        base: settings of the knobs that the growth starts from.
        exponents: how often that cost doubles when a knob is doubled.
        factors: by knob, at least 1; α, β and γ are those of depth, width and resolution.
        gain: quality that the doubling gains by the law; negative where lower is better.
        alone: the same where all of it goes into one knob.
    """

    cost: str
    base: Mapping[str, float]
    exponents: Mapping[str, float]
    factors: Mapping[str, Quantity]
    gain: Quantity
    alone: Mapping[str, Quantity]

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "cost": self.cost,
            "base": dict(self.base),
            "exponents": dict(self.exponents),
            "factors": {name: each.to_json() for name, each in self.factors.items()},
            "gain": self.gain.to_json(),
            "alone": {name: each.to_json() for name, each in self.alone.items()},
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        factors, alone = (
            {name: Quantity.from_json(each) for name, each in plain[field].items()} for field in ("factors", "alone")
        )
        gain = Quantity.from_json(plain["gain"])
        return cls(**{**plain, "factors": factors, "gain": gain, "alone": alone})


@dataclass(frozen=True, slots=True)
class Line:
    """One way to scale from the base: quality by the law against a cost, and the measured points that lie on it.

    Attributes:
        name: `COMPOUND`, or the one knob that grows.
        cost: a figure by name.
        curve: pairs of cost and quality as the fit predicts them, by rising cost.
        points: keys of measured points on the line.
    """

    name: str
    cost: str
    curve: tuple[tuple[float, float], ...]
    points: tuple[str, ...]

    def to_json(self) -> Plain:
        """The plain form."""
        curve, points = [list(pair) for pair in self.curve], list(self.points)
        return {"name": self.name, "cost": self.cost, "curve": curve, "points": points}

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        curve = tuple((cost, quality) for cost, quality in plain["curve"])
        return cls(plain["name"], plain["cost"], curve, tuple(plain["points"]))


@dataclass(frozen=True, slots=True)
class Scaling:
    """How one family's depth, width and resolution should grow, from `n` measured scales.

    Attributes:
        family: its name.
        n: distinct uncompressed scales behind the fit.
        base: settings of all knobs of the measured scale that lines start from.
        growths: by cost and base.
        lines: of each cost, the compound one first.
        r_squared: the share of the scatter of the response that the law explains.
    """

    family: str
    n: int
    base: Mapping[str, Setting]
    growths: tuple[Growth, ...]
    lines: tuple[Line, ...]
    r_squared: float

    def to_json(self) -> Plain:
        """The plain form."""
        return {
            "family": self.family,
            "n": self.n,
            "base": dict(self.base),
            "growths": [each.to_json() for each in self.growths],
            "lines": [each.to_json() for each in self.lines],
            "r_squared": self.r_squared,
        }

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        growths = tuple(Growth.from_json(each) for each in plain["growths"])
        lines = tuple(Line.from_json(each) for each in plain["lines"])
        return cls(**{**plain, "growths": growths, "lines": lines})
