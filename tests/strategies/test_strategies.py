"""What holds for every strategy that ships."""

import subprocess
import sys

import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.testing import check_strategy
from steelyard.testing.fakes import FakeProblem, fake_space
from steelyard.testing.strategies import simulate, succeeds

NAMES = registry.names("strategy")
SPACES = {
    "small": fake_space(),
    "one candidate": Space((FamilySpace("fixed"),)),
    "one scale": Space((FamilySpace("own", (Knob("width", (32,)),)),), ((), (StepSetting("quantize"),))),
    "two families": Space(
        (
            FamilySpace("mlp", (Knob("depth", (1, 2)), Knob("width", (8, 16)))),
            FamilySpace("linear", (Knob("features", (2, 4, 8)),)),
            FamilySpace("baseline"),
        ),
        ((), (StepSetting("quantize"),)),
    ),
    "options": Space(
        (FamilySpace("mlp", (Knob("width", (8, 16)),)), FamilySpace("baseline")),
        ((), (StepSetting("quantize"),)),
        options=((), (("threads", 2),), (("arena", False), ("threads", 2))),
    ),
    "words": Space((FamilySpace("own", (Knob("kind", ("a", "b", "c")), Knob("skip", (False, True)))),)),
}
LARGE = Space(tuple(FamilySpace(name, (Knob("a", tuple(range(300))), Knob("b", tuple(range(300))))) for name in "xy"))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", NAMES)
def test_the_contract_holds(name, space):
    check_strategy(registry.get("strategy", name), space, exhausts=name not in ("ga", "grow", "compound", "shrink"))


@pytest.mark.parametrize("name", ["random", "grid"])
def test_a_space_that_is_too_large_to_list_is_searched(name):
    """No proposal twice, each in the space; 200,000 candidates are not enumerated by random."""
    strategy, problem = registry.get("strategy", name), FakeProblem()
    finished = []
    for number in range(12):
        candidate = strategy.propose(LARGE, finished, [], problem)
        assert candidate in LARGE
        finished.append(succeeds(number, candidate))
    assert len({trial.key for trial in finished}) == 12


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "tpe", "nsga2", "ga"])
def test_another_seed_is_another_search(name):
    strategy = registry.get("strategy", name)
    assert simulate(strategy, fake_space(), succeeds, seed=0) == simulate(strategy, fake_space(), succeeds, seed=0)
    assert simulate(strategy, fake_space(), succeeds, seed=0) != simulate(strategy, fake_space(), succeeds, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_another_process_makes_the_same_proposals(name):
    """Resuming after a kill: hashes of texts differ between processes, proposals must not."""
    code = (
        "from steelyard.builtin import registry\n"
        "from steelyard.testing.fakes import fake_space\n"
        "from steelyard.testing.strategies import succeeds, simulate\n"
        f"print(*[each.key for each in simulate(registry.get('strategy', {name!r}), fake_space(), succeeds)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = simulate(registry.get("strategy", name), fake_space(), succeeds)
    assert done.stdout.split() == [each.key for each in here]


def test_a_scale_of_another_search_does_not_confuse_a_sampler():
    """A study whose knobs were narrowed holds trials outside of the space."""
    problem = FakeProblem()
    outside = fake_space(widths=(99,)).families[0].smallest
    assert outside == Scale.of(width=99, depth=1)
    finished = [succeeds(i, each) for i, each in enumerate(fake_space(widths=(99, 100)).candidates())]
    for name in NAMES:
        assert registry.get("strategy", name).propose(fake_space(), finished, [], problem) in fake_space()
