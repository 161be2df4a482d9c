import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import steelyard
from steelyard import Goal
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.core.errors import InputError, StudyError
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.core.wire import dumps, file_sha256
from steelyard.engine.messages import EARLIER_NOTES, EARLIER_WEIGHTS, WEIGHTS
from steelyard.engine.plan import WarmStart
from steelyard.engine.warmstart import nearest_candidate, take_over, warm_start
from steelyard.store.study import open_study
from steelyard.tasks.metrics import METRICS

WIDTHS = (8, 32, 64)


@pytest.fixture(scope="module")
def task():
    return steelyard.resolve("digits").task


@pytest.fixture(scope="module")
def home(task, tmp_path_factory):
    """An earlier study, which no test changes."""
    return earlier(tmp_path_factory.mktemp("earlier") / "one", task)


def plan_of(out, task, **options):
    chosen = {"model": "mlp", "knobs": {"depth": (1,), "width": WIDTHS}, **options}
    return steelyard.resolve(task, out=Path(out), **chosen)


def point(width, *, steps=(), runtime="onnxruntime"):
    return Candidate("mlp", Scale.of(depth=1, width=width), steps, runtime)


def trial(number, candidate, accuracy, latency, *, weights=None):
    metrics = {
        "accuracy": Quantity(accuracy, "1", n=180),
        "latency_p50_s": Quantity(latency, "s"),
        "latency_p95_s": Quantity(latency, "s"),
        "size_bytes": Quantity.exact(1e9 * latency, "B"),
        "peak_memory_bytes": Quantity(1e6, "B"),
    }
    return Trial(number, candidate, Measurement(metrics, "0" * 64, {"weights": weights} if weights else {}))


TRIALS = (
    trial(0, point(64), 0.99, 6e-5),
    trial(1, Candidate("baseline", Scale(), (), "onnxruntime"), 0.1, 1e-6),
    trial(2, point(8), 0.90, 1e-5),
    trial(3, point(32), 0.985, 3e-5),
    trial(4, point(32, steps=(StepSetting("quantize"),)), 0.98, 4e-5),
)
"""The front is 64, 8 and 32; 32 is good enough at a drop of 0.01, its int8 form is dominated."""


def earlier(directory, task, trials=TRIALS, **options):
    plan = plan_of(directory, task, **options)
    study = open_study(directory, plan.identity, METRICS["accuracy"])
    for each in trials:
        study.add(each)
    study.close()
    return directory


def sentence(action, kind=StudyError):
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.field == "warm_start"
    return str(caught.value)


def test_the_front_comes_in_the_order_of_the_goal_good_enough_first_then_by_cost(tmp_path, task, home):
    now = plan_of(tmp_path / "two", task, warm_start=home)
    assert now.earlier == (point(32), point(64), point(8))
    within = plan_of(tmp_path / "two", task, warm_start=home, goal=Goal(max_drop=0.2))
    assert within.earlier == (point(8), point(32), point(64))


def test_another_runtime_and_another_seed_get_the_same_front(tmp_path, task, home):
    now = warm_start(plan_of(tmp_path / "two", task, runtime="torch", seed=3), home)
    assert now.proposals == tuple(point(width, runtime="torch") for width in (32, 64, 8))
    assert now.changes == ("seed was 0, now 3",)
    assert now.models == ()


def test_a_missing_choice_becomes_the_nearest_and_a_missing_form_is_left_out():
    space = Space((FamilySpace("mlp", (Knob("depth", (1, 2)), Knob("width", (16, 40)), Knob("kind", ("a", "b")))),))
    had = Candidate("mlp", Scale.of(width=20), (StepSetting("quantize"),), "openvino", (("threads", 2),))
    wanted = Candidate("mlp", Scale.of(depth=2, width=16, kind="b"))
    assert nearest_candidate(space, had) == wanted
    assert nearest_candidate(space, replace(had, family="cnn")) is None


@pytest.mark.parametrize("width", [1, 12, 24, 39, 1000])
def test_whatever_is_nearest_lies_in_the_space(width):
    space = Space((FamilySpace("mlp", (Knob("width", (16, 32)),)),), ((), (StepSetting("quantize"),)))
    assert nearest_candidate(space, Candidate("mlp", Scale.of(width=width))) in space


def test_points_that_become_the_same_are_proposed_once(tmp_path, task, home):
    now = plan_of(tmp_path / "two", task, knobs={"depth": (1,), "width": (8, 16)}, warm_start=home)
    assert now.earlier == (point(16), point(8))


def test_a_folder_without_a_study_is_refused(tmp_path, task):
    wanted = f"'warm_start' {tmp_path} holds no study; name the --out of an earlier search."
    assert sentence(lambda: plan_of(tmp_path / "two", task, warm_start=tmp_path)) == wanted
    (tmp_path / "study.db").touch()
    assert sentence(lambda: plan_of(tmp_path / "two", task, warm_start=tmp_path)) == wanted


def test_a_study_that_can_t_be_read_is_refused(tmp_path, task):
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    assert sentence(lambda: plan_of(tmp_path / "two", task, warm_start=tmp_path)) == (
        f"'warm_start' {tmp_path / 'study.db'} can't be read (file is not a database); "
        "end the run that works on it, or name another study."
    )


def test_the_own_study_is_refused(task, home):
    assert sentence(lambda: plan_of(home, task, warm_start=home)) == (
        f"'warm_start' must be another study than 'out', got {home} for both; "
        "the same command goes on with its own study anyway."
    )


def test_other_data_are_refused_with_what_differs(tmp_path, task, home):
    other = replace(task, name="mine", data_hash="f" * 64)
    assert sentence(lambda: plan_of(tmp_path / "two", other, warm_start=home)) == (
        f"'warm_start' {home} is a study of other data (data was {task.data_hash}, now {'f' * 64}; "
        "task was digits, now mine); name a study of the same task and data, or leave it out."
    )


def test_a_front_of_other_families_is_refused(tmp_path, task, home):
    wanted = (
        f"'warm_start' {home} has nothing to propose: it searched mlp, this search is of cnn; "
        "name one of its families as --model, or leave the warm start out."
    )
    assert (
        sentence(lambda: plan_of(tmp_path / "two", task, model="cnn", knobs={}, warm_start=home), InputError) == wanted
    )


def test_a_path_is_asked_for(task, tmp_path):
    with pytest.raises(InputError, match=r"^'warm_start' must be a path, got 3\.$"):
        plan_of(tmp_path, task, warm_start=3)


def test_reading_an_earlier_study_writes_nothing_there(tmp_path, task, home):
    before = {each: each.stat().st_mtime_ns for each in home.rglob("*")}
    plan_of(tmp_path / "two", task, warm_start=home)
    assert {each: each.stat().st_mtime_ns for each in home.rglob("*")} == before


def trained(home, candidate, text="weights"):
    folder = home / "artifacts" / "fits" / candidate.key
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_text(text, encoding="utf-8")
    (folder / "fit.json").write_text(dumps({"train_s": 2.0}), encoding="utf-8")
    return file_sha256(folder / WEIGHTS)


def taken(plan):
    heard = []
    take_over(plan, heard.append)
    return [(each.kind, each.text) for each in heard]


def test_models_of_the_same_training_are_taken_over_for_another_runtime(tmp_path, task):
    home = tmp_path / "one"
    digest = trained(home, point(32))
    (home / "study.db").touch()
    earlier(home, task, (*TRIALS[:3], trial(3, point(32), 0.985, 3e-5, weights=digest)))
    now = plan_of(tmp_path / "two", task, runtime="torch", warm_start=home)
    fact = ("fact", "an earlier front comes first (3 candidates); trained models taken over: 1")
    assert taken(now) == [fact]
    folder = tmp_path / "two" / "artifacts" / "fits" / point(32, runtime="torch").key
    assert (folder / EARLIER_WEIGHTS).read_text(encoding="utf-8") == "weights"
    assert json.loads((folder / EARLIER_NOTES).read_text(encoding="utf-8")) == {"train_s": 2.0}
    assert taken(now) == [fact], "a resumed study finds them there"


def test_weights_that_were_changed_are_not_taken_over(tmp_path):
    digest = trained(tmp_path, point(32))
    folder = tmp_path / "artifacts" / "fits" / point(32).key
    (folder / WEIGHTS).write_text("other", encoding="utf-8")
    warm = WarmStart(tmp_path, (point(32),), (("abc", folder, digest),))
    now = SimpleNamespace(warm=warm, out=tmp_path / "two")
    assert taken(now) == [("fact", "an earlier front comes first (1 candidate); trained models taken over: 0")]
    assert not (tmp_path / "two" / "artifacts" / "fits" / "abc" / EARLIER_NOTES).exists()


def test_another_training_is_told_and_nothing_is_taken_over(tmp_path):
    warm = WarmStart(tmp_path, (point(32),), (), ("seed was 0, now 3",))
    assert taken(SimpleNamespace(warm=warm, out=tmp_path))[1] == (
        "notice",
        "nothing trained is taken over from the earlier study: seed was 0, now 3",
    )


def test_without_a_warm_start_nothing_is_said(tmp_path):
    assert taken(SimpleNamespace(warm=None, out=tmp_path)) == []
