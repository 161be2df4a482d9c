"""A run of the genetic algorithm, bred again from the seed and the trials that have finished.

What is bred depends on the fitness of complete generations alone, and a fitness never changes, so the individuals are
the same however often, and in whichever process, the run is gone through.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from deap import tools

from steelyard.core.candidate import Candidate, Space
from steelyard.core.generation import Generation
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial
from steelyard.strategies.breeding import (
    Gene,
    Genome,
    Individual,
    Operators,
    brood,
    decoded,
    first_brood,
    genes_of,
    surviving,
)
from steelyard.strategies.fitness import WORST, Weights, Yardstick, yardstick

HALL = 5
"""Candidates in the hall of fame."""


@dataclass(frozen=True, slots=True)
class Ending:
    """When a run ends: after so many generations, or so many in a row without a better best one."""

    generations: int
    stagnation: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One generation of a run: who its parents are, who was bred, and who lives on.

    `trials` stand beside the brood, None for what has not finished. `survivors` are the parents of the next one; an
    individual that has not finished counts as the weakest. It is complete when they and the references have finished.
    """

    number: int
    parents: tuple[Individual, ...]
    brood: tuple[Genome, ...]
    trials: tuple[Trial | None, ...]
    young: tuple[Individual, ...]
    survivors: tuple[Individual, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Evolution:
    """A run on the finished trials of a space. Whatever trials there are, of whichever strategy, are known fitness."""

    space: Space
    finished: Sequence[Trial]
    problem: Problem
    operators: Operators
    weights: Weights
    ending: Ending
    genes: tuple[Gene, ...] = field(init=False)
    _known: dict[Candidate, Trial] = field(init=False)
    _candidates: dict[Genome, Candidate] = field(init=False, default_factory=dict)
    _trials: dict[Genome, Trial | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Look the trials up by candidate."""
        object.__setattr__(self, "genes", genes_of(self.space))
        object.__setattr__(self, "_known", {trial.candidate: trial for trial in self.finished})

    def candidate(self, genome: Genome) -> Candidate:
        """The candidate that a genome stands for."""
        found = self._candidates.get(genome)
        if found is None:
            found = self._candidates[genome] = decoded(genome, self.genes, self.space)
        return found

    def trial(self, candidate: Candidate) -> Trial | None:
        """The finished trial of a candidate."""
        return self._known.get(candidate)

    def _of(self, genome: Genome) -> Trial | None:
        """The finished trial of a genome's candidate; hashing candidates again and again took half of the time."""
        if genome not in self._trials:
            self._trials[genome] = self.trial(self.candidate(genome))
        return self._trials[genome]

    def stages(self) -> Iterator[Stage]:
        """Every generation in turn; the last one is incomplete, or the run has ended with it.

        The yardstick is the best reference; where none could be measured, the best of the first generation in which
        any was. The first generation is bred without it, what follows waits for every reference.
        """
        references = [self.trial(each) for each in self.space.references()]
        have_finished = None not in references
        measure = self._yardstick(references) if have_finished else None
        known: dict[Genome, float] = {}
        parents: tuple[Individual, ...] = ()
        best, stale = WORST, 0
        for number in range(self.ending.generations):
            genomes = self._bred(parents, number)
            trials = tuple(map(self._of, genomes))
            is_complete = have_finished and None not in trials
            if measure is None and is_complete:
                measure = self._yardstick(trials)
            if measure is not None:
                judged = ((genome, trial) for genome, trial in zip(genomes, trials, strict=True) if trial is not None)
                known |= {genome: measure.fitness(trial) for genome, trial in judged if genome not in known}
            fitness = [known.get(genome, WORST) for genome in genomes]
            young = tuple(map(Individual, genomes, fitness))
            places = surviving([each.value for each in parents], fitness, self.operators.elite)
            everyone = (*parents, *young)
            survivors = tuple(everyone[place] for place in places)
            yield Stage(number, parents, genomes, trials, young, survivors, is_complete)
            if not is_complete:
                return
            parents, top = survivors, max(each.value for each in survivors)
            stale = 0 if number == 0 or top > best else stale + 1
            best = max(best, top)
            if stale >= self.ending.stagnation:
                return

    def _yardstick(self, trials: Sequence[Trial | None]) -> Yardstick | None:
        return yardstick([each for each in trials if each is not None], self.problem, self.weights)

    def _bred(self, parents: Sequence[Individual], number: int) -> tuple[Genome, ...]:
        seed = self.problem.seed
        if number == 0:
            return tuple(first_brood(self.genes, self.operators.population, seed))
        return tuple(brood(parents, self.genes, self.operators, seed, number))


def reported(run: Evolution) -> tuple[Generation, ...]:
    """What is told of each generation, by DEAP's statistics; of an unfinished one if any is fit. O(individuals)."""
    hall = tools.HallOfFame(HALL, similar=lambda one, other: run.candidate(one.genome) == run.candidate(other.genome))
    figures = tools.Statistics(lambda individual: individual.value)
    for name, figure in (("minimum", np.min), ("mean", np.mean), ("maximum", np.max)):
        figures.register(name, figure)
    found: list[Generation] = []
    seen: set[Candidate] = set()
    for stage in run.stages():
        bred = {run.candidate(genome) for genome in stage.brood}
        fit = [each for each in stage.survivors if math.isfinite(each.value)]
        hall.update([each for each in stage.young if math.isfinite(each.value)])
        if not stage.is_complete and not fit:
            break
        compiled = {name: float(value) for name, value in figures.compile(fit).items()} if fit else {}
        unknown = sum(run.trial(run.candidate(each.genome)) is None for each in stage.survivors)
        found.append(
            Generation(
                number=stage.number,
                size=len(stage.survivors),
                new=len(bred - seen),
                failed=len(stage.survivors) - len(fit) - unknown,
                unknown=unknown,
                minimum=compiled.get("minimum"),
                mean=compiled.get("mean"),
                maximum=compiled.get("maximum"),
                hall=tuple((run.candidate(each.genome).key, each.value) for each in hall),
            )
        )
        seen |= bred
    return tuple(found)
