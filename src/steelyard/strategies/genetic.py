"""The genetic algorithm of the textbook, as the baseline to beat."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution

from steelyard.core.candidate import Candidate, Space
from steelyard.core.errors import InputError
from steelyard.core.generation import Generation
from steelyard.core.goal import is_number
from steelyard.core.protocols import Problem
from steelyard.core.trial import Trial
from steelyard.strategies.breeding import GeneticSampler, Operators
from steelyard.strategies.evolution import Ending, Evolution, Stage, reported
from steelyard.strategies.fitness import Weights
from steelyard.strategies.sampled import in_memory, suggested

SMALLEST, LARGEST = 10, 50
"""Limits of a population that is not given: fewer have little to cross, and 50 is the published setting."""
USUAL_ROWS = 4_000
"""Training rows at which the population is twice the square root of the space."""
MOST = 1_000
"""The largest population and the most generations that can be given: more is a slip of the keyboard."""


@dataclass(frozen=True, slots=True)
class Genetic:
    """Breeds populations by tournament, two-point crossover and mutation; every individual is trained from scratch.

    The operators' defaults and the published 50 individuals × 100 generations are those of the textbook approach; the
    population is set from the task unless it is given.

    Attributes:
        population: individuals of a generation; None sets it from the space and the rows (`population_for`).
        generations: bred at most, the random one among them.
        stagnation: generations in a row without a better best one after which the run ends.
        tournament, crossover, mutation, gene_mutation, elite: as of `steelyard.strategies.breeding.Operators`.
        weight_quality and the others: as of `steelyard.strategies.fitness.Weights`.
        rows: training rows of the task, which the engine fills in.
    """

    population: int | None = None
    generations: int = 100
    stagnation: int = 10
    tournament: int = 3
    crossover: float = 0.5
    mutation: float = 0.2
    gene_mutation: float = 0.05
    elite: int = 1
    weight_quality: float = 0.5
    weight_training: float = 0.1
    weight_speed: float = 0.2
    weight_size: float = 0.1
    weight_memory: float = 0.1
    rows: int | None = None
    name: str = "ga"

    def __post_init__(self) -> None:
        """Check every setting.

        Raises:
            InputError: naming the setting.
        """
        limits = {"population": 2, "generations": 1, "stagnation": 1, "tournament": 1, "elite": 1}
        for name, least in limits.items():
            count = getattr(self, name)
            is_open = count is None and name == "population"
            if not is_open and not (_is_whole(count) and least <= count <= MOST):
                raise InputError(f"'{name}' must be a whole number from {least} to {MOST}, got {count!r}.", field=name)
        for name in ("crossover", "mutation", "gene_mutation"):
            chance = getattr(self, name)
            if not is_number(chance) or not 0 <= chance <= 1:
                raise InputError(f"'{name}' must be a number from 0 to 1, got {chance!r}.", field=name)
        Weights(**self._weights())

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """The first individual of the present generation that is neither finished nor pending; references come first.

        None where the run has ended, and where the next generation waits for what is pending.
        """
        run = self._run(space, finished, problem)
        waiting = frozenset(pending)
        for reference in space.references():
            if run.trial(reference) is None and reference not in waiting:
                return reference
        *_, stage = run.stages()
        for place, genome in enumerate(stage.brood):
            candidate = run.candidate(genome)
            if stage.trials[place] is None and candidate not in waiting:
                return _asked(run, stage, place)
        return None

    def generations_of(self, space: Space, finished: Sequence[Trial], problem: Problem) -> tuple[Generation, ...]:
        """Fitness and hall of fame of every generation, as far as the trials go."""
        return reported(self._run(space, finished, problem))

    def population_for(self, space: Space) -> int:
        """Individuals of a generation: as given, else 2 √candidates · (4,000 / rows)^¼, within 10 to 50.

        Four times the candidates double it, sixteen times the rows halve it, because each individual is trained on
        them. Where rows are not known, they count as usual. Never more than there are candidates.
        """
        if self.population is not None:
            return self.population
        scarcity = (USUAL_ROWS / max(self.rows, 1)) ** 0.25 if self.rows else 1.0
        return max(1, min(space.size, LARGEST, max(SMALLEST, round(2 * math.sqrt(space.size) * scarcity))))

    def _run(self, space: Space, finished: Sequence[Trial], problem: Problem) -> Evolution:
        operators = Operators(
            self.population_for(space), self.tournament, self.crossover, self.mutation, self.gene_mutation, self.elite
        )
        ending = Ending(self.generations, self.stagnation)
        return Evolution(space, finished, problem, operators, Weights(**self._weights()), ending)

    def _weights(self) -> dict[str, float]:
        return {name: getattr(self, f"weight_{name}") for name in Weights.__dataclass_fields__}


def _asked(run: Evolution, stage: Stage, place: int) -> Candidate:
    """The individual of a place, as Optuna's sampler gives it on a study that holds the parents."""
    sampler = GeneticSampler(run.genes, run.operators, run.problem.seed, begun=place)
    study = in_memory(sampler, ["maximize"])
    distributions: dict[str, BaseDistribution] = {gene.name: gene.distribution for gene in run.genes}
    for parent in stage.parents:
        params = {gene.name: gene.value(index) for gene, index in zip(run.genes, parent, strict=True)}
        mark = sampler.mark(stage.number - 1)
        told = optuna.trial.create_trial(
            value=parent.value, params=params, distributions=distributions, system_attrs=mark
        )
        study.add_trial(told)
    return suggested(study.ask(), run.space)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


GENETIC = Genetic()
"""The entry of the registry."""
