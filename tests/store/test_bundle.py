import json

import pytest

from steelyard.core.errors import BundleError, StudyError
from steelyard.store.bundle import MANIFEST, check_empty, clear, read_manifest, verify, write_manifest


@pytest.fixture
def bundle(tmp_path):
    directory = tmp_path / "bundle"
    (directory / "variants" / "abc").mkdir(parents=True)
    (directory / "model.onnx").write_bytes(b"weights")
    (directory / "variants" / "abc" / "model.onnx").write_bytes(b"other weights")
    write_manifest(directory, {"task": "digits", "loss": float("nan")}, ("model.onnx", "variants/abc/model.onnx"))
    return directory


def sentence(action, kind=BundleError):
    with pytest.raises(kind) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(bundle, **entries):
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    (bundle / MANIFEST).write_text(json.dumps({**manifest, **entries}), encoding="utf-8")


def checked(bundle):
    verify(bundle, read_manifest(bundle))


def test_a_bundle_comes_back_and_holds(bundle):
    manifest = read_manifest(bundle)
    assert manifest["schema"] == 1
    assert manifest["task"] == "digits"
    assert manifest["loss"] is None
    assert set(manifest["sha256"]) == {"model.onnx", "variants/abc/model.onnx"}
    verify(bundle, manifest)


def test_a_changed_file_is_refused_by_name(bundle):
    (bundle / "variants" / "abc" / "model.onnx").write_bytes(b"evil weights")
    assert sentence(lambda: checked(bundle)) == (
        f"variants/abc/model.onnx in {bundle} was changed after it was packed; restore the file or pack anew."
    )


def test_a_missing_file_is_refused_by_name(bundle):
    (bundle / "model.onnx").unlink()
    assert sentence(lambda: checked(bundle)) == (f"model.onnx is missing from {bundle}; restore the file or pack anew.")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "variants/../../secret"])
def test_a_manifest_that_names_a_file_outside_is_refused(bundle, name):
    (bundle.parent / "secret").write_text("s")
    change(bundle, sha256={name: "0" * 64})
    assert (
        sentence(lambda: checked(bundle)) == f"the manifest of {bundle} names {name!r} outside of it; don't trust it."
    )


def test_a_link_that_leads_outside_is_refused(bundle):
    (bundle.parent / "secret").write_text("s")
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").symlink_to(bundle.parent / "secret")
    assert "outside of it" in sentence(lambda: checked(bundle))


def test_a_newer_schema_is_refused(bundle):
    change(bundle, schema=2)
    assert sentence(lambda: read_manifest(bundle)) == (
        f"{bundle / MANIFEST} has schema 2, this version reads 1; update steelyard."
    )


def test_a_directory_without_a_manifest_is_refused(tmp_path):
    assert sentence(lambda: read_manifest(tmp_path)) == (
        f"{tmp_path} holds no steelyard.json; is it a bundle's directory?"
    )
    (tmp_path / "study.db").write_text("")
    assert sentence(lambda: read_manifest(tmp_path)) == (
        f"{tmp_path} holds no steelyard.json; the search has not finished"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '"x"',
        "{}",
        "\udcff",
        "[" * 100_000,
        '{"schema": 1}',
        '{"schema": 1, "sha256": [1]}',
        '{"schema": 1, "sha256": {"a": 1}}',
        '{"schema": 1, "sha256": {"a\\u0000": "0"}}',
    ],
    ids=range(12),
)
def test_what_is_no_manifest_is_refused(bundle, text):
    (bundle / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert sentence(lambda: read_manifest(bundle)) == (
        f"{bundle / MANIFEST} is no manifest of a bundle; restore the file or pack anew."
    )


def test_the_manifest_is_written_last_and_promises_only_what_is_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_manifest(tmp_path, {}, ("model.onnx",))
    assert list(tmp_path.iterdir()) == []


def test_clearing_takes_the_bundle_and_leaves_the_study(bundle):
    (bundle / "study.db").write_text("trials")
    (bundle / "artifacts").mkdir()
    clear(bundle)
    assert sorted(each.name for each in bundle.iterdir()) == ["artifacts", "study.db"]
    clear(bundle)


def test_a_target_must_be_new_or_empty(tmp_path):
    check_empty(tmp_path)
    check_empty(tmp_path / "new")
    (tmp_path / "file").write_text("")
    assert sentence(lambda: check_empty(tmp_path), StudyError) == (
        f"'out' {tmp_path} is not empty; name a new or empty directory."
    )
    assert "is not empty" in sentence(lambda: check_empty(tmp_path / "file"), StudyError)
