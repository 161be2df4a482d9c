"""Compress a model further and further while it stays good, then finish what is cheapest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from steelyard.core.candidate import Candidate, Space, StepSetting
from steelyard.core.protocols import Problem
from steelyard.core.trial import Measurement, Trial

Steps = tuple[StepSetting, ...]


@dataclass(frozen=True, slots=True)
class Shrink:
    """Walks the tree of pipelines, whose branches add steps to what came before.

    A pipeline that others begin with is a body, the last of a branch a finish. The model as it is comes first, with
    its finishes; then body after body, each built on the last good one. Where a body is good no more, the cheapest good
    one gets its finishes; then the body that failed is recovered by repeating its last step, and the walk goes on from
    there if that helped. What is left comes last, best first.
    """

    name: str = "shrink"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The next pipeline of the walk that is neither finished nor pending; O(pipelines²)."""
        seen = {trial.key for trial in finished} | {candidate.key for candidate in pending}
        for family in space.families:
            first = Candidate(family.family, family.largest, (), space.runtime)
            walk = _Walk(space, first, finished, problem)
            for steps in walk.order():
                candidate = Candidate(first.family, first.scale, steps, space.runtime)
                if candidate.key not in seen:
                    return candidate
        return None


@dataclass(frozen=True, slots=True)
class _Walk:
    space: Space
    first: Candidate
    finished: Sequence[Trial]
    problem: Problem

    def order(self) -> Iterator[Steps]:
        """Pipelines in the order in which they are worth trying, as far as is known now."""
        tree = _children(self.space.pipelines)
        trials = {trial.candidate.steps: trial for trial in self.finished if trial.candidate.scale == self.first.scale}
        yield ()
        good = [steps for steps in tree if self._is_good(trials.get(steps))]
        bodies = [steps for steps in tree if tree[steps]]
        yield from (each for each in tree.get((), ()) if not tree[each])
        # Deeper on the branch that is good so far: the longest good body first.
        for body in sorted((each for each in good if tree[each]), key=len, reverse=True):
            yield from (each for each in tree[body] if tree[each] and not _repeats(each))
            break
        by_cost = sorted((each for each in good if tree[each]), key=lambda each: self._cost(trials[each]))
        if by_cost:
            yield from (each for each in tree[by_cost[0]] if not tree[each])
        # The shallowest body that failed is the nearest to be good: more training may save it.
        failed = [each for each in bodies if each in trials and each not in good]
        for body in sorted(failed, key=len):
            yield from (each for each in tree[body] if _repeats(each))
        for body in by_cost[1:]:
            yield from (each for each in tree[body] if not tree[each])
        for body in sorted((each for each in good if tree[each]), key=len, reverse=True):
            yield from tree[body]
        yield from sorted(tree, key=len)

    def _is_good(self, trial: Trial | None) -> bool:
        return trial is not None and self.problem.is_good_enough(trial, self.finished)

    def _cost(self, trial: Trial) -> float:
        score = self.problem.score(trial) if isinstance(trial.outcome, Measurement) else None
        return score[1] if score is not None else float("inf")


def _children(pipelines: Sequence[Steps]) -> Mapping[Steps, tuple[Steps, ...]]:
    """For each pipeline those that it is the longest proper beginning of, in the order of the space."""
    found: dict[Steps, list[Steps]] = {steps: [] for steps in pipelines}
    for steps in pipelines:
        if steps:
            parent = next(steps[:end] for end in range(len(steps) - 1, -1, -1) if steps[:end] in found)
            found[parent].append(steps)
    return {steps: tuple(children) for steps, children in found.items()}


def _repeats(steps: Steps) -> bool:
    """Whether the last step stands twice."""
    return len(steps) > 1 and steps[-1] == steps[-2]


SHRINK = Shrink()
"""The entry of the registry."""
