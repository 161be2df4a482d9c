"""Scale depth, width and resolution together, by a ratio that a small design finds first."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial
from steelyard.statistics.scaling import (
    LEAST,
    PUBLISHED,
    Response,
    fit,
    is_told_apart,
    ladder,
    mean_of,
    resampled,
    shares,
)

DRAWS = 100
"""Bootstrap draws behind the ratio: it is rounded to the choices of knobs anyway."""


@dataclass(frozen=True, slots=True)
class Compound:
    """Confirms a design around the middle, fits the ratio, then walks the ladder of scales that it gives.

    The design is the published small search, spread over the ranges: the middle, each knob alone at its ends, and
    corners. The ladder's steps double the cost by the published rule, outwards from the middle; each rung is tried in
    every form. Knobs that are none of depth, width and resolution stay at their middle choice. Where the design can't
    tell the ratio, each knob takes an equal share. The forms of the largest scale come last.

    References:
        M. Tan and Q. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019.
    """

    name: str = "compound"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The next scale of the design, rung or form; None while the design is being measured, and at the end."""
        known = {trial.key for trial in finished}
        begun = known | {candidate.key for candidate in pending}
        for family in space.families:
            plain = [Candidate(family.family, scale, (), space.runtime) for scale in design(family)]
            waiting = next((each for each in plain if each.key not in begun), None)
            if waiting is not None:
                return waiting
            if any(each.key not in known for each in plain):
                # The ladder depends on what is being measured.
                return None
            scales = rungs(family, _losses(plain, finished, problem), problem.seed)
            for candidate in _forms(space, family, (*scales, family.largest)):
                if candidate.key not in begun:
                    return candidate
        return None


def growing(family: FamilySpace) -> tuple[Knob, ...]:
    """Its knobs among depth, width and resolution with two choices or more, all above 0, rising."""
    by_name = {knob.name: knob for knob in family.knobs}
    return tuple(
        Knob(name, tuple(sorted(by_name[name].choices, key=float)))
        for name in PUBLISHED
        if name in by_name and len(by_name[name].choices) > 1 and all(map(_is_positive, by_name[name].choices))
    )


def design(family: FamilySpace) -> tuple[Scale, ...]:
    """The scales that are confirmed first, the middle one first: nine for two or three knobs of three choices."""
    knobs = growing(family)
    middle = _middle(family, knobs)
    ends = [(knob.name, choice) for knob in knobs for choice in (knob.choices[0], knob.choices[-1])]
    corners = list(itertools.product(*((knob.choices[0], knob.choices[-1]) for knob in knobs)))
    if len(knobs) > 2:
        corners = [corners[0], corners[-1]]
    settings = [middle, *({**middle, name: choice} for name, choice in ends)]
    settings += [{**middle, **dict(zip([k.name for k in knobs], corner, strict=True))} for corner in corners]
    return tuple(dict.fromkeys(Scale.from_json(each) for each in settings))


def rungs(family: FamilySpace, losses: Sequence[tuple[Scale, float]], seed: int) -> tuple[Scale, ...]:
    """The scales of the ladder, from the middle outwards: φ 0, −1, 1, −2, 2 and so on.

    Args:
        family: the knobs and their choices.
        losses: what the design was found to lose, lower is better.
        seed: of the bootstrap.
    """
    knobs = growing(family)
    middle = _middle(family, knobs)
    if not knobs:
        return (Scale.from_json(middle),)
    exponents = tuple(PUBLISHED[knob.name] for knob in knobs)
    base = tuple(float(middle[knob.name]) for knob in knobs)
    at = tuple(tuple(float(scale[knob.name]) for knob in knobs) for scale, _ in losses)
    parts = _parts(at, tuple(loss for _, loss in losses), base, exponents, seed)
    found = ladder([[float(choice) for choice in knob.choices] for knob in knobs], base, parts, exponents)
    return tuple(
        Scale.from_json({**middle, **{knob.name: knob.choices[at] for knob, at in zip(knobs, found[phi], strict=True)}})
        for phi in sorted(found, key=lambda phi: (abs(phi), phi))
    )


@functools.lru_cache(maxsize=64)
def _parts(
    settings: tuple[tuple[float, ...], ...],
    losses: tuple[float, ...],
    base: tuple[float, ...],
    exponents: tuple[float, ...],
    seed: int,
) -> tuple[float, ...]:
    """The share of a doubling that each knob takes; equal shares where the design can't tell."""
    even = (1 / len(base),) * len(base)
    others = np.zeros((len(settings), 0))
    if len(base) < 2 or len(settings) < LEAST or not is_told_apart(np.log2(settings), others):
        return even
    at, response = np.log2(settings), Response.of(np.array(losses))
    found = fit(at, response.forward(np.array(losses)), None, others)
    if not found.law.weights.any():
        return even
    laws = resampled(found, at, others, None, seed=seed, draws=DRAWS)
    return tuple(shares(mean_of(laws), np.log2(base), np.array(exponents)).tolist())


def _losses(plain: Sequence[Candidate], finished: Sequence[Trial], problem: Problem) -> list[tuple[Scale, float]]:
    """The loss of quality of each scale of the design that was measured, in the design's order."""
    by_key = {trial.key: trial for trial in finished}
    scores = ((each.scale, problem.score(by_key[each.key])) for each in plain)
    return [(scale, score[0]) for scale, score in scores if score is not None]


def _forms(space: Space, family: FamilySpace, scales: Sequence[Scale]) -> Iterator[Candidate]:
    for scale in scales:
        for pipeline, options in space.forms(family):
            yield Candidate(family.family, scale, pipeline, space.runtime, options)


def _middle(family: FamilySpace, knobs: Sequence[Knob]) -> dict[str, int | float | str | bool]:
    """The choice nearest to the mean logarithm of the ends; of other knobs the middle one, the lower of two."""
    middle = {knob.name: knob.choices[(len(knob.choices) - 1) // 2] for knob in family.knobs}
    for knob in knobs:
        logs = np.log2([float(choice) for choice in knob.choices])
        middle[knob.name] = knob.choices[int(np.argmin(np.abs(logs - (logs[0] + logs[-1]) / 2)))]
    return middle


def _is_positive(choice: object) -> bool:
    return isinstance(choice, int | float) and not isinstance(choice, bool) and choice > 0


COMPOUND = Compound()
"""The entry of the registry."""
