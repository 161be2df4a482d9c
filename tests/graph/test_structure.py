"""Graphs that contradict themselves, and files that were changed at random."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.counting import count
from steelyard.graph.functions import LARGEST_NODES
from steelyard.graph.reading import MOST_NODES, read_model
from steelyard.graph.structure import DEEPEST

RELU = helper.make_node("Relu", ["x"], ["y"])


def opened(model: onnx.ModelProto, folder: Path, *, old: bytes = b"", new: bytes = b"") -> onnx.ModelProto:
    """The model as the reader sees it, some bytes of its file replaced."""
    path = folder / "m.onnx"
    data = model.SerializeToString()
    path.write_bytes(data.replace(old, new) if old else data)
    return read_model(path)


def branch(result: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Relu", ["x"], [result])], "branch", [], [value])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_names_that_are_no_text_are_refused(by_hand, tmp_path, place) -> None:
    words = [b"HHHH", b"NNNN", b"OOOO"]
    nodes = [
        helper.make_node("Relu", ["x"], ["HHHH"], name="NNNN"),
        helper.make_node("OOOO", ["HHHH"], ["y"], domain="org.example"),
    ]
    with pytest.raises(
        InputError, match=r"^model 'm\.onnx' is broken: a name in it is no text: b'\\xff\\xfe\\xfd\\xfc'\.$"
    ):
        opened(by_hand(nodes), tmp_path, old=words[place], new=b"\xff\xfe\xfd\xfc")


def test_a_value_that_is_defined_twice_is_refused(by_hand, tmp_path) -> None:
    with pytest.raises(InputError, match=r"^model 'm\.onnx' is broken: 'y' is defined twice\.$"):
        opened(by_hand([RELU, RELU]), tmp_path)
    with pytest.raises(InputError, match=r"'x' is defined twice"):
        opened(by_hand([helper.make_node("Relu", ["x"], ["x"]), RELU]), tmp_path)
    model = by_hand([RELU], {"w": np.ones(3, np.float32)})
    model.graph.initializer.append(model.graph.initializer[0])
    with pytest.raises(InputError, match=r"'w' is defined twice"):
        opened(model, tmp_path)


def test_a_cycle_is_refused(by_hand, tmp_path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]), RELU]
    with pytest.raises(InputError, match=r"^model 'm\.onnx' is broken: nothing defines 'b', which is read\.$"):
        opened(by_hand(nodes), tmp_path)


def test_an_operator_without_output_is_refused(by_hand, tmp_path) -> None:
    for outputs in ([], [""]):
        nodes = [helper.make_node("Constant", [], outputs, value_int=1), RELU]
        with pytest.raises(InputError, match=r"^model 'm\.onnx' is broken: an operator 'Constant' has no output\.$"):
            opened(by_hand(nodes), tmp_path)


def test_branches_may_read_what_lies_around_them_and_nothing_else(by_hand, tmp_path) -> None:
    condition = {"c": np.array(True)}
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    assert count(opened(by_hand([node], condition), tmp_path)).uncounted == ("If",)
    node.attribute[0].g.node[0].input[0] = "elsewhere"
    with pytest.raises(InputError, match=r"nothing defines 'elsewhere', which is read"):
        opened(by_hand([node], condition), tmp_path)


def test_graphs_too_deep_inside_each_other_are_refused(by_hand, tmp_path) -> None:
    graph = branch("r")
    for _ in range(DEEPEST):
        node = helper.make_node("If", ["c"], ["r"], then_branch=graph)
        graph = helper.make_graph([node], "b", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)])
    model = by_hand([helper.make_node("If", ["c"], ["y"], then_branch=graph)], {"c": np.array(True)})
    with pytest.raises(InputError, match=rf"graphs must lie at most {DEEPEST} deep inside each other"):
        opened(model, tmp_path)


@pytest.mark.slow
def test_more_operators_than_any_network_has_are_refused(by_hand, tmp_path) -> None:
    nodes = [helper.make_node("Relu", ["x"], [f"h{index}"]) for index in range(MOST_NODES)]
    with pytest.raises(InputError, match=rf"must have at most {MOST_NODES} operators, got {MOST_NODES + 1}"):
        opened(by_hand([*nodes, RELU]), tmp_path)


def functions_model(bodies: dict[str, list[str]]) -> onnx.ModelProto:
    """Functions by name with the operators that each runs in a row; "F0" is called."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for name, calls in bodies.items():
        values = ["a", *(f"v{index}" for index in range(1, len(calls))), "b"]
        nodes = [
            helper.make_node(call, [values[index]], [values[index + 1]], domain="own" if call in bodies else "")
            for index, call in enumerate(calls)
        ]
        functions.append(helper.make_function("own", name, ["a"], ["b"], nodes, opsets))
    graph = helper.make_graph(
        [helper.make_node("F0", ["x"], ["y"], domain="own")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


def test_functions_are_counted_where_they_are_called() -> None:
    counts = count(functions_model({"F0": ["F1", "F1", "Relu"], "F1": ["Relu", "Relu"]}))
    assert [node.operator for node in counts.nodes] == ["Relu"] * 5
    assert counts.activations == 5 * 4


@pytest.mark.parametrize("bodies", [{"F0": ["F0"]}, {"F0": ["F1"], "F1": ["F2"], "F2": ["Relu", "F0"]}])
def test_a_function_that_calls_itself_is_refused(bodies) -> None:
    with pytest.raises(InputError, match=r"^the model's function 'F\d' must not call itself\.$"):
        count(functions_model(bodies))


@pytest.mark.parametrize("doublings", [25, 400])
def test_functions_that_double_each_other_are_refused_before_they_are_written_out(doublings) -> None:
    bodies = {f"F{index}": [f"F{index + 1}"] * 2 for index in range(doublings)} | {f"F{doublings}": ["Relu"]}
    with pytest.raises(InputError, match=rf"must come to at most {LARGEST_NODES} operators, got more"):
        count(functions_model(bodies))


@pytest.mark.parametrize("operator", ["Expand", "Tile", "ConstantOfShape", "Reshape"])
def test_absurd_sizes_take_no_memory(by_hand, operator) -> None:
    size = {"s": np.array([10**12, 4], np.int64)}
    inputs = ["s"] if operator == "ConstantOfShape" else ["x", "s"]
    nodes = [helper.make_node(operator, inputs, ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    assert count(by_hand(nodes, size)).macs == 0
    with pytest.raises(
        InputError, match=r"^the model's shapes are absurd: 'x' would be of shape \(1, 4611686018427387904"
    ):
        count(by_hand([RELU], x=("n", 2**62, 2**62)))


def test_an_attribute_of_another_kind_leaves_the_operator_uncounted(by_hand) -> None:
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation=3)
    assert count(by_hand([node], {"w": np.ones((4, 4), np.float32)})).uncounted == ("Einsum of unknown shape",)


def sources() -> list[bytes]:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    scale = numpy_helper.from_array(np.float32(0.1), "s")
    shape = numpy_helper.from_array(np.array([2, -1], np.int64), "n")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("Gemm", ["d", "w"], ["m"], transB=1),
        helper.make_node("Reshape", ["m", "n"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight, scale, shape],
    )
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return [plain.SerializeToString(), functions_model({"F0": ["F1", "Relu"], "F1": ["Relu"]}).SerializeToString()]


SOURCES = sources()


@given(
    data=st.sampled_from(SOURCES),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.just(1.0) | st.floats(0, 1),
    spliced=st.just(b"") | st.sampled_from(SOURCES),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_file_ends_in_counts_or_in_one_sentence(tmp_path, data, edits, cut, spliced) -> None:
    changed = bytearray(data)
    for where, value in edits:
        changed[int(where * len(changed))] = value
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(changed[: int(cut * len(changed))]) + spliced)
    try:
        assert count(read_model(path)).macs >= 0
    except InputError as error:
        assert error.message and "\n" not in error.message
