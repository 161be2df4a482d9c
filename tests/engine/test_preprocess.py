"""The user's own preprocessing: run where it is named, never from a bundle."""

import csv
import subprocess
import sys

import numpy as np
import pytest

import steelyard
from steelyard import Budget, Goal
from steelyard.core.errors import BundleError, InputError
from steelyard.tasks.preprocess import apply_own

CODE = """
def ratio(columns):
    return {"ratio": columns["a"] / columns["b"]}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    rows = rng.uniform(1, 2, (400, 2))
    with (folder / "rows.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["a", "b", "label"])
        table.writerows([a, b, int(a > b)] for a, b in rows)
    (folder / "own.py").write_text(CODE)
    outcome = steelyard.find(
        "tabular-classification",
        data=str(folder / "rows.csv"),
        preprocess=f"{folder / 'own.py'}:ratio",
        model="linear",
        goal=Goal(max_drop=0.2),
        budget=Budget(wall_s=None, trials=3),
        out=folder / "out",
    )
    return folder, outcome


@pytest.mark.slow
def test_a_bundle_with_a_preprocessing_of_its_own_asks_for_it(made):
    folder, outcome = made
    assert [fact.value for fact in outcome.facts if fact.name == "features"] != []
    with pytest.raises(BundleError) as caught:
        steelyard.load(folder / "out")
    assert caught.value.message == (
        f"{folder / 'out'} was made with a preprocessing of its own; pass it as preprocess."
    )
    model = steelyard.load(folder / "out", preprocess=lambda columns: {"ratio": columns["a"] / columns["b"]})
    assert model.predict({"a": np.array([2.0, 1.0]), "b": np.array([1.0, 2.0])}).tolist() == [1, 0]


@pytest.mark.slow
def test_predict_takes_the_preprocessing_by_its_address(made):
    folder, _ = made
    command = [sys.executable, "-m", "steelyard.cli.main", "predict", str(folder / "out")]
    own = ["--data", str(folder / "rows.csv"), "--preprocess", f"{folder / 'own.py'}:ratio"]
    done = subprocess.run([*command, *own], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == {"0", "1"}
    assert subprocess.run([*command, *own[:2]], capture_output=True, check=False).returncode == 2


def test_images_keep_their_shape():
    images = np.zeros((3, 8, 8))
    assert apply_own(lambda x: x + 1, images).max() == 1
    with pytest.raises(InputError) as caught:
        apply_own(lambda x: x[:, :4], images)
    assert caught.value.message == (
        "'preprocess' must give rows of the shape it was given, (3, 8, 8), got (3, 4, 8); resizing is the knob "
        "resolution."
    )


def test_what_fails_inside_is_told_in_one_sentence():
    with pytest.raises(InputError) as caught:
        apply_own(lambda columns: columns["absent"], {"a": [1.0]})
    assert caught.value.message == "'preprocess' failed with KeyError: 'absent'."
    with pytest.raises(InputError, match="must give a mapping from column name to values, got float"):
        apply_own(lambda columns: 1.0, {"a": [1.0]})
