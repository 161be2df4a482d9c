import hashlib

from hypothesis import given
from hypothesis import strategies as st

from steelyard.store.artifacts import Artifacts, copy_file


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6))
def test_each_content_is_kept_once_under_its_hash(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("study")
    artifacts = Artifacts(folder / "artifacts")
    for content in contents:
        made = folder / "model.onnx"
        made.write_bytes(content)
        digest = artifacts.keep(made)
        assert digest == hashlib.sha256(content).hexdigest()
        assert artifacts.path(digest, ".onnx").read_bytes() == content
        assert not made.exists()
    assert len(list(artifacts.folder.iterdir())) == len(set(contents))


def test_what_is_stored_is_never_changed(tmp_path):
    artifacts = Artifacts(tmp_path / "artifacts")
    for _ in range(2):
        (tmp_path / "m.onnx").write_bytes(b"abc")
        digest = artifacts.keep(tmp_path / "m.onnx")
        first = artifacts.path(digest, ".onnx").stat()
        assert first.st_ino == artifacts.path(digest, ".onnx").stat().st_ino
    assert artifacts.path(digest, ".onnx").read_bytes() == b"abc"


def test_a_copy_replaces_what_was_there_and_makes_its_folder(tmp_path):
    (tmp_path / "a").write_bytes(b"new")
    target = tmp_path / "deep" / "er" / "b"
    for _ in range(2):
        copy_file(tmp_path / "a", target)
    assert target.read_bytes() == b"new"
    assert [each.name for each in target.parent.iterdir()] == ["b"]
