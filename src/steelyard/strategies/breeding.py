"""Genes and how they are bred: DEAP's operators, carried by a sampler of Optuna.

The operators draw from Python's own generator, which a block here seeds for one generation and then puts back, so a
brood is a function of (parents, seed, generation).
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from deap import algorithms, base, tools
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseGASampler
from optuna.trial import FrozenTrial

from steelyard.core.candidate import Candidate, Scale, Space

Genome = tuple[int, ...]
"""One index a gene, into its choices."""


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice of a candidate, by the name and distribution that Optuna knows it by."""

    name: str
    distribution: IntDistribution | CategoricalDistribution

    @property
    def last(self) -> int:
        """The highest index of its choices; the lowest is 0."""
        if isinstance(self.distribution, IntDistribution):
            return self.distribution.high
        return len(self.distribution.choices) - 1

    def value(self, index: int) -> Any:
        """The choice at an index, as Optuna has it: a number or a text."""
        return index if isinstance(self.distribution, IntDistribution) else self.distribution.choices[index]

    def index(self, value: Any) -> int:
        """The inverse of `value`."""
        return int(value) if isinstance(self.distribution, IntDistribution) else self.distribution.choices.index(value)


def genes_of(space: Space) -> tuple[Gene, ...]:
    """The genes of a space: family, the knobs of every family, pipeline, options; those with one choice left out.

    The knobs of the other families are silent: they are inherited, and come to effect with their family.
    """
    genes = [Gene("family", CategoricalDistribution([each.family for each in space.families]))]
    for family in space.families:
        genes += [
            Gene(f"{family.family}.{knob.name}", IntDistribution(0, len(knob.choices) - 1)) for knob in family.knobs
        ]
    for name, choices in (("pipeline", len(space.pipelines)), ("options", len(space.options))):
        genes.append(Gene(name, CategoricalDistribution(list(range(choices)))))
    return tuple(gene for gene in genes if gene.last > 0)


def decoded(genome: Genome, genes: Sequence[Gene], space: Space) -> Candidate:
    """The candidate that a genome stands for."""
    at = {gene.name: index for gene, index in zip(genes, genome, strict=True)}
    family = space.families[at.get("family", 0)]
    settings = ((knob.name, knob.choices[at.get(f"{family.family}.{knob.name}", 0)]) for knob in family.knobs)
    pipeline, options = space.pipelines[at.get("pipeline", 0)], space.options[at.get("options", 0)]
    steps = pipeline if family.is_module else ()
    return Candidate(family.family, Scale(tuple(settings)), steps, space.runtime, options)


@dataclass(frozen=True, slots=True)
class Operators:
    """How a population is bred.

    Attributes:
        population: individuals of a generation.
        tournament: individuals drawn for a parent, of which the fittest becomes one.
        crossover: the chance that two neighbours of the parents exchange what lies between two points.
        mutation: the chance that an individual mutates.
        gene_mutation: the chance of each gene of such an individual to be drawn anew, evenly from all of its choices.
        elite: the best of a generation that live on where the next has weaker ones; those are replaced.
    """

    population: int
    tournament: int = 3
    crossover: float = 0.5
    mutation: float = 0.2
    gene_mutation: float = 0.05
    elite: int = 1


class Fitness(base.Fitness):  # type: ignore[misc]
    """DEAP's fitness of one figure that is maximised; DEAP has no types."""

    weights = (1.0,)


class Individual(list[int]):
    """A genome that DEAP's operators change in place, with the fitness that it had before."""

    __slots__ = ("value",)

    def __init__(self, genome: Sequence[int], value: float) -> None:
        """A copy of a genome."""
        super().__init__(genome)
        self.value = value

    @property
    def genome(self) -> Genome:
        """As a value."""
        return tuple(self)

    @property
    def fitness(self) -> Fitness:
        """DEAP's form of the fitness; made when asked for, because most individuals are never compared by it."""
        return Fitness((self.value,))

    def copy(self) -> "Individual":
        """The same genes and fitness."""
        return Individual(self, self.value)


def first_brood(genes: Sequence[Gene], population: int, seed: int) -> list[Genome]:
    """A random population: each gene evenly from all of its choices."""
    ends = np.array([gene.last + 1 for gene in genes], dtype=np.int64)
    drawn = np.random.default_rng((seed, 0)).integers(0, ends, size=(population, len(genes)))
    return [tuple(int(index) for index in row) for row in drawn]


def brood(
    parents: Sequence[Individual], genes: Sequence[Gene], operators: Operators, seed: int, generation: int
) -> list[Genome]:
    """The offspring of a population, as many as a generation has individuals; O(population).

    Parents are chosen by tournament; then DEAP's `varAnd` crosses neighbours at two points and draws genes anew.

    References:
        F.-A. Fortin et al., DEAP: Evolutionary algorithms made easy, JMLR 2012; T. Bäck et al., Evolutionary
        Computation 1, 2000, chapter 7, for the algorithm.
    """
    toolbox = base.Toolbox()
    toolbox.register("clone", Individual.copy)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register(
        "mutate", tools.mutUniformInt, low=0, up=[gene.last for gene in genes], indpb=operators.gene_mutation
    )
    # Two points need two genes to lie between.
    crossover = operators.crossover if len(genes) > 1 else 0.0
    with _seeded(f"{seed}/{generation}"):
        chosen = tools.selTournament(list(parents), operators.population, operators.tournament, fit_attr="value")
        offspring = algorithms.varAnd(chosen, toolbox, crossover, operators.mutation)
    return [each.genome for each in offspring]


def surviving(elders: Sequence[float], young: Sequence[float], elite: int) -> list[int]:
    """Who lives on, by place among the elders and then the young: the best elders and the young, less the weakest.

    Args:
        elders: fitness of the generation before.
        young: fitness of the offspring.
        elite: how many elders are kept at most.

    Returns:
        As many places as there are young, rising. The fittest of all is always one of them.
    """
    best = sorted(range(len(elders)), key=lambda place: -elders[place])[:elite]
    pool = [*sorted(best), *range(len(elders), len(elders) + len(young))]
    fitness = [*elders, *young]
    # Of equals the elder stays, so that an individual is not replaced by its own copy.
    ranked = sorted(pool, key=lambda place: -fitness[place])
    return sorted(ranked[: len(young)])


@contextmanager
def _seeded(text: str) -> Iterator[None]:
    kept = random.getstate()
    random.seed(text)
    try:
        yield
    finally:
        random.setstate(kept)


class GeneticSampler(BaseGASampler):
    """The genetic algorithm as a sampler: a study of one direction, whose parameters are the genes.

    A trial belongs to the first generation that is not complete. What it is depends on the parents, the seed, and its
    place in the generation, so a study that holds the parents alone goes on like one that holds all.
    """

    def __init__(self, genes: Sequence[Gene], operators: Operators, seed: int, *, begun: int = 0) -> None:
        """A sampler of these genes; `begun` individuals of the first generation it samples are not in the study."""
        super().__init__(population_size=operators.population)
        self._genes = tuple(genes)
        self._operators = operators
        self._seed = seed
        self._begun = begun
        self._independent = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every gene, whatever has been suggested so far."""
        del study, trial
        return {gene.name: gene.distribution for gene in self._genes}

    def select_parent(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        """The generation before, its weakest replaced by the best of those before it."""
        elders = self.get_parent_population(study, generation - 1)
        young = self.get_population(study, generation - 1)
        places = surviving(
            [self._fitness(study, trial) for trial in elders],
            [self._fitness(study, trial) for trial in young],
            self._operators.elite,
        )
        everyone = [*elders, *young]
        return [everyone[place] for place in places]

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The genes of the trial's place in its generation."""
        del search_space
        generation = self.get_trial_generation(study, trial)
        if generation == 0:
            genomes = first_brood(self._genes, self._operators.population, self._seed)
        else:
            parents = self.get_parent_population(study, generation)
            genomes = brood(
                [self._individual(study, parent) for parent in parents],
                self._genes,
                self._operators,
                self._seed,
                generation,
            )
        genome = genomes[self._place(study, trial, generation) % len(genomes)]
        return {gene.name: gene.value(index) for gene, index in zip(self._genes, genome, strict=True)}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """An even draw for what is no gene."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    @classmethod
    def mark(cls, generation: int) -> dict[str, int]:
        """What tells a trial's generation, among its system attributes."""
        return {cls._get_generation_key(): generation}

    def _place(self, study: optuna.Study, trial: FrozenTrial, generation: int) -> int:
        """How many individuals of the generation were begun before this one."""
        key = self._get_generation_key()
        before = (each for each in study.get_trials(deepcopy=False) if each.number < trial.number)
        return self._begun + len([each for each in before if each.system_attrs.get(key) == generation])

    def _individual(self, study: optuna.Study, trial: FrozenTrial) -> Individual:
        return Individual([gene.index(trial.params[gene.name]) for gene in self._genes], self._fitness(study, trial))

    @staticmethod
    def _fitness(study: optuna.Study, trial: FrozenTrial) -> float:
        assert trial.value is not None  # noqa: S101  only complete trials are parents; narrows the type
        return trial.value if study.direction == optuna.study.StudyDirection.MAXIMIZE else -trial.value
