import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.errors import StudyBusyError, StudyError
from steelyard.core.trial import Stopped
from steelyard.store.lock import LOCK_NAME
from steelyard.store.study import DB_NAME, check_directory, differences, open_study
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import failed, measured

IDENTITY = {"task": "digits", "seed": 0, "space": {"families": ["mlp"]}}
ACCURACY = METRICS["accuracy"]

HOLDER = """
import sys, time
from pathlib import Path
from steelyard.store.study import open_study
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import measured
from steelyard.core.candidate import Candidate, Scale
identity = {"task": "digits", "seed": 0, "space": {"families": ["mlp"]}}
study = open_study(Path(sys.argv[1]), identity, METRICS["accuracy"])
study.add(measured(0, Candidate("mlp", Scale.of(width=8)), quality=0.5))
print("ready", flush=True)
time.sleep(60)
"""


def start(directory, identity=IDENTITY, **options):
    return open_study(directory, identity, ACCURACY, **options)


def sentence(action, kind=StudyError):
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.field == "out"
    return str(caught.value)


def trials():
    plain = Candidate("mlp", Scale.of(width=8, depth=1))
    return [
        measured(0, plain, quality=0.9, latency_s=2e-5, size_bytes=5e3),
        failed(1, Candidate("mlp", Scale.of(width=16, depth=1)), "export"),
        measured(2, Candidate("mlp", plain.scale, (StepSetting("quantize"),)), quality=0.88),
        measured(3, Candidate("own", Scale.of(kind="a", skip=True)), quality=0.5),
    ]


def test_finished_trials_survive_in_the_order_they_finished(tmp_path):
    study = start(tmp_path / "out")
    for trial in trials():
        study.add(trial)
    study.close()
    again = start(tmp_path / "out")
    assert again.trials() == trials()
    again.close()


def test_facts_survive(tmp_path):
    study = start(tmp_path)
    study.put("spent", {"train_s": 1.5})
    assert study.get("nothing") is None
    assert study.get("nothing", 3) == 3
    study.close()
    again = start(tmp_path)
    assert again.get("spent") == {"train_s": 1.5}
    again.close()


def test_the_storage_ranks_by_the_metric_as_optunas_own_tools_see_it(tmp_path):
    study = start(tmp_path)
    for trial in trials():
        study.add(trial)
    study.close()
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / DB_NAME}")
    raw = optuna.load_study(study_name=summary.study_name, storage=f"sqlite:///{tmp_path / DB_NAME}")
    assert [each.state.name for each in raw.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert raw.trials[0].values == [-0.9, 2e-5, 5e3]
    assert raw.trials[0].params == {"mlp.width": 8.0, "mlp.depth": 1.0}
    assert raw.trials[3].params == {}


def test_a_metric_where_lower_is_better_keeps_its_sign(tmp_path):
    study = open_study(tmp_path, IDENTITY, METRICS["rmse"])
    trial = measured(0, Candidate("mlp", Scale()), quality=0.9)
    trial.outcome.metrics["rmse"] = trial.outcome.metrics["accuracy"]
    study.add(trial)
    assert study.raw.trials[0].values[0] == 0.9
    study.close()


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_trial_and_its_lock(tmp_path):
    with held(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        study = start(tmp_path)
        assert [trial.candidate for trial in study.trials()] == [Candidate("mlp", Scale.of(width=8))]
        study.close()


@pytest.mark.slow
def test_a_second_process_is_refused_and_told_which_holds_the_study(tmp_path):
    with held(tmp_path) as process:
        assert sentence(lambda: start(tmp_path), StudyBusyError) == (
            f"'out' {tmp_path} is in use by process {process.pid}; wait for it, stop it, or name another --out."
        )


class held:  # noqa: N801  reads as a phrase
    """A process of its own that holds the study of a directory."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(directory)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_a_second_opener_in_this_process_is_refused_until_the_first_closes(tmp_path):
    study = start(tmp_path)
    assert f"in use by process {os.getpid()};" in sentence(lambda: start(tmp_path), StudyBusyError)
    study.close()
    start(tmp_path).close()


def test_closing_twice_is_harmless(tmp_path):
    study = start(tmp_path)
    study.close()
    study.close()


def test_another_study_is_refused_with_every_difference_listed(tmp_path):
    start(tmp_path).close()
    other = {"task": "wine", "seed": 0, "space": {"families": ["mlp", "cnn"]}, "runtime": "onnxruntime"}
    assert sentence(lambda: start(tmp_path, other)) == (
        f"'out' {tmp_path} holds another study (runtime was None, now onnxruntime; "
        "space families was ['mlp'], now ['mlp', 'cnn']; task was digits, now wine); "
        "ask the same again, or name another --out."
    )
    start(tmp_path).close()


def test_differences_name_the_way_to_each_value():
    knobs = [{"name": "depth", "choices": [1]}, {"name": "width", "choices": [8]}]
    wider = [knobs[0], {"name": "width", "choices": [8, 16]}]
    assert differences(
        {"space": [{"family": "mlp", "knobs": knobs}]}, {"space": [{"family": "mlp", "knobs": wider}]}
    ) == ["space mlp knobs width choices was [8], now [8, 16]"]


def test_long_differences_are_cut_short():
    (text,) = differences({"space": "a" * 200}, {"space": "b"})
    assert text == f"space was {'a' * 77}..., now b"
    assert differences({"a": 1}, {"a": 1}) == []


def test_a_file_where_the_directory_should_be_is_refused(tmp_path):
    (tmp_path / "out").write_text("hello")
    assert sentence(lambda: start(tmp_path / "out")) == (
        f"'out' must be a directory, got the file {tmp_path / 'out'}; name another --out."
    )


def test_a_foreign_directory_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert sentence(lambda: start(tmp_path)) == (
        f"'out' {tmp_path} is not empty and holds no study; name an empty or new directory."
    )
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_abandoned_lock_is_no_foreign_file(tmp_path):
    (tmp_path / LOCK_NAME).write_text("1")
    start(tmp_path).close()


def test_a_place_that_can_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "out"
    assert sentence(lambda: start(out)) == f"'out' {out} can't be written (Not a directory); name another --out."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    out = tmp_path / "locked" / "out"
    assert sentence(lambda: start(out)) == f"'out' {out} can't be written (Permission denied); name another --out."


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 500])
def test_a_corrupt_study_is_refused_and_left_as_it_is(tmp_path, content):
    (tmp_path / DB_NAME).write_bytes(content)
    text = sentence(lambda: start(tmp_path))
    assert text.startswith(f"{tmp_path / DB_NAME} is corrupt (")
    assert text.endswith("); restore it from a copy, or name another --out to start anew.")
    assert "\n" not in text
    assert (tmp_path / DB_NAME).read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == [DB_NAME]


def test_a_study_with_a_page_overwritten_is_refused(tmp_path):
    study = start(tmp_path)
    for trial in trials():
        study.add(trial)
    study.close()
    path = tmp_path / DB_NAME
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xa5" * 8192
    path.write_bytes(content)
    text = sentence(lambda: start(tmp_path))
    assert text.startswith(f"{path} is corrupt (")
    assert "\n" not in text


def test_a_study_cut_short_is_refused(tmp_path):
    study = start(tmp_path)
    study.add(trials()[0])
    study.close()
    path = tmp_path / DB_NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "is corrupt (" in sentence(lambda: start(tmp_path))


def test_a_process_killed_within_a_transaction_is_no_corruption(tmp_path):
    """Its journal lies beside the database and must be rolled back; a copy taken mid-way is what a kill leaves."""
    home, after = tmp_path / "home", tmp_path / "after"
    study = start(home)
    study.add(trials()[0])
    study.close()
    connection = sqlite3.connect(home / DB_NAME)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE trials SET number = 99")
    connection.execute("CREATE TABLE spill (text)")
    connection.executemany("INSERT INTO spill VALUES (?)", [("x" * 4000,)] * 50)
    after.mkdir()
    for name in (DB_NAME, f"{DB_NAME}-journal"):
        (after / name).write_bytes((home / name).read_bytes())
    connection.close()
    again = start(after)
    assert again.trials() == trials()[:1]
    again.close()


def test_a_database_that_is_being_written_is_not_called_corrupt(tmp_path):
    study = start(tmp_path)
    study.close()
    connection = sqlite3.connect(tmp_path / DB_NAME)
    connection.execute("BEGIN EXCLUSIVE")
    check_directory(tmp_path)
    connection.close()


def test_a_directory_whose_name_looks_like_an_address_is_taken_as_it_is(tmp_path):
    odd = tmp_path / "a?mode=memory#100%25"
    study = start(odd)
    study.add(trials()[0])
    study.close()
    again = start(odd)
    assert again.trials() == trials()[:1]
    again.close()


def test_an_empty_database_file_is_a_new_study(tmp_path):
    """A process killed before its first write leaves an empty file: that is a new study."""
    (tmp_path / DB_NAME).write_bytes(b"")
    start(tmp_path).close()


def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / DB_NAME) as connection:
        connection.execute("create table songs (name text)")
    connection.close()
    content = (tmp_path / DB_NAME).read_bytes()
    text = sentence(lambda: start(tmp_path))
    assert text == f"{tmp_path / DB_NAME} holds no study of steelyard; name another --out."
    assert (tmp_path / DB_NAME).read_bytes() == content


def test_checking_a_directory_writes_nothing(tmp_path):
    check_directory(tmp_path)
    check_directory(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_can_not_be_opened_is_refused_and_lets_go_of_the_lock(tmp_path):
    with pytest.raises(StudyError) as caught:
        start(tmp_path, storage="nonsense://x")
    assert caught.value.field == "storage"
    assert str(caught.value).startswith("the study's storage nonsense://x can't be opened (")
    assert "\n" not in str(caught.value)
    start(tmp_path).close()


def test_a_storage_of_the_users_own_keeps_studies_apart_by_directory(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    first = start(tmp_path / "a", storage=url)
    first.add(trials()[0])
    first.close()
    second = start(tmp_path / "b", {"task": "wine"}, storage=url)
    assert second.trials() == []
    second.close()
    again = start(tmp_path / "a", storage=url)
    assert again.trials() == trials()[:1]
    again.close()


def test_a_stopped_trial_is_stored_as_one_that_was_pruned(tmp_path):
    trial = replace(trials()[0], outcome=Stopped(4, "accuracy", 0.4, 0.6, 0.7, "front", {"epoch": [1, 2, 3, 4]}))
    study = start(tmp_path / "out")
    study.add(trial)
    assert study.trials() == [trial]
    assert study.raw.get_trials()[0].state == optuna.trial.TrialState.PRUNED
    study.close()
