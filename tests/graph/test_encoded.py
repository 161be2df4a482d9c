"""Encoded models: what goes in comes out, and nothing else does."""

import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from steelyard.core.errors import BundleError, SteelyardError
from steelyard.core.task import Array
from steelyard.graph import encoded
from steelyard.graph.encoded import decode_model, encode_model
from steelyard.graph.reading import read_model

VALUES = st.sampled_from([0.0, -0.0, 0.25, -0.25, 0.5, -0.75, 1e-30, 3.1415927, float("inf"), float("nan")])


def model_of(*arrays: Array) -> onnx.ModelProto:
    """A model that passes its input and holds these arrays."""
    tensors = [numpy_helper.from_array(each, f"weight.of.layer{i}") for i, each in enumerate(arrays)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"], name="a long name", doc_string="words")
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="somebody")


def values_of(model: onnx.ModelProto) -> list[tuple[tuple[int, ...], str, bytes]]:
    arrays = [numpy_helper.to_array(each) for each in model.graph.initializer]
    return [(each.shape, each.dtype.name, each.tobytes()) for each in arrays]


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=4, max_side=4), elements=VALUES))
def test_few_values_come_back_bit_for_bit(array: Array) -> None:
    model = model_of(array)
    assert values_of(decode_model(encode_model(model))) == values_of(model)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.bool_]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
    )
)
def test_any_values_come_back_bit_for_bit(array: Array) -> None:
    model = model_of(array, array.copy())
    assert values_of(decode_model(encode_model(model))) == values_of(model)


@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.integers(1, 40),
    st.sampled_from(["grid", "half", "free"]),
)
def test_sparse_codebook_matrices_come_back(
    shape: tuple[int, int], seed: int, density: float, levels: int, kind: str
) -> None:
    draw = np.random.default_rng(seed)
    book = draw.normal(size=levels).astype(np.float32)
    if kind == "grid":
        book = np.arange(-levels, levels + 1).astype(np.float32) * np.float32(abs(book[0]) + 0.01)
    if kind == "half":
        book = book.astype(np.float16).astype(np.float32)
    array = draw.choice(book, shape) * (draw.random(shape) < density)
    model = model_of(array.astype(np.float32))
    assert values_of(decode_model(encode_model(model))) == values_of(model)


def test_a_sparse_matrix_takes_about_its_entropy() -> None:
    draw = np.random.default_rng(0)
    array = np.where(draw.random((100, 300)) < 0.03, draw.choice([-2, -1, 1, 2], (100, 300)), 0)
    used = int(np.count_nonzero(array))
    share = used / array.size
    entropy = array.size * -(share * np.log2(share) + (1 - share) * np.log2(1 - share)) + 2 * used
    assert len(encode_model(model_of(array.astype(np.float32)))) < 1.05 * entropy / 8 + 120


SAMPLE = encode_model(
    model_of(np.where(np.arange(600).reshape(20, 30) % 7, 0, 0.5).astype(np.float32), np.arange(40, dtype=np.float32))
)


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_an_altered_byte_is_always_refused(place: int, change: int) -> None:
    data = bytearray(SAMPLE)
    data[place] ^= change
    with pytest.raises(BundleError):
        decode_model(bytes(data))


@given(st.integers(0, len(SAMPLE) - 1))
def test_a_file_cut_short_is_always_refused(length: int) -> None:
    with pytest.raises(BundleError):
        decode_model(SAMPLE[:length])


def signed(body: bytes) -> bytes:
    """A body as a hostile author would send it: with a right checksum."""
    return b"SYD\x01" + encoded._digest(body) + body


@given(st.lists(st.tuples(st.integers(12, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_altered_bytes_with_a_right_checksum_are_refused_or_decoded_but_never_crash(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(SAMPLE)
    for place, value in changes:
        data[place] = value
    try:
        decode_model(signed(bytes(data[12:])))
    except BundleError as error:
        assert error.message.endswith("; restore the file.")


def hostile(*dims: int) -> bytes:
    model = model_of(np.zeros(1, np.float32))
    encoded._drop_values(model.graph.initializer[0])
    model.graph.initializer[0].ClearField("dims")
    model.graph.initializer[0].dims.extend(dims)
    skeleton = encoded._deflated(model.SerializeToString())
    return signed(encoded._varint(len(skeleton)) + skeleton)


@pytest.mark.parametrize("dims", [(1 << 40,), (1 << 20, 1 << 20), (1 << 62, 4), (1 << 23,), (-1,)])
def test_a_file_that_declares_more_than_it_may_is_refused_before_anything_is_allocated(dims: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match=r"is no whole encoded model: (it declares|a weight has)"):
        decode_model(hostile(*dims))


def test_a_skeleton_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoded, "LARGEST_SKELETON", 1000)
    packed = encoded._deflated(bytes(100_000))
    with pytest.raises(BundleError, match="a part is longer than it declares"):
        decode_model(signed(encoded._varint(len(packed)) + packed))


def test_zeros_without_end_are_filled_up_to_what_a_file_may_declare() -> None:
    model = model_of(np.zeros((1500, 1500), np.float32))
    data = encode_model(model)
    assert len(data) >= 1500 * 1500 * 4 / encoded.EXPANSION
    assert values_of(decode_model(data)) == values_of(model)


def test_names_that_users_feed_stay_and_others_are_short() -> None:
    back = decode_model(encode_model(model_of(np.ones(3, np.float32))))
    assert [each.name for each in (*back.graph.input, *back.graph.output)] == ["x", "y"]
    assert back.graph.initializer[0].name == "a"
    assert not back.producer_name
    assert not back.graph.node[0].name


def test_a_foreign_file_and_a_newer_format_are_told_apart() -> None:
    with pytest.raises(BundleError) as foreign:
        decode_model(b"PK\x03\x04 something else", "model 'm.syd'")
    assert foreign.value.message == "model 'm.syd' is no encoded model, or was cut short; restore the file."
    with pytest.raises(BundleError) as newer:
        decode_model(b"SYD\x02" + SAMPLE[4:], "model 'm.syd'")
    assert newer.value.message == "model 'm.syd' has format 2, this version reads 1; update steelyard."
    with pytest.raises(BundleError) as altered:
        decode_model(SAMPLE[:-1] + b"\xff\xff", "model 'm.syd'")
    assert altered.value.message == ("model 'm.syd' was cut short or altered after it was encoded; restore the file.")


def test_weights_of_text_are_refused_by_name() -> None:
    model = model_of(np.zeros(1, np.float32))
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"a"]))
    with pytest.raises(SteelyardError) as refused:
        encode_model(model)
    assert refused.value.message == "encode can't store weights of type STRING; take the step away."


def test_an_encoded_file_is_read_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "model.syd"
    path.write_bytes(SAMPLE)
    assert len(read_model(path).graph.initializer) == 2


def test_deflated_parts_are_read_with_the_vocabulary_that_wrote_them() -> None:
    assert zlib.adler32(encoded.VOCABULARY) == 2212604965
