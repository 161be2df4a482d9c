import json

import pytest

from steelyard.core.errors import BundleError, MissingExtraError
from steelyard.core.kit import Kit, KitPoint
from steelyard.core.wire import file_sha256
from steelyard.measure.kit import check_imports, read_kit, settings_of

KEY = "a" * 12


@pytest.fixture
def folder(tmp_path):
    for name in ("model.onnx", "inputs.npy"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def written(folder, *, imports=("json",), path="model.onnx", files=("model.onnx", "inputs.npy"), **fields):
    point = KitPoint("mlp", path, "onnxruntime", "module:load", imports)
    sums = {name: file_sha256(folder / name) for name in files}
    kit = Kit(
        "d" * 12, "digits", {KEY: point}, **{"chosen": KEY, "inputs": "inputs.npy", "input_kind": "random"}, sha256=sums
    )
    (folder / "kit.json").write_text(json.dumps({**kit.to_json(), **fields}), encoding="utf-8")
    return kit


def refusal(folder):
    with pytest.raises(BundleError) as caught:
        read_kit(folder)
    return caught.value.message


def test_a_whole_kit_is_read(folder):
    assert written(folder) == read_kit(folder)


def test_a_kit_that_is_not_whole_is_refused(folder):
    described = f"{folder / 'kit.json'} describes no kit ("
    assert refusal(folder).startswith(described)
    for text in ("", "[]", "{}", "[" * 10_000):
        (folder / "kit.json").write_text(text, encoding="utf-8")
        assert refusal(folder).startswith(described)
    written(folder, task="another")
    assert refusal(folder) == f"{described}it was changed after the kit was made); unpack the kit's zip again."
    written(folder, files=("inputs.npy",))
    assert refusal(folder) == "model.onnx of the kit has no checksum; make the kit again."


def test_a_file_outside_the_kit_is_refused(folder):
    inner = folder / "kit"
    inner.mkdir()
    (inner / "inputs.npy").write_bytes(b"rows")
    written(inner, path="../model.onnx", files=("inputs.npy", "../model.onnx"))
    assert refusal(inner).startswith("../model.onnx of the kit is missing or was changed")


def test_a_runtime_that_is_missing_is_named_with_what_installs_it(folder):
    check_imports(written(folder))
    kit = written(folder, imports=("no_such_runtime",))
    with pytest.raises(
        MissingExtraError, match=r"^the kit needs no_such_runtime, which is not installed here; run: pip"
    ):
        check_imports(kit)


def test_eight_processes_and_the_bundles_own_batch_are_the_defaults():
    settings, out = settings_of(["--budget", "2m"])
    assert (settings.processes, settings.batch, settings.threads, settings.limit_s) == (8, None, None, 120.0)
    assert str(out) == "measured.json"
