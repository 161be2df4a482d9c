import json
import zipfile

import pytest

from steelyard.core.errors import InputError
from steelyard.core.kit import Kit, KitPoint
from steelyard.core.wire import file_sha256
from steelyard.store.kit import write_kit

LOADER = "steelyard.runtimes.onnxruntime.run:open_session"
POINT = KitPoint("mlp (width 4)", "variants/a/model.onnx", "onnxruntime", LOADER, ("onnxruntime",))
KIT = Kit("d" * 12, "digits", {"a" * 12: POINT}, "a" * 12, "inputs.npy", "random", packages=("numpy==2",))
FILES = {"variants/a/model.onnx": b"weights", "inputs.npy": b"rows"}


def test_every_file_has_the_checksum_that_it_says(tmp_path):
    made = write_kit(tmp_path / "a kit.zip", KIT, FILES)
    with zipfile.ZipFile(tmp_path / "a kit.zip") as archive:
        archive.extractall(tmp_path)
        names = {name.removeprefix("a kit/") for name in archive.namelist()}
    folder = tmp_path / "a kit"
    assert names == {*made.sha256, "kit.json"}
    assert {name: file_sha256(folder / name) for name in made.sha256} == made.sha256
    assert Kit.from_json(json.loads((folder / "kit.json").read_text(encoding="utf-8"))) == made
    readme = (folder / "README.txt").read_text(encoding="utf-8")
    assert "pip install numpy==2" in readme
    assert "@" not in readme


def test_equal_kits_are_equal_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_kit(tmp_path / name / "kit.zip", KIT, FILES)
    assert file_sha256(tmp_path / "one" / "kit.zip") == file_sha256(tmp_path / "two" / "kit.zip")


def test_a_file_that_exists_is_kept(tmp_path):
    path = tmp_path / "kit.zip"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        write_kit(path, KIT, FILES)
    assert caught.value.message == f"'out' {path} exists already; name a new file."
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_file_in_no_folder_is_refused(tmp_path):
    path = tmp_path / "none" / "kit.zip"
    with pytest.raises(InputError) as caught:
        write_kit(path, KIT, FILES)
    assert caught.value.message == f"'out' {path} lies in no folder that exists; name another file."


def test_a_kit_that_can_not_be_finished_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        write_kit(tmp_path / "kit.zip", KIT, {**FILES, "more": tmp_path / "nowhere"})
    assert list(tmp_path.iterdir()) == []
