"""Uniform random search."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.core.candidate import Candidate, Scale, Space
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial

ENUMERABLE = 20_000
"""Spaces up to this size are shuffled whole; larger ones are drawn from, where repeats are rare."""
MOST_DRAWS = 10_000
"""Draws from a large space before it counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Random:
    """Proposes candidates in an order that depends on the seed alone, whatever has been finished by whom."""

    name: str = "random"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The first candidate of the seed's order that is neither finished nor pending."""
        seen = {trial.key for trial in finished} | {candidate.key for candidate in pending}
        order = random_order(space, problem.seed)
        return next((candidate for candidate in order if candidate.key not in seen), None)


def random_order(space: Space, seed: int) -> Iterator[Candidate]:
    """The seed's order of a space: a permutation of a small one, draws (with repeats) from a large one."""
    if space.size <= ENUMERABLE:
        yield from (_at(space, int(i)) for i in np.random.default_rng(seed).permutation(space.size))
        return
    weights = np.array([family.size for family in space.families], dtype=np.float64)
    for number in itertools.islice(itertools.count(), MOST_DRAWS):
        # One generator a number, so that a proposal is a function of (seed, number).
        rng = np.random.default_rng((seed, number))
        family = space.families[int(rng.choice(len(weights), p=weights / weights.sum()))]
        scale = Scale(tuple((knob.name, knob.choices[int(rng.integers(len(knob.choices)))]) for knob in family.knobs))
        pipelines = space.pipelines_of(family)
        pipeline = pipelines[int(rng.integers(len(pipelines)))]
        # Drawn last, so that a space without options keeps the order it always had.
        options = space.options[int(rng.integers(len(space.options)))]
        yield Candidate(family.family, scale, pipeline, space.runtime, options)


def _at(space: Space, number: int) -> Candidate:
    """The candidate of that number in the order of the space; listing all of a large one took longer than a trial."""
    number, options = divmod(number, len(space.options))
    for family in space.families:
        pipelines = space.pipelines_of(family)
        if number < family.size * len(pipelines):
            break
        number -= family.size * len(pipelines)
    number, pipeline = divmod(number, len(pipelines))
    settings = []
    for knob in reversed(family.knobs):
        number, at = divmod(number, len(knob.choices))
        settings.append((knob.name, knob.choices[at]))
    scale = Scale(tuple(settings))
    return Candidate(family.family, scale, pipelines[pipeline], space.runtime, space.options[options])


RANDOM = Random()
"""The entry of the registry."""
