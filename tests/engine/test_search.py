"""One small study, asked in many ways."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import steelyard
from steelyard import Budget, Goal
from steelyard.core.errors import StudyError

KNOBS = {"depth": (1,), "width": (8, 32)}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "digits"
    outcome = ask(out)
    return out, outcome


def ask(out, *, goal=None, trials=5, **options):
    return steelyard.find(
        "digits",
        model="mlp",
        strategy="grid",
        knobs=KNOBS,
        goal=goal or Goal(max_drop=0.05),
        budget=Budget(wall_s=None, trials=trials),
        out=out,
        **options,
    )


def test_every_candidate_of_a_small_grid_is_confirmed_once(study):
    _, outcome = study
    assert outcome.counts == {"explored": 5, "trained": 2, "measured": 5, "failed": 0}
    assert len({point.key for point in outcome.points}) == 5


def test_the_chosen_point_is_on_the_front_and_no_reference(study):
    _, outcome = study
    assert outcome.chosen.key in {point.key for point in outcome.front}
    assert outcome.chosen.key != outcome.reference.key


def test_every_point_has_every_cost_with_an_interval(study):
    _, outcome = study
    for point in outcome.points:
        for name in ("latency_p50_s", "latency_p95_s", "peak_memory_bytes", "size_bytes", "parameters", "macs"):
            quantity = point.metrics[name]
            assert quantity.low is not None
            assert quantity.high is not None
            assert quantity.low <= quantity.value <= quantity.high


def test_the_baseline_stands_in_every_answer(study):
    _, outcome = study
    assert [point.metrics["accuracy"].value < 0.2 for point in outcome.points if point.family == "baseline"] == [True]


def test_test_figures_stand_on_the_reference_the_chosen_and_the_tested_only(study):
    _, outcome = study
    tested = {point.key for point in outcome.points if "proof" in point.notes}
    shown = {point.key for point in outcome.points if "accuracy_test" in point.metrics}
    assert shown == tested | {outcome.reference.key, outcome.chosen.key}


def test_the_json_says_the_same_as_the_values(study):
    _, outcome = study
    plain = outcome.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False))["chosen"]["key"] == outcome.chosen.key
    assert steelyard.Outcome.from_json(plain).to_json() == plain


def test_the_same_question_again_gives_the_same_answer_without_a_new_look(study):
    out, outcome = study
    again = ask(out)
    assert again.chosen.key == outcome.chosen.key
    assert again.status == outcome.status
    assert again.drop.looks == outcome.drop.looks
    assert again.counts == outcome.counts


def test_a_stricter_limit_at_the_same_drop_takes_no_new_look_where_a_proved_point_meets_it(study):
    out, outcome = study
    size = outcome.chosen.metrics["size_bytes"].value
    again = ask(out, goal=Goal(max_drop=0.05, max_size_bytes=size))
    assert again.chosen.metrics["size_bytes"].value <= size
    assert again.drop.looks == outcome.drop.looks


def test_an_impossible_limit_is_infeasible_and_names_what_is_missed(study):
    out, _ = study
    outcome = ask(out, goal=Goal(max_drop=0.05, max_size_bytes=10))
    assert outcome.status == "infeasible"
    assert [miss.limit for miss in outcome.misses][:1] == ["max_size"]
    assert (out / "model.onnx").is_file()


def test_another_seed_is_refused_with_the_difference(study):
    out, _ = study
    with pytest.raises(StudyError, match=r"holds another study .*seed was 0, now 1"):
        ask(out, seed=1)


def test_a_bundle_predicts_what_the_outcome_says(study):
    out, outcome = study
    ask(out)
    task = steelyard.resolve("digits").task
    model = steelyard.load(out)
    accuracy = float((model.predict(task.test.x) == task.test.y).mean())
    assert accuracy == pytest.approx(steelyard.load(out).manifest["metrics"]["accuracy_test"]["value"])
    assert outcome.bundle == out.resolve()


def test_a_bundle_predicts_without_torch(study):
    out, _ = study
    code = (
        "import sys, numpy\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'sklearn', 'optuna', 'polars', 'onnx', 'scipy'):\n"
        "            raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        "import steelyard\n"
        f"print(steelyard.load({str(out)!r}).predict(numpy.zeros((3, 8, 8))).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "(3,)\n"


def test_another_point_is_packed_with_its_own_claim(study, tmp_path):
    out, outcome = study
    other = next(point for point in outcome.front if point.key != outcome.chosen.key and point.family != "baseline")
    packed = steelyard.api.pack(out, other.key, tmp_path / "other")
    assert packed.chosen.key == other.key
    assert steelyard.load(tmp_path / "other").predict(np.zeros((2, 8, 8))).shape == (2,)


def test_permuting_test_labels_changes_no_trial_front_or_order(study, tmp_path):
    from dataclasses import replace

    from steelyard.core.task import Rows

    _, outcome = study
    task = steelyard.resolve("digits").task
    shuffled = np.random.default_rng(0).permutation(task.test.y)
    other = replace(task, test=Rows(task.test.x, shuffled), data_hash="another")
    lost = steelyard.find(
        other,
        model="mlp",
        strategy="grid",
        knobs=KNOBS,
        goal=Goal(max_drop=0.05),
        budget=Budget(wall_s=None, trials=5),
        out=tmp_path / "shuffled",
    )
    assert {point.key for point in lost.points} == {point.key for point in outcome.points}
    for name in ("accuracy", "accuracy_train", "size_bytes", "parameters"):
        before = {point.key: point.metrics[name].value for point in outcome.points}
        assert {point.key: point.metrics[name].value for point in lost.points} == before
    assert lost.reference.key == outcome.reference.key
    first = {point.key: point.notes["valid_drop"] for point in outcome.points}
    assert {point.key: point.notes["valid_drop"] for point in lost.points} == first


def test_a_killed_study_goes_on_where_it_stopped(tmp_path, study, every_processor):
    _, whole = study
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "steelyard.cli.main", "find", "digits", "--model", "mlp", "--strategy", "grid"]
    options = ["--knob", "depth=1", "--knob", "width=8,32", "--max-drop", "0.05", "--trials", "5", "--out", str(out)]
    process = subprocess.Popen(
        [*command, *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    for line in process.stderr or ():
        if line.startswith("[2]"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    outcome = ask(out)
    assert outcome.counts["measured"] == 5
    assert {p.key: p.metrics["accuracy"].value for p in outcome.points} == {
        p.key: p.metrics["accuracy"].value for p in whole.points
    }


def test_a_second_process_on_the_same_directory_is_refused_by_name(tmp_path, study):
    from steelyard.store.lock import StudyLock

    out, _ = study
    with StudyLock(out):
        done = subprocess.run(
            [sys.executable, "-m", "steelyard.cli.main", "find", "digits", "--model", "mlp", "--out", str(out)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"is in use by process {os.getpid()}" in done.stderr


@pytest.mark.bench  # Two minutes: each measuring process imports torch.
def test_a_warm_start_measures_the_front_for_another_runtime_and_trains_nothing(study, tmp_path):
    out, _ = study
    warm = steelyard.find(
        "digits",
        model="mlp",
        strategy="grid",
        knobs=KNOBS,
        runtime="torch",
        warm_start=out,
        goal=Goal(max_drop=0.05),
        budget=Budget(wall_s=None, trials=3),
        seeds=2,
        out=tmp_path / "warm",
    )
    assert warm.counts == {"explored": 3, "trained": 0, "measured": 3, "failed": 0}
    assert {str(point.candidate) for point in warm.points if point.notes.get("taken_over")} == {
        "mlp (depth 1, width 8)",
        "mlp (depth 1, width 32)",
    }
    assert len({point.key for point in warm.points}) == 3
    for point in (warm.chosen, warm.reference):
        assert point.metrics["accuracy_seed_sd"].n == point.metrics["accuracy_seed_mean"].n == 2
    assert (tmp_path / "warm" / "model.pt2").is_file()


def test_members_of_a_finished_front_vote_and_the_vote_is_proved_like_any_other(study, tmp_path):
    shutil.copytree(study[0], tmp_path / "digits")
    outcome = ask(tmp_path / "digits", vote=2)
    (vote,) = (point for point in outcome.points if point.family == "vote")
    assert outcome.counts["measured"] == study[1].counts["measured"] + 1
    assert vote.key != outcome.reference.key == study[1].reference.key
    assert len(vote.notes["members"]) == 2
    members = [point for point in outcome.points if point.key in vote.notes["members"]]
    assert vote.metrics["macs"].value >= sum(each.metrics["macs"].value for each in members)
    assert vote.metrics["parameters"].value == sum(each.metrics["parameters"].value for each in members)
    if vote.artifact:
        packed = steelyard.pack(outcome.bundle, vote.key, tmp_path / "vote")
        rows = np.random.default_rng(0).uniform(0, 16, (3, 8, 8))
        assert steelyard.load(packed.bundle).predict(rows).shape == (3,)
    again = ask(tmp_path / "digits", vote=2)
    assert again.counts == outcome.counts
