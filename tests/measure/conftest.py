"""Loaders and models for the tests of `steelyard.measure`: no runtime, only what a measuring process needs to see."""

from pathlib import Path

import numpy as np
import pytest

LOADER = '''
"""Models by the content of their file: what they do when they are loaded or run."""

import os
import sys
import time

import numpy as np


def burn(counter):
    """Takes three millijoules, and the time in which a real machine idles through some more."""
    with open(counter, encoding="ascii") as stream:
        before = int(stream.read())
    with open(counter, "w", encoding="ascii") as stream:
        stream.write(str((before + 3000) % 1_000_000))
    time.sleep(0.001)


def load(path, threads, **options):
    with open(path, encoding="utf-8") as stream:
        what = stream.read().strip()
    if what == "refuse":
        raise ValueError("this file is\\nno model")
    if what == "abort":
        os.abort()
    if what == "exit":
        sys.stderr.write("something native went wrong\\n")
        sys.stderr.flush()
        os._exit(7)
    if what == "talk":
        os.write(1, b"a native library greets standard output\\n")
    if what == "hang":
        time.sleep(3600)
    if what == "weigh":
        ballast = np.ones(4_000_000)
        return lambda x: ballast[0]
    if what == "swell":
        return lambda x: float(np.ones(4_000_000)[0])
    if what.startswith("witness"):
        cpus = len(os.sched_getaffinity(0))
        with open(path + ".seen", "a", encoding="utf-8") as stream:
            stream.write(f"{threads} {os.environ['OMP_NUM_THREADS']} {cpus} {options}\\n")
    if what == "late":
        import colorsys_of_tests
    if what == "sign":
        with open(path + ".pid", "w", encoding="utf-8") as stream:
            stream.write(str(os.getpid()))
    if what == "burn":
        counter = os.path.join(os.path.dirname(path), "intel-rapl:0", "energy_uj")
        return lambda x: burn(counter)
    if what in ("slow", "sign"):
        return lambda x: time.sleep(0.02)
    matrix = np.ones((8, 8), np.float32)
    return lambda x: matrix @ matrix
'''


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a loader of fake models, importable by child processes."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "fake_models.py").write_text(LOADER, encoding="utf-8")
    (folder / "colorsys_of_tests.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return "fake_models:load"


@pytest.fixture
def subject(tmp_path: Path):
    """Writes a fake model that does `what`."""
    from steelyard.measure.process import Subject

    def write(what: str) -> Subject:
        path = tmp_path / f"{what}.fake"
        path.write_text(what, encoding="utf-8")
        return Subject(what, path)

    return write


@pytest.fixture
def rows() -> np.ndarray:
    """Three input rows."""
    return np.arange(6, dtype=np.float32).reshape(3, 2)
