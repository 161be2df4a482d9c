"""Compress a model further and further while it stays good, then finish what is cheapest."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from steelyard.core.candidate import Candidate, Scale, Space, StepSetting
from steelyard.core.protocols import Problem
from steelyard.core.trial import Failure, Trial

Steps = tuple[StepSetting, ...]
Tree = Mapping[Steps, tuple[Steps, ...]]

SAFE = 0.65
"""The share of the permitted drop up to which the walk goes on: the rest is for the chance of the test rows.

With a thousand to ten thousand rows and a few per cent of decisions changed, a third of a permitted drop of 1 to 5
points is what an exact test at 95 % takes.
"""


EARLY = 2
"""Finishes of a body that are tried at once: they stand in the order in which they mostly win."""


@dataclass(frozen=True, slots=True)
class Shrink:
    """Walks the tree of pipelines, whose branches add steps to what came before.

    A pipeline that others begin with is a body, the last of a branch a finish. The model as it is comes first, with
    its finishes; then body after body, each built on the last that was good. Where a body is good no more, the next
    shorter step is tried, then more training of what failed; the cheapest good body gets its finishes, and so do the
    others. What is left comes last, but for what begins with steps that could not be carried out.
    """

    name: str = "shrink"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The next pipeline of the walk that is neither finished nor pending; O(pipelines²)."""
        done = {trial.key for trial in finished}
        waiting = {candidate.key for candidate in pending}
        for first in _starts(space):
            walk = _Walk(space.pipelines, first, finished, frozenset(waiting), problem)
            barred = walk.failures()
            for steps in walk.order():
                candidate = walk.candidate(steps)
                is_barred = any(steps[:end] in barred for end in range(1, len(steps)))
                if candidate.key not in done and candidate.key not in waiting and not is_barred:
                    return candidate
        return None


def _starts(space: Space) -> Iterator[Candidate]:
    """Every model without steps, each family's largest scale first."""
    for family in space.families:
        names = [knob.name for knob in family.knobs]
        for values in itertools.product(*(knob.choices[::-1] for knob in family.knobs)):
            for options in space.options:
                yield Candidate(
                    family.family, Scale(tuple(zip(names, values, strict=True))), (), space.runtime, options
                )


@dataclass(frozen=True, slots=True)
class _Walk:
    pipelines: Sequence[Steps]
    first: Candidate
    finished: Sequence[Trial]
    waiting: Collection[str]
    problem: Problem

    def candidate(self, steps: Steps) -> Candidate:
        return Candidate(self.first.family, self.first.scale, steps, self.first.runtime, self.first.options)

    def failures(self) -> frozenset[Steps]:
        """Pipelines that could not be made: what begins with them can't be either."""
        same = (each for each in self.finished if isinstance(each.outcome, Failure))
        return frozenset(each.candidate.steps for each in same if each.candidate.scale == self.first.scale)

    def order(self) -> Iterator[Steps]:
        """Pipelines in the order in which they are worth trying, as far as is known now."""
        tree = children(self.pipelines)
        spent = {steps: self.problem.spent(self.candidate(steps), self.finished) for steps in tree}
        bodies = [steps for steps in tree if tree[steps] or not steps]
        good = sorted((each for each in bodies if _is_safe(spent[each])), key=_depth, reverse=True)
        yield ()
        yield from itertools.islice(finishes_of(tree, ()), EARLY)
        if good:
            further = self._further(tree, good[0], spent)
            yield from itertools.islice(further, 1)
            # The boldest way on is taken or failed: the best so far gets an answer that can be shipped.
            yield from itertools.islice(finishes_of(tree, good[0]), 1)
            yield from further
            yield from itertools.islice(finishes_of(tree, good[0]), EARLY)
        # The mildest body that failed is the nearest to be good: more training may save it.
        failed = [each for each in bodies if spent[each] is not None and each not in good]
        for body in sorted(failed, key=lambda each: spent[each] or 0.0):
            yield from (each for each in tree[body] if _repeats(each))
        for body in good[1:3]:
            yield from itertools.islice(finishes_of(tree, body), EARLY)
        for body in good:
            yield from (each for each in tree[body] if not _repeats(each))
        for body in good:
            yield from tree[body]
        yield from sorted(tree, key=len)

    def _further(
        self, tree: Mapping[Steps, tuple[Steps, ...]], body: Steps, spent: Mapping[Steps, float | None]
    ) -> Iterator[Steps]:
        """The next bodies on the way, the boldest first; while one is in the making, nothing milder is begun."""
        for steps in tree[body]:
            if not tree[steps] or _repeats(steps):
                continue
            if spent[steps] is None and self.candidate(steps).key in self.waiting:
                return
            yield steps


def children(pipelines: Sequence[Steps]) -> Tree:
    """For each pipeline those that it is the longest proper beginning of, in the order of the space."""
    found: dict[Steps, list[Steps]] = {steps: [] for steps in pipelines}
    for steps in pipelines:
        if steps:
            parent = next(steps[:end] for end in range(len(steps) - 1, -1, -1) if steps[:end] in found)
            found[parent].append(steps)
    return {steps: tuple(children) for steps, children in found.items()}


def finishes_of(tree: Tree, body: Steps) -> Iterator[Steps]:
    """Pipelines that end a branch right after a body."""
    return (each for each in tree[body] if not tree[each])


def _depth(steps: Steps) -> float:
    """How far a body goes: the product of what its steps keep, turned so that further is more."""
    kept = 1.0
    for step in steps:
        kept *= float(dict(step.settings).get("keep", 1.0))
    return 1.0 / kept + 1e-6 * len(steps)


def _is_safe(spent: float | None) -> bool:
    return spent is not None and spent <= SAFE


def _repeats(steps: Steps) -> bool:
    """Whether the last step stands twice."""
    return len(steps) > 1 and steps[-1] == steps[-2]


SHRINK = Shrink()
"""The entry of the registry."""
