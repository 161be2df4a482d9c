"""Reading files that a stranger made."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.identity import float_port, identity_model
from steelyard.graph.reading import file_bytes, read_model


@pytest.fixture
def model(by_hand) -> onnx.ModelProto:
    weights = {"w": np.arange(4000, dtype=np.float32).reshape(4, 1000)}
    return by_hand([helper.make_node("MatMul", ["x", "w"], ["y"])], weights)


def save_outside(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save_model(
        model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0, convert_attribute=False
    )
    return path


def relocate(path: Path, **entries: str) -> None:
    """Change the entries of the external data of a saved model, as an attacker would."""
    model = onnx.load_model(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = entries.get(entry.key, entry.value)
    path.write_bytes(model.SerializeToString())


def test_what_was_written_is_read(model, tmp_path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert read_model(path) == model
    assert file_bytes(path) == path.stat().st_size


def test_external_data_are_read_and_weighed(model, tmp_path) -> None:
    path = save_outside(model, tmp_path)
    weights = numpy_helper.to_array(read_model(path).graph.initializer[0])
    assert np.array_equal(weights, np.arange(4000, dtype=np.float32).reshape(4, 1000))
    assert file_bytes(path) == path.stat().st_size + (tmp_path / "weights.bin").stat().st_size


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "C:\\weights.bin"])
def test_external_data_outside_the_folder_are_refused(model, tmp_path, location) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = save_outside(model, inner)
    (tmp_path / "weights.bin").write_bytes(bytes(16000))
    relocate(path, location=location)
    with pytest.raises(InputError) as error:
        read_model(path)
    assert error.value.message == f"model 'model.onnx' must keep its external data in its own folder, got {location!r}."


def test_a_link_out_of_the_folder_is_refused(model, tmp_path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = save_outside(model, inner)
    (inner / "weights.bin").rename(tmp_path / "weights.bin")
    (inner / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(InputError, match="must keep its external data in its own folder"):
        file_bytes(path)


def test_missing_external_data_are_named(model, tmp_path) -> None:
    path = save_outside(model, tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"^model 'model.onnx' needs 'weights.bin' beside it, which is missing\.$"):
        read_model(path)


@pytest.mark.parametrize(("key", "value"), [("length", "99999999"), ("offset", "8")])
def test_external_data_that_are_too_short_are_refused(model, tmp_path, key, value) -> None:
    path = save_outside(model, tmp_path)
    relocate(path, **{key: value})
    with pytest.raises(InputError, match=r"^external data 'weights.bin' of model 'model.onnx' are cut short at 'w'\.$"):
        read_model(path)


def test_an_offset_that_is_no_number_is_refused(model, tmp_path) -> None:
    path = save_outside(model, tmp_path)
    relocate(path, offset="-1")
    with pytest.raises(InputError, match="must state whole bytes for its external data, got '-1'"):
        read_model(path)


def test_a_shape_that_claims_more_than_there_is_is_refused(model, tmp_path) -> None:
    model.graph.initializer[0].dims[0] = 2**40
    path = tmp_path / "bomb.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"^model 'bomb.onnx' has a tensor 'w' whose data don't fit its shape"):
        read_model(path)


def test_a_negative_dimension_is_refused(model, tmp_path) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([-4, -1000])
    path = tmp_path / "negative.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"^model 'negative.onnx' has a negative dimension in 'w'\.$"):
        read_model(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"can't be read: No such file or directory\.$"):
        read_model(tmp_path / "none.onnx")
    with pytest.raises(InputError, match=r"can't be read: Is a directory\.$"):
        file_bytes(tmp_path)


def test_a_name_that_nothing_defines_is_refused(by_hand, tmp_path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(by_hand([helper.make_node("Relu", ["gone"], ["y"])]).SerializeToString())
    with pytest.raises(InputError, match=r"^model 'broken.onnx' is broken: nothing defines 'gone', which is read\.$"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04 a zip", b"<html></html>", b"{}" * 50])
def test_other_files_are_refused(tmp_path, content) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^model 'other.onnx' is no ONNX file, or is cut short"):
        read_model(path)


@given(share=st.floats(0, 0.999))
@settings(max_examples=40, deadline=None)
def test_a_file_cut_anywhere_is_refused_in_one_sentence(tmp_path_factory, share) -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 9])],
        [numpy_helper.from_array(np.ones((4, 9), np.float32), "w")],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    path = tmp_path_factory.mktemp("cut") / "cut.onnx"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError):
        read_model(path)


@given(junk=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_junk_never_raises_anything_but_an_input_error(tmp_path_factory, junk) -> None:
    path = tmp_path_factory.mktemp("junk") / "junk.onnx"
    path.write_bytes(junk)
    with pytest.raises(InputError):
        read_model(path)


def test_packed_types_are_read(by_hand, tmp_path) -> None:
    half = helper.make_tensor("h", TensorProto.FLOAT16, [3], np.ones(3, np.float16).tobytes(), raw=True)
    four = helper.make_tensor("f", TensorProto.INT4, [5], [1, 2, 3, 4, 5])
    model = by_hand([helper.make_node("Relu", ["x"], ["y"])])
    model.graph.initializer.extend([half, four])
    path = tmp_path / "packed.onnx"
    path.write_bytes(model.SerializeToString())
    assert len(read_model(path).graph.initializer) == 2


def test_the_identity_model_returns_its_input(tmp_path) -> None:
    import onnxruntime

    path = identity_model(tmp_path / "identity.onnx", (float_port((3, 2)),))
    rows = np.random.default_rng(0).random((5, 3, 2), dtype=np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert np.array_equal(session.run(None, {"input": rows})[0], rows)
    assert len(read_model(path).graph.node) == 1
