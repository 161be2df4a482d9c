"""Start small and grow until good enough."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.core.candidate import Candidate, FamilySpace, Scale, Space
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial


@dataclass(frozen=True, slots=True)
class Grow:
    """Walks from the smallest scale to the largest and stops at the first that is good enough.

    Each step raises one knob by one notch, the one that has come least far, so all grow together. The scale that is
    good enough is then tried in every form, and the search ends. Where only a family's largest scale is good
    enough, that is compressed once all families have been walked.
    """

    name: str = "grow"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The next scale of the path; its compressed forms once it is good enough; then None."""
        known = {trial.key: trial for trial in finished}
        waiting = {candidate.key for candidate in pending}
        for family in space.families:
            for scale in growth_path(family):
                plain = Candidate(family.family, scale, (), space.runtime)
                trial = known.get(plain.key)
                if trial is None:
                    # The next step depends on this one's result: nothing to propose while it is pending.
                    return None if plain.key in waiting else plain
                # The largest scale is the reference: good enough by definition, it must not keep the search from
                # the next family.
                if scale != family.largest and problem.is_good_enough(trial, finished):
                    return _compressed(plain, space, known.keys() | waiting)
        largest = (known[plain.key] for plain in space.references())
        forms = (
            _compressed(trial.candidate, space, known.keys() | waiting)
            for trial in largest
            if problem.is_good_enough(trial, finished)
        )
        return next((each for each in forms if each is not None), None)


def growth_path(family: FamilySpace) -> tuple[Scale, ...]:
    """Scales from the smallest to the largest, one notch of one knob a step."""
    at = [0] * len(family.knobs)
    last = [len(knob.choices) - 1 for knob in family.knobs]
    path = [family.smallest]
    while at != last:
        progress = [position / end if end else 1.0 for position, end in zip(at, last, strict=True)]
        at[progress.index(min(progress))] += 1
        path.append(Scale(tuple((knob.name, knob.choices[i]) for knob, i in zip(family.knobs, at, strict=True))))
    return tuple(path)


def _compressed(plain: Candidate, space: Space, seen: set[str]) -> Candidate | None:
    for pipeline, options in space.forms(space.family(plain.family)):
        candidate = Candidate(plain.family, plain.scale, pipeline, plain.runtime, options)
        if candidate.key not in seen:
            return candidate
    return None


GROW = Grow()
"""The entry of the registry."""
