"""The whole way to another machine and back: a kit, measured where nothing but numpy and the runtime is, chosen by."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from steelyard.cli.main import run

pytestmark = pytest.mark.slow
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas" / "measured.schema.json"
BLOCKED = ("torch", "scipy", "onnx", "optuna", "msgspec", "sklearn", "typer", "rich", "polars")
GUARD = """
import importlib.machinery, os, sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(name + " is blocked")
        if name == "steelyard":
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            if not spec.origin.startswith(os.environ["KIT"]):
                raise ImportError("steelyard from outside the kit: " + spec.origin)
        return None
sys.meta_path.insert(0, Guard())
"""


def said(argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([str(each) for each in argv])
    assert status in (0, 3), err.getvalue()
    return out.getvalue()


@pytest.fixture(scope="module")
def made(table_study, tmp_path_factory):
    """A finished study, a kit of its bundle unpacked at `there/kit`, and what that measured in `measured.json`."""
    folder = tmp_path_factory.mktemp("kit")
    shutil.copytree(table_study, folder, dirs_exist_ok=True)
    said(["kit", folder / "out", "--out", folder / "kit.zip"])
    with zipfile.ZipFile(folder / "kit.zip") as archive:
        archive.extractall(folder / "there")
    done = measure(folder, "--processes", "3", "--out", str(folder / "measured.json"))
    assert done.returncode == 0, done.stderr
    (folder / "printed.json").write_text(done.stdout, encoding="utf-8")
    return folder


def measure(folder, *argv, kit="there/kit"):
    """Run a kit's `measure.py` where every library but numpy and the runtime is blocked."""
    guard = folder / "guard"
    guard.mkdir(exist_ok=True)
    (guard / "sitecustomize.py").write_text(GUARD.format(blocked=BLOCKED), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(folder / kit / "measure.py"), *argv],
        env={**os.environ, "PYTHONPATH": str(guard), "KIT": str((folder / kit).resolve())},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def read(folder, name="measured.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def evidence(folder, bundle="out"):
    return json.loads((folder / bundle / "steelyard.json").read_text(encoding="utf-8"))["evidence"]


def test_what_a_kit_prints_and_writes_is_of_the_schema(made):
    measured = read(made)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(measured)
    assert measured == read(made, "printed.json")
    assert measured["study"] == evidence(made)["study"]
    assert set(measured["points"]) == {point["key"] for point in evidence(made)["points"] if point["artifact"]}
    assert measured["how"]["inputs"] == "random"
    assert measured["how"]["twin"]["of"] == evidence(made)["chosen"]["key"]
    assert measured["failures"] == {}


def test_a_kit_stays_as_it_was_made(made):
    kit = read(made / "there" / "kit", "kit.json")
    found = {str(path.relative_to(made / "there" / "kit")) for path in (made / "there" / "kit").rglob("*.*")}
    assert found - {"kit.json"} == set(kit["sha256"])


def test_every_proved_point_is_in_the_kit(made):
    proved = {each["key"] for each in evidence(made)["points"] if each["notes"].get("proof", {}).get("proved")}
    assert proved <= set(read(made)["points"])


def test_pack_chooses_by_the_figures_from_there(made, ask):
    answer = ask("pack", made / "out", "--measured", made / "measured.json", "--out", "packed", "--json")
    measured, outcome = read(made), answer.json
    assert answer.status == 0
    assert outcome["environment"] == measured["environment"]
    for point in outcome["points"]:
        there = measured["points"][point["key"]]["metrics"]
        assert {name: point["metrics"][name] for name in there} == there
    card = Path("packed/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "by a kit" in card
    assert "not here" in card
    assert ask("predict", "packed", "--data", made / "table.csv").status == 0


def test_a_limit_between_two_points_chooses_the_one_below_it(made, ask):
    measured = {
        key: each["metrics"]["latency_p95_s"]["high"] if "latency_p95_s" in each["metrics"] else 1.0
        for key, each in read(made)["points"].items()
    }
    proved = [each["key"] for each in evidence(made)["points"] if each["notes"].get("proof", {}).get("proved")]
    lowest = min(proved, key=measured.__getitem__)
    asked = ("pack", made / "out", "--measured", made / "measured.json", "--minimize", "size", "--json")
    tight = ask(*asked, "--max-latency-ms", str(1.001e3 * measured[lowest]), "--out", "tight")
    assert tight.json["status"] == "certified"
    assert measured[tight.json["chosen"]["key"]] <= 1.001 * measured[lowest]
    none = ask(*asked, "--max-latency-ms", "0.000001", "--out", "none")
    assert (none.status, none.json["status"]) == (3, "infeasible")
    assert none.json["misses"][0]["limit"] == "max_latency"


def test_find_answers_a_finished_study_by_the_figures_from_there(made, ask, search, tmp_path):
    shutil.copytree(made / "out", tmp_path / "out")
    given = search(made, "--measured", str(made / "measured.json"), "--max-energy-mj", "3", "--json")
    given[given.index("--out") + 1] = str(tmp_path / "out")
    answer = ask(*given)
    outcome = answer.json
    assert answer.status == 0
    assert outcome["environment"] == read(made)["environment"]
    assert outcome["drop"]["looks"] == evidence(made)["drop"]["looks"]
    assert [(each["limit"], each["is_judged"]) for each in outcome["misses"]] == [("max_energy", False)]
    assert outcome["status"] == "estimated"
    assert evidence(tmp_path)["environment"] == read(made)["environment"]


def test_find_refuses_figures_of_another_study_and_studies_that_are_not_there(made, refused, search):
    kind, message, field = refused(*search(made, "--seed", "5", "--measured", str(made / "measured.json")))
    assert (kind, field) == ("study", "measured")
    assert message.startswith(f"'measured' is of study {read(made)['study']}, and this is study ")
    given = search(made, "--measured", str(made / "measured.json"))
    given[given.index("--out") + 1] = "nowhere"
    kind, message, field = refused(*given)
    assert message == "'out' nowhere holds no study to choose from; find first, then measure a kit."


def test_figures_of_another_file_are_refused(made, refused, tmp_path):
    forged = read(made)
    key = next(iter(forged["points"]))
    forged["points"][key]["sha256"] = "0" * 64
    (made / "forged.json").write_text(json.dumps(forged), encoding="utf-8")
    kind, message, field = refused("pack", made / "out", "--measured", made / "forged.json", "--out", "packed")
    assert (kind, field) == ("input", "measured")
    assert message.endswith("the kit was changed, so make it anew.")


@pytest.mark.parametrize(
    ("more", "start"),
    [
        (("--out", "packed"), "'point' or 'measured' must say what to pack, one of the two, got neither."),
        (("--out", "packed", "--point", "a", "--measured", "x"), "'point' or 'measured' must say what to pack, one"),
        (("--out", "packed", "--point", "a", "--max-size-mb", "1"), "'max_size_bytes' needs costs to judge: give"),
        (("--out", "packed", "--measured", "nothing"), "'measured' nothing can't be read (No such file or directory)"),
        (("--out", "packed", "--measured", ".", "--max-size-mb", "-1"), "'max_size_mb' must be a positive finite"),
    ],
)
def test_what_pack_can_not_do_is_said(made, refused, more, start):
    assert refused("pack", made / "out", *more)[1].startswith(start)


def test_samples_go_in_when_they_are_asked_for_only(made, ask):
    plain = ask("kit", made / "out", "--out", "plain.zip", "--json").json
    real = ask("kit", made / "out", "--out", "real.zip", "--with-samples", made / "table.csv", "--json").json
    assert (plain["input_kind"], real["input_kind"]) == ("random", "samples")
    first = [float(each) for each in (made / "table.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[:2]]
    rows = {}
    for name in ("plain", "real"):
        with zipfile.ZipFile(f"{name}.zip") as archive:
            rows[name] = np.load(io.BytesIO(archive.read(f"{name}/inputs.npy")), allow_pickle=False)
    assert rows["real"][0] == pytest.approx(first)
    assert rows["plain"].shape == rows["real"].shape == (64, 2)
    assert not np.isclose(rows["plain"], first).all(axis=1).any()


def test_what_kit_can_not_do_is_said(made, refused):
    assert refused("kit", "nowhere")[1] == "nowhere holds no steelyard.json; is it a bundle's directory?"
    exists = made / "kit.zip"
    assert refused("kit", made / "out", "--out", exists)[1] == f"'out' {exists} exists already; name a new file."
    assert refused("kit", made / "out", "--preprocess", "a.py:f")[2] == "preprocess"
    assert refused("kit", made / "out", "--with-samples", "none.csv")[0] == "data"


def test_a_kit_that_was_changed_measures_nothing(made):
    shutil.copytree(made / "there" / "kit", made / "changed")
    model = next((made / "changed" / "variants").rglob("*.onnx"))
    model.write_bytes(model.read_bytes() + b"\0")
    done = measure(made, "--out", "changed.json", kit="changed")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"measure.py: {model.relative_to(made / 'changed')} of the kit is missing or was changed after it was made; "
        "unpack the kit's zip again.\n"
    )
    assert not (made / "changed.json").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--processes", "0"), "'processes' must be a whole number from 1 to 1000, got 0."),
        (("--budget", "10"), "'budget' must be a positive number with a unit (60s, 10m or 2h), got '10'."),
        (("--out", "none/measured.json"), "'out' none/measured.json lies in no folder that exists; name another file."),
    ],
)
def test_what_measure_can_not_do_is_said(made, argv, message):
    done = measure(made, *argv)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"measure.py: {message}\n")
