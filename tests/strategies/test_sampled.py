"""TPE and NSGA-II find what is planted, better than chance. Fixed seeds, no clocks."""

from dataclasses import replace

import numpy as np
import optuna
import pytest

from steelyard.core.candidate import FamilySpace, Knob, Space
from steelyard.core.trial import Stopped
from steelyard.strategies.sampled import NSGA2, TPE, _params, siblings, suggested
from steelyard.strategies.uniform import RANDOM
from steelyard.testing.fakes import FakeProblem, fake_space, measured

SIDE = 16
SPACE = Space((FamilySpace("f", tuple(Knob(name, tuple(range(SIDE))) for name in "abc")),))
THREADS = Space(SPACE.families, options=((), (("threads", 2),)))
TARGET = (12, 3, 9)
TRIALS = 48
SEEDS = range(4)


def distances(strategy, seed):
    """Chebyshev distances to the planted optimum in the order proposed; both objectives grow with the distance."""
    problem = FakeProblem(seed=seed, objectives=("accuracy", "latency_p50_s"))
    finished = []
    for number in range(TRIALS):
        candidate = strategy.propose(SPACE, finished, [], problem)
        at = np.array([candidate.scale[name] for name in "abc"])
        off = np.abs(at - TARGET)
        finished.append(
            measured(
                number,
                candidate,
                quality=1.0 - float((off**2).sum()) / 1000.0,
                latency_s=1e-5 * (1.0 + float(off.sum())),
            )
        )
        yield int(off.max())


def later_half(strategy):
    """Mean distance of what is proposed in the later half of the searches, and how many that are."""
    later = [each for seed in SEEDS for each in list(distances(strategy, seed))[TRIALS // 2 :]]
    return np.mean(later), len(later)


@pytest.fixture(scope="module")
def chance():
    """Mean and standard deviation of the distance over the whole space: what an even draw gets."""
    axes = [np.abs(np.arange(SIDE) - at) for at in TARGET]
    everything = np.maximum(np.maximum(axes[0][:, None, None], axes[1][None, :, None]), axes[2][None, None, :])
    return float(everything.mean()), float(everything.std())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [TPE, NSGA2], ids=lambda each: each.name)
def test_samplers_come_nearer_to_a_planted_optimum_than_chance(strategy, chance):
    """By four standard errors: chance does that once in 30,000 searches."""
    mean, n = later_half(strategy)
    assert mean < chance[0] - 4 * chance[1] / np.sqrt(n)


@pytest.mark.slow
def test_random_search_is_as_near_as_chance(chance):
    mean, n = later_half(RANDOM)
    assert abs(mean - chance[0]) < 4 * chance[1] / np.sqrt(n)


@pytest.mark.parametrize("space", [fake_space(), SPACE, THREADS], ids=["two pipelines", "three knobs", "options"])
def test_a_candidate_survives_the_way_into_optuna_and_back(space):
    for candidate in list(space.candidates())[::7]:
        params, distributions = _params(candidate, space)
        assert params.keys() == distributions.keys()
        assert suggested(optuna.trial.FixedTrial(params), space) == candidate


def test_proposing_leaves_optunas_verbosity_alone():
    before = optuna.logging.get_verbosity()
    TPE.propose(fake_space(), [], [], FakeProblem())
    assert optuna.logging.get_verbosity() == before


def test_the_other_pipelines_of_a_long_training_come_first():
    space = fake_space()
    plain = next(space.candidates())
    trial = replace(measured(0, plain, quality=0.9), seconds={"train": 60.0})
    sibling = TPE.propose(space, [trial], [], FakeProblem())
    assert (sibling.scale, sibling.steps) == (plain.scale, space.pipelines[1])
    assert list(siblings(space, [replace(trial, seconds={"train": 0.5})])) == []
    stopped = replace(trial, outcome=Stopped(4, "accuracy", 0.4, 0.6, 0.7, "front"))
    assert list(siblings(space, [stopped])) == []
