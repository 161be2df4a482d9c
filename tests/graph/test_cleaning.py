"""The clean-up of graphs, and attention masks."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from steelyard.core.errors import InputError
from steelyard.graph.cleaning import clean
from steelyard.graph.masks import find_masks, floor_of, raise_masks

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32)


def run(model):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0]


def test_constants_are_folded_and_idle_and_dead_operators_go(by_hand):
    nodes = [
        helper.make_node("Transpose", ["w"], ["wt"]),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("MatMul", ["same", "wt"], ["h"]),
        helper.make_node("Relu", ["x"], ["unused"]),
        helper.make_node("Identity", ["h"], ["again"]),
        helper.make_node("Relu", ["again"], ["y"]),
    ]
    model = by_hand(nodes, {"w": W})
    found, report = clean(model)
    assert [node.op_type for node in found.graph.node] == ["MatMul", "Relu"]
    assert (report.before, report.after) == (6, 2)
    assert report.gone == {"Identity": 2, "Relu": 1, "Transpose": 1}
    assert len(found.graph.initializer) == 1
    np.testing.assert_allclose(run(found), run(model), rtol=1e-6)
    assert model.graph.node[0].op_type == "Transpose"


def test_stale_shapes_are_dropped_and_inferred_anew(by_hand):
    model = by_hand([helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])], {"w": W})
    model.graph.value_info.append(helper.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [7, 9]))
    found, _ = clean(model)
    (value,) = [each for each in found.graph.value_info if each.name == "h"]
    assert value.type.tensor_type.shape.dim[1].dim_value == 4


def test_operators_get_names_of_their_own(by_hand):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="one"),
        helper.make_node("Relu", ["h"], ["i"]),
        helper.make_node("MatMul", ["i", "w"], ["y"], name="one"),
    ]
    found, _ = clean(by_hand(nodes, {"w": W}))
    names = [node.name for node in found.graph.node]
    assert all(names)
    assert len(set(names)) == 3


def test_a_table_that_is_a_matrix_as_well_is_not_stored_twice(by_hand):
    table = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["rows"]),
        helper.make_node("Transpose", ["table"], ["turned"]),
        helper.make_node("MatMul", ["rows", "turned"], ["y"]),
    ]
    found, _ = clean(by_hand(nodes, {"table": table}))
    assert found.ByteSize() < 1.3 * table.nbytes


def test_a_model_that_the_runtime_refuses_is_an_input_error(by_hand):
    model = by_hand([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((3, 3), np.float32)})
    with pytest.raises(InputError, match=r"^ONNX Runtime can't load the model: "):
        clean(model)


def masked(by_hand, lowest, operator="Add"):
    mask = np.zeros((4,), np.float32)
    mask[3] = lowest
    if operator == "Add":
        return by_hand(
            [helper.make_node("Add", ["x", "m"], ["s"]), helper.make_node("Softmax", ["s"], ["y"])], {"m": mask}
        )
    nodes = [helper.make_node("Where", ["c", "m", "x"], ["s"]), helper.make_node("Softmax", ["s"], ["y"])]
    return by_hand(nodes, {"c": mask < 0, "m": np.float32(lowest)})


@pytest.mark.parametrize("lowest", [-1e4, float(np.finfo(np.float32).min), -np.inf])
@pytest.mark.parametrize("operator", ["Add", "Where"])
def test_masks_are_raised_to_what_gives_the_same_softmax(lowest, operator, by_hand):
    model, _ = clean(masked(by_hand, lowest, operator))
    (mask,) = find_masks(model)
    assert mask.lowest == np.float32(lowest)
    hidden = np.where(np.arange(4) == 3, -np.inf, X)
    floor = floor_of(hidden)
    raised, done = raise_masks(model, {mask.tensor: floor})
    assert -40 < floor < -18
    assert [each["now"] for each in done] == [floor]
    np.testing.assert_allclose(run(raised), run(model), atol=1e-7)
    assert find_masks(raised) == ()


def test_a_low_constant_that_reaches_no_softmax_is_no_mask(by_hand):
    low = np.full((4,), -1e5, np.float32)
    assert find_masks(by_hand([helper.make_node("Add", ["x", "m"], ["y"])], {"m": low})) == ()
    nodes = [
        helper.make_node("Add", ["x", "m"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"]),
        helper.make_node("Mul", ["s", "p"], ["y"]),
    ]
    assert find_masks(by_hand(nodes, {"m": low})) == ()
