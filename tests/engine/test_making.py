import threading

import numpy as np
import pytest

from steelyard.core.errors import DataError, WorkerError
from steelyard.core.task import Rows
from steelyard.engine.making import Clock, calibration, made_once


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


def test_calibration_rows_are_all_rows_once_in_an_order_of_the_seed():
    rows = Rows(np.arange(150, dtype=np.float32)[:, None], np.zeros(150))
    seen = np.concatenate(list(calibration(rows, seed=3)))[:, 0]
    assert sorted(seen) == list(range(150))
    assert not np.array_equal(seen, np.arange(150))
    assert np.array_equal(seen, np.concatenate(list(calibration(rows, seed=3)))[:, 0])


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
