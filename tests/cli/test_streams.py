"""Standard output: closed, full, broken, of another encoding. And Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "steelyard.cli.main"]
TINY = ["find", "digits", "--model", "mlp", "--knob", "depth=1", "--knob", "width=8", "--strategy", "grid"]


def shell(text, cwd, **variables):
    environment = {**os.environ, **variables}
    command = text.replace("steelyard", " ".join(COMMAND))
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_a_reader_that_leaves_early_is_no_fault(tmp_path):
    done = shell("steelyard find --help | head -1; echo ${PIPESTATUS[0]}", tmp_path)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_standard_output_is_no_fault(tmp_path):
    done = shell("steelyard list tasks >&-", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = shell("steelyard find digist --json >&-", tmp_path)
    assert (done.returncode, done.stderr) == (2, "steelyard: task 'digist' is not known; did you mean 'digits'?\n")


def test_closed_errors_leave_the_json_whole(tmp_path):
    done = shell("steelyard find digist --json 2>&-", tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["field"] == "task"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_a_sentence(tmp_path):
    done = shell("steelyard list tasks > /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "steelyard: the disk is full; free space and run the same command again, or name another --out.\n"
    )


def test_json_is_utf8_and_text_survives_ascii(tmp_path):
    done = shell("steelyard find digits --knob naïve --json", tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"].endswith("got 'naïve'.")
    assert "Traceback" not in done.stderr


def test_no_home_and_no_locale_are_no_fault(tmp_path):
    done = shell("env -i PATH=$PATH LANG=C steelyard list tasks", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_command_must_be_named(tmp_path):
    done = shell("steelyard", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")


def left_over(folder):
    """Processes that work in a folder."""
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if str(folder) in line]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_search_says_how_to_go_on_and_leaves_no_process(tmp_path, number, status):
    out = tmp_path / "study"
    process = subprocess.Popen(
        [*COMMAND, *TINY, "--budget", "60s", "--out", str(out), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (out / "work" / "task" / "task.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(3):
        os.killpg(process.pid, number)
        time.sleep(0.05)
    said, told = process.communicate(timeout=60)
    assert process.returncode == status
    assert said == ""
    assert told.endswith("\nInterrupted; run the same command again to go on from here.\n")
    assert "Traceback" not in told
    assert (out / "study.db").exists()
    deadline = time.monotonic() + 10
    while left_over(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_over(out) == []
