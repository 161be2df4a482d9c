"""Models cut by name: what follows, and what is refused."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from steelyard.core.errors import InputError
from steelyard.graph.slicing import sliced, template, write_sliced

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 6)).astype(np.float32)
B = RNG.normal(size=(6, 3)).astype(np.float32)
X = RNG.normal(size=(5, 4)).astype(np.float32)
KEPT = np.array([0, 2, 5])
SLICES = {"a": {1: KEPT}, "b": {0: KEPT}}


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], f"{kind} of {output}", **attributes)


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


def between(by_hand, nodes, weights=None):
    """Two products, operators from "u" to "v" between them."""
    first, last = node("MatMul", ["x", "a"], "u"), node("MatMul", ["v", "b"], "y")
    return by_hand([first, *nodes, last], {"a": A, "b": B, **(weights or {})})


def refusal(model, slices=SLICES, values=None):
    with pytest.raises(InputError) as caught:
        sliced(model, slices, values)
    return str(caught.value)


def test_a_product_is_cut(by_hand):
    model = between(by_hand, [node("Relu", ["u"], "v")])
    before = model.SerializeToString()
    np.testing.assert_allclose(
        run(sliced(model, SLICES)), np.maximum(X @ A[:, KEPT], 0) @ B[KEPT], rtol=1e-5, atol=1e-6
    )
    assert model.SerializeToString() == before


def test_channels_keep_the_order_of_their_index(by_hand):
    model = by_hand([node("MatMul", ["x", "a"], "y")], {"a": A})
    index = np.array([5, 0, 3])
    np.testing.assert_allclose(run(sliced(model, {"a": {1: index}})), X @ A[:, index], rtol=1e-5, atol=1e-6)


def test_keeping_everything_in_order_changes_nothing(by_hand):
    model = between(by_hand, [node("Relu", ["u"], "v")])
    same = sliced(model, {"a": {1: np.arange(6)}, "b": {0: np.arange(6)}})
    np.testing.assert_array_equal(run(same), run(model))


def test_what_the_model_holds_without_a_name_of_the_caller_s_is_cut_to_fit(by_hand):
    scale = np.arange(6, dtype=np.float32)
    constant = helper.make_node("Constant", [], ["scale"], value=numpy_helper.from_array(scale))
    model = between(by_hand, [constant, node("Mul", ["u", "scale"], "v")])
    np.testing.assert_allclose(
        run(sliced(model, SLICES)), (X @ A[:, KEPT] * scale[KEPT]) @ B[KEPT], rtol=1e-5, atol=1e-6
    )


def test_targets_of_reshape_are_written_anew(by_hand):
    grid = np.array([0, 1, 4, 5])
    nodes = [
        node("Reshape", ["u", "three"], "r"),
        node("ReduceSum", ["r", "axis"], "s", keepdims=1),
        node("Add", ["r", "s"], "t"),
        node("Reshape", ["t", "flat"], "v"),
    ]
    shapes = {"three": np.array([-1, 3, 2]), "flat": np.array([-1, 6]), "axis": np.array([1])}
    model = between(by_hand, nodes, shapes)
    u = (X @ A[:, grid]).reshape(5, 2, 2)
    wanted = (u + u.sum(1, keepdims=True)).reshape(5, 4) @ B[grid]
    np.testing.assert_allclose(run(sliced(model, {"a": {1: grid}, "b": {0: grid}})), wanted, rtol=1e-5, atol=1e-5)


def test_values_take_the_place_of_slices(by_hand):
    model = by_hand([node("MatMul", ["x", "a"], "y")], {"a": A})
    own = np.ones((4, 3), np.float64)
    small = sliced(model, {"a": {1: KEPT}}, {"a": own})
    np.testing.assert_allclose(run(small), X @ own, rtol=1e-5, atol=1e-6)
    assert small.graph.initializer[0].data_type == onnx.TensorProto.FLOAT


def test_outputs_that_shrink_say_so(by_hand):
    model = by_hand([node("MatMul", ["x", "a"], "y")], {"a": A}, y=("n", 6))
    small = sliced(model, {"a": {1: KEPT}})
    assert small.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 3
    onnx.checker.check_model(small, full_check=True)


def test_a_template_is_cut_again_and_again(by_hand, tmp_path):
    ready = template(between(by_hand, [node("Relu", ["u"], "v")]))
    for count in (5, 1, 3):
        index = np.arange(count)
        write_sliced(ready, {"a": {1: index}, "b": {0: index}}, None, tmp_path / "small.onnx")
        wanted = np.maximum(X @ A[:, :count], 0) @ B[:count]
        np.testing.assert_allclose(run(onnx.load(tmp_path / "small.onnx")), wanted, rtol=1e-5, atol=1e-6)


def test_an_operator_without_a_rule_is_refused(by_hand):
    model = between(by_hand, [node("CumProd", ["u"], "v", axis=1)])
    assert refusal(model) == (
        "the file can't be sliced: operator 'CumProd of v' (CumProd): no rule says what becomes of it; export the "
        "smaller module itself."
    )


def test_weights_that_do_not_follow_are_refused(by_hand):
    model = between(by_hand, [node("Relu", ["u"], "v")])
    assert refusal(model, {"a": {1: KEPT}, "b": {0: np.arange(3)}}) == (
        "the file can't be sliced: operator 'MatMul of y' (MatMul): 'b' keeps other channels than what it meets; "
        "export the smaller module itself."
    )
    assert refusal(model, {"b": {0: KEPT}}) == (
        "the file can't be sliced: operator 'MatMul of y' (MatMul): 'v' keeps all its channels where what it meets "
        "keeps 3; export the smaller module itself."
    )
    assert refusal(model, {"a": {1: KEPT}, "b": {}}) == (
        "the file can't be sliced: operator 'MatMul of y' (MatMul): 'b' is given no slice of axis 0, where what it "
        "meets keeps 3 channels; export the smaller module itself."
    )


def test_positions_of_channels_are_refused(by_hand):
    model = by_hand([node("MatMul", ["x", "a"], "u"), node("ArgMax", ["u"], "y", axis=1)], {"a": A})
    assert refusal(model, {"a": {1: KEPT}}) == (
        "the file can't be sliced: operator 'ArgMax of y' (ArgMax): it numbers the channels of a sliced axis; export "
        "the smaller module itself."
    )


@pytest.mark.parametrize(
    ("slices", "count"), [({"a": {2: [0]}}, 1), ({"a": {1: []}}, 0), ({"a": {1: [6]}}, 1), ({"a": {1: [-1]}}, 1)]
)
def test_an_index_that_does_not_fit_is_refused(slices, count, by_hand):
    model = by_hand([node("MatMul", ["x", "a"], "y")], {"a": A})
    axis = next(iter(slices["a"]))
    assert refusal(model, slices) == (
        f"slice of 'a' must keep some of axis {axis} of its shape (4, 6), got {count} indices."
    )
