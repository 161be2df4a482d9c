"""Finalists trained again by workers that are made up."""

import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from steelyard import Budget
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space
from steelyard.core.errors import WorkerError
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.messages import Made
from steelyard.engine.reseeding import (
    AGAIN,
    SHARE,
    START_S,
    Reseeding,
    reserve_s,
    seconds_spent,
    seconds_to_make,
    seed_figures,
    shortage,
)
from steelyard.tasks.metrics import METRICS

SPACE = Space((FamilySpace("mlp", (Knob("width", (8, 32)),)),))
FOREVER = float("inf")


def trial(width, accuracy, *, train_s=10.0, stopped="no improvement", number=0):
    metrics = {"accuracy": Quantity(accuracy, "1", n=180), "train_s": Quantity.exact(train_s, "s")}
    seconds = {"train": train_s, "export": 1.0, "measure": 100.0}
    outcome = Measurement(metrics, "0" * 64, {"stopped": stopped})
    return Trial(number, Candidate("mlp", Scale.of(width=width)), outcome, seconds)


REFERENCE, CHOSEN = trial(32, 0.95), trial(8, 0.93)


class Study:
    def __init__(self):
        self.facts = {}

    def get(self, name, default=None):
        return self.facts.get(name, default)

    def put(self, name, value):
        self.facts[name] = value


class Workers:
    """Trainings that end at once: seed s loses s points; seeds of `failing` fail, those of `cut` lack time."""

    def __init__(self, failing=(), cut=(), free=1):
        self.failing, self.cut, self.free, self.got = failing, cut, free, []

    def submit(self, assignment, kill_s):
        del kill_s
        self.got.append(assignment)
        future = Future()
        if assignment.seed in self.failing:
            future.set_exception(WorkerError("it diverged.", stage="train"))
            return future
        value = Quantity(0.95 - 0.01 * assignment.seed, "1")
        notes = {"stopped": "time limit" if assignment.seed in self.cut else "no improvement"}
        future.set_result(Made("", {"accuracy": value.to_json()}, {"train": 2.0}, trained=True, notes=notes))
        return future


def plan(tmp_path, seeds, **fields):
    known = {
        "seed": 0,
        "seeds": seeds,
        "goal_metric": "accuracy",
        "metric": METRICS["accuracy"],
        "out": tmp_path,
        "trial_limit_s": 600.0,
        "workers": 1,
        "budget": Budget(wall_s=600.0),
        "space": SPACE,
    }
    return SimpleNamespace(**{**known, **fields})


def reseed(asked, study, workers, *, finalists=(CHOSEN, REFERENCE), left_s=FOREVER):
    heard = []
    Reseeding(asked, study, workers, heard.append, time.monotonic() + left_s).run(finalists)
    return [each.text for each in heard]


def test_each_finalist_is_trained_with_the_seeds_after_the_study_s_own(tmp_path):
    workers, study = Workers(), Study()
    heard = reseed(plan(tmp_path, 3, seed=7), study, workers)
    assert [(each.candidate.scale["width"], each.seed) for each in workers.got] == [(8, 8), (32, 8), (8, 9), (32, 9)]
    assert heard[0] == "training mlp (width 8) again, with seed 8"
    assert shortage(plan(tmp_path, 3, seed=7), study, (CHOSEN, REFERENCE)) is None


def test_the_spread_holds_the_study_s_own_seed_and_says_how_many(tmp_path):
    study = Study()
    reseed(plan(tmp_path, 3), study, Workers())
    figures = seed_figures(plan(tmp_path, 3), study, REFERENCE)
    assert figures["accuracy_seed_mean"].value == pytest.approx(0.94)
    assert figures["accuracy_seed_sd"].value == pytest.approx(0.01)
    assert figures["accuracy_seed_sd"].n == figures["accuracy_seed_mean"].n == 3
    assert figures["accuracy_seed_sd"].high > 0.01 > figures["accuracy_seed_sd"].low


def test_nothing_is_trained_twice_and_more_seeds_go_on_from_there(tmp_path):
    study = Study()
    reseed(plan(tmp_path, 2), study, Workers())
    again = Workers()
    reseed(plan(tmp_path, 2), study, again)
    assert again.got == []
    reseed(plan(tmp_path, 3), study, again)
    assert [each.seed for each in again.got] == [2, 2]
    # Fewer seeds than are known are answered by the first of them.
    assert seed_figures(plan(tmp_path, 2), study, CHOSEN)["accuracy_seed_sd"].n == 2


def test_one_seed_has_no_spread(tmp_path):
    assert seed_figures(plan(tmp_path, 1), Study(), CHOSEN) == {}


def test_what_does_not_fit_the_time_is_left_out_and_said(tmp_path):
    workers, study = Workers(), Study()
    reseed(plan(tmp_path, 5), study, workers, left_s=START_S + AGAIN * 11 - 0.5)
    assert workers.got == []
    assert shortage(plan(tmp_path, 5), study, (CHOSEN, REFERENCE)) == (
        "the finalists were trained with 1 of 5 seeds; a larger --budget gives them time"
    )
    assert seed_figures(plan(tmp_path, 5), study, CHOSEN) == {}


def test_a_training_that_was_cut_short_does_not_count(tmp_path):
    study = Study()
    reseed(plan(tmp_path, 3), study, Workers(cut=(2,)), left_s=1000.0)
    assert seed_figures(plan(tmp_path, 3), study, CHOSEN)["accuracy_seed_sd"].n == 2


def test_a_model_that_was_cut_short_gives_other_seeds_its_own_time(tmp_path):
    workers, study = Workers(cut=(1,)), Study()
    first = trial(8, 0.93, train_s=12.0, stopped="time limit")
    reseed(plan(tmp_path, 2), study, workers, finalists=(first,), left_s=1000.0)
    assert [each.limit_s for each in workers.got] == [12.0]
    assert seed_figures(plan(tmp_path, 2), study, first)["accuracy_seed_sd"].n == 2


def test_a_failure_is_told_and_not_tried_again(tmp_path):
    study, again = Study(), Workers()
    reseed(plan(tmp_path, 3), study, Workers(failing=(2,)))
    assert shortage(plan(tmp_path, 3), study, (CHOSEN, REFERENCE)) == (
        "the finalists were trained with 2 of 3 seeds; a training failed: it diverged"
    )
    reseed(plan(tmp_path, 3), study, again)
    assert again.got == []


def test_files_of_other_seeds_are_not_kept(tmp_path):
    folder = tmp_path / "artifacts" / "fits" / "seed1"
    folder.mkdir(parents=True)
    reseed(plan(tmp_path, 2), Study(), Workers())
    assert not folder.exists()


def test_seconds_of_other_seeds_are_spent_too(tmp_path):
    study = Study()
    assert list(seconds_spent(study)) == []
    reseed(plan(tmp_path, 2), study, Workers(failing=(1,)))
    reseed(plan(tmp_path, 3), study, Workers())
    assert [each for each in seconds_spent(study) if each] == [{"train": 2.0}] * 2


def test_the_time_kept_back_grows_with_seeds_and_never_takes_more_than_its_share(tmp_path):
    trials = [trial(32, 0.95, train_s=20.0), trial(8, 0.9, train_s=8.0, number=1)]
    assert seconds_to_make(trials[0]) == 21.0
    assert reserve_s(plan(tmp_path, 1), trials) == 0.0
    assert reserve_s(plan(tmp_path, 3), []) == 0.0
    assert reserve_s(plan(tmp_path, 3, budget=Budget(None, 5)), trials) == 0.0
    assert reserve_s(plan(tmp_path, 3), trials) == START_S + AGAIN * 2 * (21 + 15)
    assert reserve_s(plan(tmp_path, 3, workers=4), trials) == START_S + AGAIN * (21 + 15)
    assert reserve_s(plan(tmp_path, 100), trials) == SHARE * 600.0
    # REFERENCE is the largest scale of the space: its trial is the reference's.
    assert REFERENCE.key in {each.key for each in SPACE.references()}
