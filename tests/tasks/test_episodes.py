from pathlib import Path

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.core.protocols import Task
from steelyard.tasks.episodes import environment_task, episode_seeds
from steelyard.tasks.playing import Stage, constant_returns, play
from steelyard.tasks.wire import load, save
from steelyard.testing import check_task

HERE = Path(__file__).parent / "corridor.py"


def address(name):
    return f"{HERE}:{name}"


@pytest.fixture(scope="module")
def task():
    return environment_task(address("corridor"), name="corridor", seed=0)


@pytest.fixture(scope="module")
def track():
    return environment_task(address("track"), name="track", seed=0)


def test_the_contract_holds(task, track):
    assert isinstance(task, Task)
    check_task(task)
    check_task(track)


def test_the_task_is_told_from_the_environment(task):
    facts = {fact.name: fact for fact in task.facts}
    assert task.output.labels == (0, 1)
    assert (len(task.valid), len(task.test)) == (250, 500)
    assert facts["states"].text == "states: Discrete(6)"
    assert facts["actions"].text == "2 actions: Discrete(2)"
    assert facts["reward"].text == "rewards from -0.1 to 0.9 a step were seen, 2 different; discount 0.9"
    assert facts["episodes"].value["limit"] == 20
    assert "repeats" not in facts
    assert task.defaults["families"] == ["q-learning", "sarsa"]


def test_numbers_have_the_range_that_was_seen(track):
    seen = track.train.x[:, 0]
    assert (seen.min(), seen.max()) == pytest.approx((-1.0, 0.6))
    assert track.input.columns[0].mean == pytest.approx(float(seen.mean()))
    assert track.defaults["families"] == ["q-learning", "dqn"]


def test_a_seed_fixes_the_task_and_another_changes_it(task):
    again, other = (environment_task(address("corridor"), name="corridor", seed=seed) for seed in (0, 1))
    assert again.data_hash == task.data_hash != other.data_hash


def test_no_seed_of_an_episode_is_in_two_splits():
    splits = [set(episode_seeds(7, split, 500)) for split in range(3)]
    assert [len(each) for each in splits] == [500, 500, 500]
    assert not (splits[0] & splits[1] or splits[1] & splits[2] or splits[0] & splits[2])
    others = [set(episode_seeds(8, split, 500)) for split in range(3)]
    assert not (splits[2] & (others[0] | others[1]))


def test_a_saved_task_plays_in_the_same_environment(task, tmp_path):
    save(task, tmp_path / "task", with_test=False)
    back = load(tmp_path / "task")
    assert back.environment == task.environment
    assert np.array_equal(back.valid.y, task.valid.y)


def test_returns_are_those_of_each_seeds_own_episode(task):
    """Going on from place p earns 1 less a tenth for each of the 5 − p steps."""
    places = task.test.x[:, 0]
    earned = play(task.environment, lambda rows: np.tile([0.0, 1.0], (len(rows), 1)), task.test.y)
    assert earned.shape == (500, 1)
    assert earned[:, 0] == pytest.approx(1 - 0.1 * (5 - places))


def test_going_back_for_ever_is_cut_and_scores_that_are_no_numbers_never_win(task):
    earned = play(task.environment, lambda rows: np.tile([0.0, np.nan], (len(rows), 1)), task.valid.y)
    assert earned[:, 0] == pytest.approx(-2.0)


def test_rows_are_shown_in_the_order_of_the_episodes_whatever_lane_plays_them(task):
    shown = []

    def policy(rows):
        shown.append(len(rows))
        return (rows[:, 0] < 5).astype(int)

    stage = Stage.of(task.environment)
    seeds = task.test.y[:100, 0].tolist()
    one = [float(stage.returns(policy, [seed])[0]) for seed in seeds]
    together = stage.returns(policy, seeds)
    stage.close()
    assert together.tolist() == one
    assert max(shown) == 64


def test_constant_policies_earn_what_they_earn(task):
    back, on = constant_returns(task.environment, 2)
    assert back == pytest.approx(-2.0)
    assert 0.5 <= on <= 0.7


def test_an_environment_that_ignores_its_seed_is_told():
    found = environment_task(address("unseeded"), name="it", seed=0).facts[-1]
    assert found.name == "repeats"
    assert found.text == (
        "the same seed and actions gave another episode: models can't be compared on the same episodes"
    )


def test_an_environment_that_shows_no_numbers_is_refused():
    with pytest.raises(DataError) as caught:
        environment_task(address("holey"), name="it", seed=0)
    assert caught.value.message == (
        "environment 'corridor.py:holey' gave an observation or a reward that is no finite number; mend it."
    )
