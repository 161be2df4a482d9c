"""A scenario: a ready-made question for a kind of use, each of its figures with where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard.core.goal import Goal


@dataclass(frozen=True, slots=True)
class Scenario:
    """Limits, weights and a runtime for a kind of use; a starting point that can be edited.

    Attributes:
        name: of the scenario, or of the user's file.
        about: one sentence.
        goal: the question.
        asked: its fields as the file has them, by the names of the command line.
        options: further options of a search, by their names in `Request`: `runtime`, `batch`, `threads`.
        weights: of quality, speed, size, memory and training time in the fitness of the genetic algorithm.
        families: by kind of task, the families to start with.
        sources: by option, where the figure comes from.
    """

    name: str
    about: str
    goal: Goal = field(default_factory=Goal)
    asked: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def options_for(self, *, strategy: str | None) -> dict[str, Any]:
        """Options of a search that were not asked for: runtime, batch, threads, and weights where they count.

        Args:
            strategy: what proposes; the genetic algorithm alone has a fitness to weigh.
        """
        found = dict(self.options)
        if strategy == "ga" and self.weights:
            found["strategy_options"] = {f"weight_{name}": value for name, value in self.weights.items()}
        return found

    def families_for(self, kind: str) -> str | None:
        """The families to start with on a kind of task, with commas; None where it names none."""
        return self.families.get(kind)
