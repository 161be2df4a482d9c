from pathlib import Path

import pytest

from steelyard.core.errors import DataError, InputError, MissingExtraError
from steelyard.tasks.environment import MOST_STEPS, discount_of, open_world

HERE = Path(__file__).parent / "corridor.py"


def address(name):
    return f"{HERE}:{name}"


def refusal(name):
    with pytest.raises(InputError) as caught:
        open_world(name)
    return caught.value.message


def test_a_world_steps_by_the_index_of_an_action_and_cuts_at_the_limit():
    world = open_world(address("corridor"))
    assert (world.name, world.labels, world.limit, world.is_limited) == ("corridor.py:corridor", (0, 1), 20, True)
    row = world.reset(3)
    assert row in ([0.0], [1.0], [2.0])
    steps = [world.step(0) for _ in range(20)]
    assert steps[-1] == ([0.0], -0.1, False, True)
    assert not any(cut for *_, cut in steps[:-1])
    world.close()


def test_the_same_seed_begins_the_same_episode():
    world = open_world(address("corridor"))
    starts = [world.reset(seed) for seed in range(20)]
    assert starts == [world.reset(seed) for seed in range(20)]
    assert len({start[0] for start in starts}) == 3


def test_an_environment_without_a_limit_gets_ours():
    world = open_world(address("endless"))
    assert (world.limit, world.is_limited) == (MOST_STEPS, False)


def test_the_limit_of_a_registered_environment_is_its_own():
    assert open_world("FrozenLake8x8-v1").limit == 200


def test_the_discount_is_the_functions_own():
    assert discount_of(address("corridor")) == 0.9
    assert discount_of(address("track")) == discount_of("CartPole-v1") == 0.99
    with pytest.raises(InputError) as caught:
        discount_of(address("odd_discount"))
    assert caught.value.message == (
        "'discount' of corridor.py:odd_discount must be a number above 0 and at most 1, got 1.5."
    )


def test_what_no_table_or_network_can_act_in_is_refused():
    assert refusal(address("continuous")) == (
        "environment 'corridor.py:continuous' has continuous actions (Box(-1.0, 1.0, (1,), float32)), and q-learning, "
        "sarsa and dqn choose among discrete ones; wrap it so that each action is one of a list."
    )
    assert refusal(address("spoken")) == (
        "environment 'corridor.py:spoken' shows observations of the kind Text, which can't be read as a row of "
        "numbers; wrap it to show a Box, a Discrete, or a Dict or Tuple of these."
    )


def test_functions_that_give_no_environment_are_refused():
    assert refusal(address("nothing")) == "'data' corridor.py:nothing must return a gymnasium.Env, got NoneType."
    assert refusal(address("raising")) == (
        "'data' corridor.py:raising failed (RuntimeError: no licence); it must take no argument and return a "
        "gymnasium.Env."
    )


def test_names_that_gymnasium_lacks_are_refused_with_what_it_says():
    assert refusal("CartPol-v1") == (
        "'data' must name an environment of gymnasium or file.py:function, got 'CartPol-v1' (Environment `CartPol` "
        "doesn't exist. Did you mean: `CartPole`?)."
    )
    assert refusal("Taxi-v3") == (
        "environment 'Taxi-v3' is too old for this gymnasium: Environment version v3 for `Taxi` is deprecated. Please "
        "use `Taxi-v4` instead."
    )


def test_an_environment_that_fails_is_named():
    world = open_world(address("breaking"))
    world.reset(0)
    with pytest.raises(DataError) as caught:
        world.step(0)
    assert caught.value.message == (
        "environment 'corridor.py:breaking' failed in step (ValueError: the wheel came off); mend it and run again."
    )


def test_a_missing_library_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gymnasium", None)
    with pytest.raises(MissingExtraError) as caught:
        open_world("CartPole-v1")
    assert caught.value.message == (
        "reinforcement learning needs gymnasium; install it with: pip install 'steelyard[rl]'"
    )
