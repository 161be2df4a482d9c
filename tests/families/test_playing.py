"""Families that learn by playing, on a corridor that must be walked to its end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Scale
from steelyard.core.errors import DataError
from steelyard.families.bins import Bins
from steelyard.families.qnetwork import Settings, fit_network
from steelyard.families.tdlearning import Schedule, learn
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.tasks.episodes import environment_task
from steelyard.tasks.playing import play
from steelyard.testing import check_family
from steelyard.testing.fakes import FakeTask

CORRIDOR = Path(__file__).parents[1] / "tasks" / "corridor.py"
QUICK = Schedule(steps=4_000, look_every=1_000)
PLAYING = {name: registry.get("family", name) for name in ("q-learning", "sarsa", "dqn")}


def task_of(name, kept=20):
    task = environment_task(f"{CORRIDOR}:{name}", name=name, seed=0)
    return replace(task, valid=replace(task.valid, x=task.valid.x[:kept], y=task.valid.y[:kept]))


@pytest.fixture(scope="module")
def corridor():
    return task_of("corridor")


@pytest.fixture(scope="module")
def track():
    return task_of("track")


@pytest.mark.parametrize("rule", ["q-learning", "sarsa"])
def test_tables_learn_what_going_on_is_worth(rule, corridor):
    """At place p the goal is 5 − p steps of −0.1 away and gives 1, all discounted by 0.9 a step."""
    learned = learn(corridor, Bins.of(corridor, 1), rule, seed=0, limit_s=60.0, schedule=QUICK)
    worth = [0.9]
    for _ in range(4):
        worth.append(-0.1 + 0.9 * worth[-1])
    places = slice(0, 5)
    assert learned.table[places].argmax(axis=1).tolist() == [1] * 5
    if rule == "q-learning":
        assert learned.table[places, 1] == pytest.approx(worth[::-1], abs=0.05)
    assert learned.visits[places].min() > 0
    assert learned.curve["epoch"] == [float(each + 1) for each in range(len(learned.curve["epoch"]))]


def test_the_same_seed_gives_the_same_table(corridor):
    bins = Bins.of(corridor, 1)
    one, again, other = (
        learn(corridor, bins, "sarsa", seed=seed, limit_s=60.0, schedule=QUICK).table for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_limit_ends_the_learning(corridor):
    learned = learn(corridor, Bins.of(corridor, 1), "q-learning", seed=0, limit_s=0.0, schedule=QUICK)
    assert learned.stopped == "time limit"
    assert len(learned.curve["epoch"]) == 1


@pytest.mark.parametrize("name", ["q-learning", "sarsa"])
def test_files_of_tables_earn_what_the_best_policy_does(name, track, tmp_path):
    path = tmp_path / "model.onnx"
    notes = PLAYING[name].fit(Scale((("bits", 4), ("bins", 6), ("rows", 8))), track, 0, path, 5.0)
    earned = play(track.environment, OnnxRuntime().load(path).run, track.test.y)
    assert earned.mean() > 0.45
    assert notes["states"]["of"] == 36
    assert notes["train_s"] > 0


def test_candidates_with_the_same_bins_share_what_was_learned(corridor, tmp_path):
    family = type(PLAYING["sarsa"])("sarsa", "sarsa")
    notes = [
        family.fit(Scale((("bits", bits), ("rows", 6))), corridor, 0, tmp_path / f"{bits}.onnx", 0.0)
        for bits in (4, 32)
    ]
    assert notes[0] == notes[1]


def test_a_network_learns_and_is_written(track, tmp_path):
    settings = Settings(
        steps=2_048, begin=256, look_every=512, exploring=0.5, updates=32, target_every=32, patience=3, rate=5e-3
    )
    scale, path = Scale((("depth", 1), ("width", 16))), tmp_path / "model.onnx"
    notes = fit_network(scale, track, 0, path, 60.0, settings=settings)
    earned = play(track.environment, OnnxRuntime().load(path).run, track.test.y)
    assert earned.mean() > 0.45
    assert max(notes["curve"]["valid_quality"]) > 0.45
    assert notes["parity"]["max_abs"] < 1e-3


@pytest.mark.parametrize("name", PLAYING)
def test_rows_with_answers_are_refused(name):
    assert PLAYING[name].refusal(FakeTask.table()) == (
        "it learns by playing in an environment, and this task has rows with answers"
    )
    check_family(PLAYING[name], FakeTask.values())


def test_trees_refuse_what_is_learned_by_playing(corridor):
    assert registry.get("family", "trees").refusal(corridor) == (
        "it learns from rows with answers; q-learning, sarsa and dqn learn by playing"
    )


def test_knobs_come_from_the_states(corridor, track):
    knobs = {knob.name: knob.choices for knob in PLAYING["q-learning"].knobs(corridor)}
    assert knobs == {"rows": (6,), "bits": (4, 8, 32)}
    knobs = {knob.name: knob.choices for knob in PLAYING["q-learning"].knobs(track)}
    assert knobs == {"bins": (4, 6, 8, 12, 16, 24, 32), "rows": (8, 64, 1024), "bits": (4, 8, 32)}
    knobs = {knob.name: knob.choices for knob in PLAYING["dqn"].knobs(track)}
    assert knobs == {"depth": (1, 2), "width": (8, 16, 32, 64, 128)}


def test_too_many_columns_for_a_table_are_refused(track):
    columns = tuple(replace(track.input.columns[0], name=f"x{i}") for i in range(9))
    wide = replace(
        track,
        input=replace(track.input, columns=columns),
        **{
            name: replace(rows, x=np.repeat(rows.x[:, :1], 9, axis=1))
            for name in ("train", "valid", "test")
            for rows in [getattr(track, name)]
        },
    )
    assert PLAYING["sarsa"].refusal(wide) == (
        "9 columns of an observation make a table of more than 50,000 entries; dqn learns them with a network"
    )


def test_an_environment_that_fails_ends_the_learning(corridor):
    broken = replace(corridor, environment=f"{CORRIDOR}:breaking")
    with pytest.raises(DataError, match="the wheel came off"):
        learn(broken, Bins.of(corridor, 1), "q-learning", seed=0, limit_s=1.0, schedule=QUICK)


def test_the_baseline_takes_the_action_that_earns_most_by_itself(corridor):
    outputs = registry.get("family", "baseline").build(Scale(), corridor, 0).body.outputs.numpy()
    assert outputs.shape == (1, 2)
    assert outputs.argmax() == 1
