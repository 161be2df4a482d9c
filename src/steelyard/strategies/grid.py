"""Every candidate, in the order of the space."""

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.core.candidate import Candidate, Space
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial


@dataclass(frozen=True, slots=True)
class Grid:
    """Proposes the whole space, the first knob slowest, each scale uncompressed first."""

    name: str = "grid"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The first candidate of the space that is neither finished nor pending; O(size of the space)."""
        del problem
        seen = {trial.key for trial in finished} | {candidate.key for candidate in pending}
        return next((candidate for candidate in space.candidates() if candidate.key not in seen), None)


GRID = Grid()
"""The entry of the registry."""
