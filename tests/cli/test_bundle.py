"""One small search, and what can go wrong with its study and its bundle afterwards."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.slow
LABELS = ("<script>alert(1)</script>", "naïve→ü & co")


@pytest.fixture(scope="module")
def made(table_study, tmp_path_factory):
    """A study whose labels are markup and letters beyond ASCII; gives a folder with a copy and what was printed."""
    folder = tmp_path_factory.mktemp("cli") / "copy"
    shutil.copytree(table_study, folder)
    return folder, (folder / "printed.json").read_text(encoding="utf-8")


def test_a_search_prints_one_object_and_labels_are_escaped(made, table_study):
    folder, printed = made
    assert printed.count("\n") == 1
    assert json.loads(printed)["bundle"] == str(table_study / "out")
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert LABELS[0] not in page


def test_a_new_goal_is_answered_and_another_study_is_refused(made, ask, refused, search):
    folder, _ = made
    answer = ask(*search(folder, "--max-drop", "0.3", "--json"))
    assert answer.status in (0, 3)
    assert answer.json["goal"]["max_drop"] == 0.3
    kind, message, field = refused(*search(folder, "--seed", "3"))
    assert (kind, field) == ("study", "out")
    assert message.startswith(f"'out' {folder / 'out'} holds another study (")
    assert "seed was 0, now 3" in message
    assert message.endswith("; ask the same again, or name another --out.")


def test_a_second_process_is_refused_by_name(made, refused, search):
    folder, _ = made
    code = (
        "import sys, pathlib, time; from steelyard.store.lock import StudyLock; "
        "lock = StudyLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "out")], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        assert refused(*search(folder)) == (
            "study-busy",
            f"'out' {folder / 'out'} is in use by process {holder.pid}; wait for it, stop it, or name another --out.",
            "out",
        )
        holder.kill()
    time.sleep(0.1)


def test_predict_takes_the_columns_and_nothing_else(made, ask, refused, tmp_path):
    folder, _ = made
    bundle = str(folder / "out")
    (tmp_path / "new.csv").write_text("b,a\n3,3\n-3,-3\n", encoding="utf-8")
    answer = ask("predict", bundle, "--data", "new.csv", "--json")
    assert answer.status == 0
    assert answer.json["n"] == 2
    assert set(answer.json["predictions"]) <= set(LABELS)
    (tmp_path / "less.csv").write_text("b\n3\n", encoding="utf-8")
    kind, message, _ = refused("predict", bundle, "--data", "less.csv")
    assert kind == "data"
    assert message == "'x' must have a column 'a', got b; add it, empty where it is unknown."
    np.savez(tmp_path / "wide.npz", x=np.zeros((3, 5)))
    assert refused("predict", bundle, "--data", "wide.npz")[1] == (
        "'x' must have shape (n, 2), the columns a, b, got (3, 5); pass one row for each prediction."
    )


def test_changed_and_missing_files_are_refused_by_name(made, refused, tmp_path):
    folder, _ = made
    bundle = tmp_path / "copy"
    shutil.copytree(folder / "out", bundle)
    (bundle / "report.html").unlink()
    (tmp_path / "new.csv").write_text("a,b\n3,3\n", encoding="utf-8")
    assert refused("predict", "copy", "--data", "new.csv") == (
        "bundle",
        "report.html is missing from copy; restore the file or pack anew.",
        "bundle",
    )
    shutil.copy(folder / "out" / "report.html", bundle)
    with (bundle / "model.onnx").open("ab") as stream:
        stream.write(b"x")
    message = "model.onnx in copy was changed after it was packed; restore the file or pack anew."
    assert refused("predict", "copy", "--data", "new.csv")[1] == message
    assert refused("pack", "copy", "--point", "a", "--out", "more")[1] == message
    manifest = json.loads((bundle / "steelyard.json").read_text(encoding="utf-8"))
    del manifest["evidence"]["goal"]
    (bundle / "steelyard.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert refused("report", "copy")[1] == (
        "the manifest of copy lacks its evidence or was changed; restore it or pack anew."
    )


def test_pack_wants_a_known_point_and_an_empty_folder(made, ask, refused, tmp_path):
    folder, printed = made
    bundle, key = str(folder / "out"), json.loads(printed)["reference"]["key"]
    kind, message, field = refused("pack", bundle, "--point", "zzz", "--out", "more")
    assert (kind, field) == ("unknown-name", "point")
    assert message.startswith("point 'zzz' is not known; known: ")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    assert refused("pack", bundle, "--point", key, "--out", "full")[1] == (
        "'out' full is not empty; name a new or empty directory."
    )
    packed = ask("pack", bundle, "--point", key, "--out", "more", "--json")
    assert (packed.status, packed.json["chosen"]["key"]) == (0, key)
    both = ask("report", bundle, "more", "--json")
    assert [each["name"] for each in both.json["bundles"]] == [bundle, "more"]
