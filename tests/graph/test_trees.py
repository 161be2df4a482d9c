"""Numbers that trees hold."""

from onnx import TensorProto, helper

from steelyard.graph.trees import tree_numbers


def model(operator, **attributes):
    node = helper.make_node(operator, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("x", "y")]
    return helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]))


def test_branches_and_leaves_are_counted_and_structure_is_not():
    modes = ["BRANCH_LEQ", "LEAF", "LEAF"]
    made = model("TreeEnsembleRegressor", nodes_modes=modes, target_weights=[1.0, 2.0], nodes_values=[0.5, 0.0, 0.0])
    assert tree_numbers(made) == 3
    assert tree_numbers(model("TreeEnsembleClassifier", nodes_modes=modes, class_weights=[1.0, 2.0, 3.0])) == 4


def test_the_newer_operator_keeps_tensors():
    splits = helper.make_tensor("s", TensorProto.FLOAT, [1], [0.5])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    assert tree_numbers(model("TreeEnsemble", nodes_splits=splits, leaf_weights=weights)) == 3


def test_other_operators_hold_none():
    assert tree_numbers(model("Normalizer", norm="L2")) == 0
