"""The genetic algorithm: what holds of every run, driven from a table without the engine."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.candidate import FamilySpace, Knob, Space, StepSetting
from steelyard.core.errors import InputError
from steelyard.core.goal import Goal
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.problem import StudyProblem
from steelyard.strategies.genetic import Genetic
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import failed

SPACE = Space(
    (FamilySpace("cnn", (Knob("depth", (1, 2, 3)), Knob("width", (4, 8, 16, 32)))),), ((), (StepSetting("quantize"),))
)
LIVELY = Genetic(population=8, mutation=0.6, gene_mutation=0.3, stagnation=6)


def answer(number, candidate, fails=lambda candidate: False):
    """A row of the table: quality saturates with the scale, costs grow with it."""
    if fails(candidate):
        return failed(number, candidate)
    width, depth = candidate.scale["width"], candidate.scale["depth"]
    int8 = len(candidate.steps)
    figures = {
        "latency_p50_s": Quantity(1e-6 * width * depth / (1 + int8), "s"),
        "size_bytes": Quantity.exact(4 * width * width * depth / (1 + 3 * int8), "B"),
        "train_s": Quantity(1.0 + width * depth, "s"),
    }
    accuracy = 0.99 - 0.2 / width - 0.02 / depth - 0.003 * int8
    return Trial(number, candidate, Measurement({"accuracy": Quantity(accuracy), **figures}, "0" * 64), {}, True)


def problem(seed=0, **goal):
    return StudyProblem(Goal(**goal), METRICS["accuracy"], seed)


def replay(strategy, seed=0, *, space=SPACE, workers=1, most=10_000, fails=lambda candidate: False):
    """The finished trials of a run, answered from the table in the order proposed."""
    finished, pending = [], []
    while len(finished) < most:
        candidate = strategy.propose(space, finished, pending, problem(seed)) if len(pending) < workers else None
        if candidate is not None:
            assert candidate in space
            assert candidate not in {trial.candidate for trial in finished} | set(pending)
            pending.append(candidate)
        elif pending:
            finished.append(answer(len(finished), pending.pop(0), fails))
        else:
            break
    return finished


seeds = st.integers(0, 10_000)


@settings(max_examples=8, deadline=None)
@given(seeds, st.integers(1, 4))
def test_a_run_repeats_no_candidate_and_ends(seed, workers):
    finished = replay(LIVELY, seed, workers=workers)
    keys = [trial.key for trial in finished]
    assert len(keys) == len(set(keys)) <= SPACE.size
    assert finished[0].candidate == SPACE.references()[0]


@settings(max_examples=8, deadline=None)
@given(seeds, st.sets(st.integers(0, 23), max_size=20))
def test_the_best_is_never_lost_and_generations_have_the_size_asked(seed, bad):
    barred = {candidate for place, candidate in enumerate(SPACE.candidates()) if place in bad}
    finished = replay(LIVELY, seed, fails=lambda candidate: candidate in barred)
    told = LIVELY.generations_of(SPACE, finished, problem(seed))
    assert [each.number for each in told] == list(range(len(told)))
    assert {each.size for each in told} == {8}
    for before, after in itertools.pairwise(told):
        if before.maximum is not None:
            assert after.maximum >= before.maximum
            assert after.hall[0][1] >= before.hall[0][1]
    for each in told:
        assert each.unknown == 0
        if each.maximum is None:
            assert each.failed == 8
        else:
            assert each.minimum <= each.mean <= each.maximum + 1e-12
            assert each.maximum == each.hall[0][1]
    assert 1 <= len(told) <= LIVELY.generations


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_the_same_seed_is_the_same_run_however_many_workers(seed):
    """References apart, individuals come in the order bred; how many are tried at once changes no generation."""
    one, three = (replay(LIVELY, seed, workers=workers) for workers in (1, 3))
    assert [trial.candidate for trial in one] == [trial.candidate for trial in replay(LIVELY, seed)]
    assert [trial.candidate for trial in one] == [trial.candidate for trial in three]
    same = [LIVELY.generations_of(SPACE, trials, problem(seed)) for trials in (one, three)]
    assert same[0] == same[1]


@settings(max_examples=5, deadline=None)
@given(seeds, st.integers(1, 20))
def test_an_earlier_part_of_a_run_tells_the_same_generations(seed, cut):
    whole = replay(LIVELY, seed)
    told = LIVELY.generations_of(SPACE, whole, problem(seed))
    part = [each for each in LIVELY.generations_of(SPACE, whole[:cut], problem(seed)) if not each.unknown]
    assert list(told[: len(part)]) == part


def test_another_seed_is_another_run():
    runs = {tuple(trial.key for trial in replay(LIVELY, seed)) for seed in range(5)}
    assert len(runs) == 5


def test_trials_of_another_strategy_are_known_and_not_tried_again():
    """A study that was searched by the grid: every individual has its fitness, and the run ends at once."""
    finished = [answer(number, each) for number, each in enumerate(SPACE.candidates())]
    assert LIVELY.propose(SPACE, finished, [], problem()) is None
    told = LIVELY.generations_of(SPACE, finished, problem())
    # The same generations as those that the run itself went through.
    assert told == LIVELY.generations_of(SPACE, replay(LIVELY), problem())


def test_it_ends_by_stagnation_and_by_generations():
    finished = replay(LIVELY)
    told = LIVELY.generations_of(SPACE, finished, problem())
    assert [each.maximum for each in told[-7:]] == [told[-1].maximum] * 7
    few = Genetic(population=8, generations=2, mutation=0.6, gene_mutation=0.3)
    assert len(few.generations_of(SPACE, replay(few), problem())) == 2


def test_a_generation_waits_for_what_is_pending():
    pending = []
    while (candidate := LIVELY.propose(SPACE, [], pending, problem())) is not None:
        pending.append(candidate)
    # The reference, and the individuals of the first generation, each once.
    assert pending[0] == SPACE.references()[0]
    assert 2 < len(pending) == len(set(pending)) <= 9


def test_a_first_generation_does_not_wait_for_the_reference_but_the_second_does():
    reference = SPACE.references()[0]
    finished = []
    while (candidate := LIVELY.propose(SPACE, finished, [reference], problem())) is not None:
        finished.append(answer(len(finished), candidate))
    assert LIVELY.generations_of(SPACE, finished, problem()) == ()
    finished.append(answer(len(finished), reference))
    assert LIVELY.propose(SPACE, finished, [], problem()) is not None


def test_where_the_reference_failed_the_best_of_the_first_generation_is_the_yardstick():
    finished = replay(LIVELY, fails=lambda each: each == SPACE.references()[0])
    told = LIVELY.generations_of(SPACE, finished, problem())
    assert all(math.isfinite(each.maximum) and each.maximum >= 0 for each in told)


def test_where_everything_fails_it_ends():
    finished = replay(LIVELY, fails=lambda each: True)
    told = LIVELY.generations_of(SPACE, finished, problem())
    assert len(told) == LIVELY.stagnation + 1
    assert {(each.failed, each.maximum, each.hall) for each in told} == {(8, None, ())}


def test_an_unfinished_generation_is_told_with_what_is_known():
    finished = replay(LIVELY, most=4)
    (only,) = LIVELY.generations_of(SPACE, finished, problem())
    assert only.unknown > 0
    assert only.unknown + only.failed < only.size == 8
    assert LIVELY.generations_of(SPACE, finished[1:], problem()) == ()
    assert LIVELY.generations_of(SPACE, [], problem()) == ()


def test_evolution_finds_fitter_ones_than_the_first_generation_had():
    gains = []
    for seed in range(8):
        told = LIVELY.generations_of(SPACE, replay(LIVELY, seed), problem(seed))
        gains.append(told[-1].maximum - told[0].maximum)
    assert min(gains) >= 0
    assert sum(gain > 0 for gain in gains) >= 4


@pytest.mark.parametrize(
    ("size", "rows", "population"),
    [
        (96, None, 20),
        (96, 4_000, 20),
        (96, 64_000, 10),
        (384, 4_000, 39),
        (10**6, 4_000, 50),
        (24, 10**9, 10),
        (1, 5, 1),
    ],
)
def test_the_population_goes_by_the_space_and_the_rows(size, rows, population):
    space = Space((FamilySpace("own", (Knob("width", tuple(range(size))),)),))
    assert Genetic(rows=rows).population_for(space) == population
    assert Genetic(rows=rows, population=33).population_for(space) == 33


REFUSED = [
    ({"population": 1}, "'population' must be a whole number from 2 to 1000, got 1."),
    ({"population": 2.5}, "'population' must be a whole number from 2 to 1000, got 2.5."),
    ({"generations": 0}, "'generations' must be a whole number from 1 to 1000, got 0."),
    ({"generations": None}, "'generations' must be a whole number from 1 to 1000, got None."),
    ({"stagnation": 10**6}, "'stagnation' must be a whole number from 1 to 1000, got 1000000."),
    ({"tournament": True}, "'tournament' must be a whole number from 1 to 1000, got True."),
    ({"elite": 0}, "'elite' must be a whole number from 1 to 1000, got 0."),
    ({"crossover": 1.5}, "'crossover' must be a number from 0 to 1, got 1.5."),
    ({"mutation": math.nan}, "'mutation' must be a number from 0 to 1, got nan."),
    ({"gene_mutation": "x"}, "'gene_mutation' must be a number from 0 to 1, got 'x'."),
    ({"weight_size": -1}, "'weight_size' must be a finite number of at least 0, got -1."),
    (
        {"weight_quality": 0},
        "'weight_quality' must be a positive finite number, because a search for smallness alone ends at the smallest "
        "model, got 0.",
    ),
]


@pytest.mark.parametrize(("given_settings", "message"), REFUSED)
def test_settings_are_checked(given_settings, message):
    with pytest.raises(InputError) as caught:
        Genetic(**given_settings)
    assert str(caught.value) == message
    assert caught.value.field == next(iter(given_settings))


def test_the_yardstick_waits_for_the_references_of_all_families():
    knobs = SPACE.families[0].knobs
    space = Space((FamilySpace("cnn", knobs), FamilySpace("mlp", knobs)))
    finished = replay(LIVELY, space=space)
    assert [trial.candidate for trial in finished[:2]] == list(space.references())
    assert LIVELY.generations_of(space, [finished[0], *finished[2:]], problem()) == ()
    assert LIVELY.generations_of(space, finished, problem())
