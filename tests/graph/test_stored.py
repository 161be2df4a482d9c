"""What a file stores, against what was put there by hand."""

import json

import numpy as np
import pytest
from onnx import helper

from steelyard.graph.stored import stored


def test_a_float_weight_is_told_with_its_zeros_and_values(by_hand):
    weight = np.zeros((4, 4), np.float32)
    weight[0] = [1, 2, 2, 3]
    found = stored(by_hand([helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], {"w": weight}))
    (each,) = found.weights
    assert (each.name, each.node, each.operator, each.type) == ("w", "product", "MatMul", "float32")
    assert (each.elements, each.bytes, each.bits, each.zeros, each.distinct) == (16, 64, 32.0, 0.75, 4)
    assert (found.float_share, found.zero_share, found.mean_bits) == (1.0, 0.75, 32.0)
    assert found.operators == {"MatMul": 1}
    assert found.bytes_by_type == {"float32": 64}


def test_a_dequantized_weight_is_told_by_what_is_stored(by_hand):
    nodes = [helper.make_node("DequantizeLinear", ["q", "s"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    codes = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    found = stored(by_hand(nodes, {"q": codes, "s": np.float32(0.1)}))
    (each,) = found.weights
    assert (each.name, each.type, each.bits, each.zeros, each.distinct) == ("q", "int8", 8.0, 1 / 16, 16)
    assert found.float_share == 0
    assert found.bytes_by_type == {"float32": 4, "int8": 16}


def test_a_weight_that_is_rounded_at_run_time_is_float(by_hand):
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    weights = {"w": np.ones((4, 4), np.float32), "s": np.float32(1), "z": np.int8(0)}
    assert stored(by_hand(nodes, weights)).float_share == 1


def test_a_codebook_is_told_by_its_indices(by_hand):
    nodes = [
        helper.make_node("Cast", ["i"], ["j"], to=7),
        helper.make_node("Gather", ["book", "j"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    codes = np.arange(64, dtype=np.uint8).reshape(4, 16) % 3
    (each,) = stored(by_hand(nodes, {"i": codes, "book": np.float32([1, 2, 3])}, y=("n", 16))).weights
    assert (each.name, each.operator, each.bits, each.distinct) == ("i", "MatMul", 8.0, 3)


def test_products_of_two_activations_have_no_weight(by_hand):
    assert stored(by_hand([helper.make_node("MatMul", ["x", "x"], ["y"])])).weights == ()


@pytest.mark.parametrize("weights", [{"w": np.ones((4, 4), np.float32)}])
def test_the_plain_form_is_json(weights, by_hand):
    plain = stored(by_hand([helper.make_node("MatMul", ["x", "w"], ["y"])], weights)).to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["weights"][0]["bits"] == 32.0
