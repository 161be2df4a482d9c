import threading
from pathlib import Path

import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, Scale
from steelyard.core.errors import DataError, WorkerError
from steelyard.core.wire import file_sha256
from steelyard.engine.making import UNTRAINED, Clock, Workshop, made_once
from steelyard.engine.messages import EARLIER_NOTES, EARLIER_WEIGHTS, HOPELESS, WEIGHTS, Assignment
from steelyard.families.mlp import MLP
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask
from steelyard.training.recipe import Recipe


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "ran out of memory."),
        (RuntimeError("two words\nand more"), "RuntimeError: two words"),
        (KeyError(), "KeyError: no message"),
        (DataError("one sentence."), "one sentence."),
    ],
)
def test_whatever_fails_in_a_stage_is_told_with_it(error, message):
    heard = []
    clock = Clock(heard.append)
    with pytest.raises(WorkerError) as caught, clock.stage("export"):
        raise error
    assert (caught.value.stage, caught.value.message) == ("export", message)
    assert heard == ["export"]
    assert clock.seconds["export"] >= 0


def write(text):
    def make(folder):
        (folder / "model.onnx").write_text(text, encoding="utf-8")
        return {"made": text}

    return make


def test_files_are_made_once_and_their_report_is_kept(tmp_path):
    home = tmp_path / "fit"
    assert made_once(home, "fit.json", write("first")) == {"made": "first"}
    assert made_once(home, "fit.json", write("second")) == {"made": "first"}
    assert (home / "model.onnx").read_text(encoding="utf-8") == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["fit"]


def test_a_sibling_that_is_measured_keeps_its_file(tmp_path):
    home, measured = tmp_path / "fit", tmp_path / "measured"
    made_once(home, "fit.json", write("first"))
    measured.hardlink_to(home / "model.onnx")
    (home / "fit.json").unlink()
    made_once(home, "fit.json", write("second"))
    assert measured.read_text(encoding="utf-8") == "first"


def test_what_fails_leaves_nothing_that_counts_as_finished(tmp_path):
    def fail(folder):
        (folder / "model.onnx").write_text("half", encoding="utf-8")
        raise WorkerError("no.", stage="export")

    home = tmp_path / "fit"
    with pytest.raises(WorkerError):
        made_once(home, "fit.json", fail)
    assert [each.name for each in tmp_path.iterdir()] == ["fit"]
    assert not (home / "model.onnx").exists()
    assert made_once(home, "fit.json", write("whole")) == {"made": "whole"}


def test_two_that_ask_at_a_time_share_one_fit(tmp_path):
    began, go_on = threading.Event(), threading.Event()
    calls = []

    def make(folder):
        calls.append(folder)
        began.set()
        assert go_on.wait(10)
        return write("once")(folder)

    reports = []
    workers = [
        threading.Thread(target=lambda: reports.append(made_once(tmp_path / "fit", "fit.json", make))) for _ in range(2)
    ]
    workers[0].start()
    assert began.wait(10)
    workers[1].start()
    go_on.set()
    for each in workers:
        each.join(10)
    assert reports == [{"made": "once"}] * 2
    assert len(calls) == 1


TASK = FakeTask.table()
MODEL = Candidate("mlp", Scale.of(depth=1, width=4))


def workshop(fits, *, seed=0):
    """A workshop whose trainings take one epoch."""
    return Workshop(
        task=TASK,
        registry=registry,
        families={"mlp": MLP},
        recipe=Recipe.from_json({"epochs": 1, "learning_rate": 0.01}),
        metrics={"accuracy": METRICS["accuracy"]},
        monitor="accuracy",
        goal_metric="accuracy",
        seed=seed,
        fits=fits,
    )


def make(shop, **asked):
    stages = []
    made = shop.make(Assignment(MODEL, 60.0, **asked), stages.append)
    return made, stages


def bytes_of(made):
    return Path(made.path).read_bytes()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A workshop's folder, and the model that was made in it."""
    fits = tmp_path_factory.mktemp("fits")
    made, _ = make(workshop(fits))
    return fits, made


def test_weights_are_kept_beside_the_model_under_the_hash_that_its_notes_say(first):
    _, made = first
    assert file_sha256(Path(made.path).with_name(WEIGHTS)) == made.notes["weights"]
    assert made.notes["taken_over"] is False


def test_a_model_that_is_taken_over_is_the_same_and_is_not_trained(first, tmp_path):
    _, made = first
    home = tmp_path / MODEL.key
    home.mkdir()
    (home / EARLIER_WEIGHTS).hardlink_to(Path(made.path).with_name(WEIGHTS))
    (home / EARLIER_NOTES).write_text(Path(made.path).with_name("fit.json").read_text(encoding="utf-8"))
    again, stages = make(workshop(tmp_path, seed=5))
    assert "train" not in stages
    assert (made.trained, again.trained) == (True, False)
    assert again.notes["taken_over"] is True
    assert again.notes["train_s"] == made.notes["train_s"]
    assert again.metrics == made.metrics
    assert bytes_of(again) == bytes_of(made)


def test_another_seed_is_another_training_that_leaves_the_study_s_own_alone(first):
    fits, made = first
    other, _ = make(workshop(fits), seed=1)
    assert Path(other.path).parent == fits / "seed1" / MODEL.key
    assert bytes_of(other) != bytes_of(made)
    assert make(workshop(fits))[0].path == made.path


def test_an_untrained_member_has_the_cost_of_the_trained_one(first):
    fits, made = first
    untrained, stages = make(workshop(fits), untrained=True)
    assert stages == ["export"]
    assert untrained.metrics["size_bytes"] == made.metrics["size_bytes"]
    assert Path(untrained.path).parent == fits / UNTRAINED / MODEL.key
    assert not untrained.trained


def test_assignments_read_back():
    for asked in (
        Assignment(MODEL, 1.0),
        Assignment(MODEL, 2.0, untrained=True),
        Assignment(MODEL, 3.0, seed=4, needed=((2, 0.5),)),
    ):
        assert Assignment.from_json(asked.to_json()) == asked


def test_a_training_that_falls_short_leaves_no_model_and_can_be_begun_again(tmp_path):
    shop = workshop(tmp_path)
    made = shop.make(Assignment(MODEL, 60.0, needed=((1, 1.5),)), lambda _: None)
    assert (made.path, dict(made.metrics), made.trained) == ("", {}, False)
    assert made.notes[HOPELESS]["epoch"] == 1
    assert made.notes[HOPELESS]["curve"]["epoch"] == [1.0]
    assert made.seconds["train"] > 0
    assert not (tmp_path / MODEL.key / "fit.json").exists()
    assert Path(shop.make(Assignment(MODEL, 60.0), lambda _: None).path).is_file()
