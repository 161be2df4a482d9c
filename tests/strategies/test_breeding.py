"""The operators: laws of genes and broods; the sampler in a study of its own breeds what the strategy breeds."""

import random

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.candidate import FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.strategies.breeding import (
    GeneticSampler,
    Individual,
    Operators,
    brood,
    decoded,
    first_brood,
    genes_of,
    surviving,
)
from steelyard.strategies.sampled import in_memory, suggested
from steelyard.testing.fakes import fake_space

TWO = Space(
    (
        FamilySpace("mlp", (Knob("depth", (1,)), Knob("width", (8, 16, 32)))),
        FamilySpace("own", (Knob("kind", ("a", "b")), Knob("skip", (False, True)))),
    ),
    ((), (StepSetting("quantize"),)),
    options=((), (("threads", 2),)),
)
GENES = genes_of(TWO)


@st.composite
def spaces(draw):
    """Spaces of one to three families with up to three knobs of up to five choices."""
    families = [
        FamilySpace(
            name,
            tuple(Knob(f"k{i}", tuple(range(n))) for i, n in enumerate(draw(st.lists(st.integers(1, 5), max_size=3)))),
        )
        for name in "abc"[: draw(st.integers(1, 3))]
    ]
    return Space(tuple(families), draw(st.sampled_from([((),), ((), (StepSetting("quantize"),))])))


def test_genes_are_the_choices_there_are():
    assert [(gene.name, gene.last) for gene in GENES] == [
        ("family", 1),
        ("mlp.width", 2),
        ("own.kind", 1),
        ("own.skip", 1),
        ("pipeline", 1),
        ("options", 1),
    ]


def test_a_genome_keeps_silent_genes_of_other_families():
    first = decoded((0, 2, 1, 1, 1, 0), GENES, TWO)
    assert (first.family, first.scale, first.steps) == ("mlp", Scale.of(depth=1, width=32), TWO.pipelines[1])
    second = decoded((1, 2, 1, 1, 0, 1), GENES, TWO)
    assert (second.family, second.scale, second.options) == ("own", Scale.of(kind="b", skip=True), (("threads", 2),))


@given(spaces(), st.integers(0, 99), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_genes_stay_in_their_range(space, seed, population, mutation, gene_mutation):
    genes = genes_of(space)
    operators = Operators(population, mutation=mutation, gene_mutation=gene_mutation)
    genomes = first_brood(genes, population, seed)
    for generation in range(1, 4):
        parents = [Individual(genome, float(sum(genome))) for genome in genomes]
        genomes = brood(parents, genes, operators, seed, generation)
        assert len(genomes) == population
        for genome in genomes:
            assert all(0 <= index <= gene.last for index, gene in zip(genome, genes, strict=True))
            assert decoded(genome, genes, space) in space


@given(st.integers(0, 99), st.integers(1, 99))
def test_a_brood_is_a_function_of_parents_seed_and_generation(seed, generation):
    parents = [Individual(genome, float(i)) for i, genome in enumerate(first_brood(GENES, 8, seed))]
    before = random.getstate()
    bred = brood(parents, GENES, Operators(8, mutation=1.0, gene_mutation=0.5), seed, generation)
    assert random.getstate() == before
    random.random()
    assert brood(parents, GENES, Operators(8, mutation=1.0, gene_mutation=0.5), seed, generation) == bred
    assert [each.genome for each in parents] == first_brood(GENES, 8, seed)


def test_without_crossover_and_mutation_the_winners_of_tournaments_are_copied():
    parents = [Individual(genome, float(i)) for i, genome in enumerate(first_brood(GENES, 12, 0))]
    bred = brood(parents, GENES, Operators(12, crossover=0.0, mutation=0.0), 0, 1)
    assert set(bred) <= {each.genome for each in parents}
    places = [each.genome for each in parents]
    # The expected best of three of twelve is 8.9 of 0 to 11; an even draw would have 5.5.
    assert sum(places.index(genome) for genome in bred) / 12 > 6.5


def test_crossover_exchanges_genes_and_makes_none():
    parents = [Individual((0,) * 6, 1.0), Individual((1,) * 6, 1.0)]
    bred = brood(parents, GENES, Operators(40, crossover=1.0, mutation=0.0), 3, 1)
    assert any(0 < sum(genome) < 6 for genome in bred)
    assert sum(sum(one) + sum(other) for one, other in zip(bred[::2], bred[1::2], strict=True)) % 6 == 0


fitnesses = st.lists(st.one_of(st.just(float("-inf")), st.integers(-5, 5).map(float)), min_size=1, max_size=9)


@given(fitnesses, fitnesses, st.integers(1, 9))
def test_the_fittest_of_all_lives_on_and_the_weakest_go(elders, young, elite):
    places = surviving(elders, young, elite)
    everyone = [*elders, *young]
    assert len(places) == len(set(places)) == len(young)
    assert places == sorted(places)
    assert max(everyone[place] for place in places) == max(everyone)
    gone = [fitness for place, fitness in enumerate(young, len(elders)) if place not in places]
    assert all(fitness <= everyone[place] for fitness in gone for place in places)


def test_of_a_first_generation_all_live_on():
    assert surviving([], [1.0, float("-inf"), 2.0], 1) == [0, 1, 2]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_sampler_in_a_study_of_its_own_breeds_the_same(direction):
    """By Optuna's own bookkeeping of generations, and by hand."""
    space, operators, sign = fake_space(widths=(1, 2, 4, 8)), Operators(5, mutation=0.8, gene_mutation=0.4), 1.0
    sign = 1.0 if direction == "maximize" else -1.0
    genes = genes_of(space)

    def fitness(candidate):
        return float(candidate.scale["width"] * 3 - candidate.scale["depth"] - len(candidate.steps))

    study = in_memory(GeneticSampler(genes, operators, seed=7), [direction])
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study.optimize(lambda trial: sign * fitness(suggested(trial, space)), n_trials=20)
    parents, bred = [], []
    for generation in range(4):
        genomes = first_brood(genes, 5, 7) if generation == 0 else brood(parents, genes, operators, 7, generation)
        bred += genomes
        young = [Individual(genome, fitness(decoded(genome, genes, space))) for genome in genomes]
        everyone = [*parents, *young]
        parents = [everyone[i] for i in surviving([p.value for p in parents], [y.value for y in young], 1)]
    sampled = [tuple(gene.index(trial.params[gene.name]) for gene in genes) for trial in study.trials]
    assert sampled == bred
