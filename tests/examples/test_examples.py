"""The examples run as they stand."""

import contextlib
import runpy
import shlex
import shutil
import warnings
from pathlib import Path

import pytest

from steelyard.cli import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "01_first_search/first_search.py",
        "02_own_data/own_data.py",
        "06_clusters/clusters.py",
        "07_sequences/texts.py",
    ],
)
def test_a_script_runs(script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(tmp_path), warnings.catch_warnings():
        warnings.simplefilter("error")
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.split()[0] in ("certified", "estimated", "infeasible")


@pytest.mark.slow
def test_an_own_model_is_searched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = EXAMPLES / "03_own_pytorch_model"
    page = (folder / "README.md").read_text(encoding="utf-8")
    command = next(line[2:] for line in page.splitlines() if line.startswith("$ steelyard "))
    shutil.copy(folder / "model.py", tmp_path)
    with contextlib.chdir(tmp_path):
        status = main.run(shlex.split(command)[1:])
    assert status in (0, 3)
    assert "model.py:build" in capsys.readouterr().out
    assert next(tmp_path.glob("steelyard-out/*/steelyard.json")).is_file()


def test_the_halves_have_the_weights_that_are_told() -> None:
    names = runpy.run_path(str(EXAMPLES / "04_halved_widths" / "model.py"))
    nets = {size: names["build"]((1, 28, 28), 10, size) for size in names["SIZES"]}
    weights = {size: sum(each.numel() for each in net.parameters()) for size, net in nets.items()}
    assert weights == {"quarter": 173_930, "half": 347_146, "whole": 693_962}
