"""Blocks taken out of a graph, by the scopes in the names of operators."""

import numpy as np
import onnx
import pytest
from onnx import helper

from steelyard.core.errors import InputError
from steelyard.graph.removal import without_nodes

W = np.ones((4, 4), np.float32)


def node(kind, inputs, outputs, scope):
    return helper.make_node(kind, inputs, outputs, f"{scope}/{kind}")


def chain(scopes):
    """A product in each scope, one after the other."""
    names = ["x", *(f"h{place}" for place in range(1, len(scopes))), "y"]
    return [
        node("MatMul", [names[place], f"w{place}"], [names[place + 1]], scope) for place, scope in enumerate(scopes)
    ]


def shape_of(model):
    return [(each.op_type, list(each.input), list(each.output)) for each in model.graph.node]


@pytest.mark.parametrize(
    ("scopes", "block"),
    [
        (["/stem", "/body/body.0", "/body/body.1"], "body.0"),
        (["/stem", "/blocks.0", "/blocks.1"], "blocks.0"),
        (["/stem", "/net/layers.0", "/net/layers.1"], "net.layers.0"),
        (["/stem", "/layers/layers.0", "/layers/layers.1"], "layers.layers.0"),
        (["/stem", "/a/a.1/a.1.0/conv", "/a/a.1/a.1.1"], "a.1.0"),
    ],
)
def test_a_block_s_input_takes_the_place_of_its_output(scopes, block, by_hand):
    model = by_hand(chain(scopes), {f"w{place}": W for place in range(3)}, y=("n", 4))
    before = model.SerializeToString()
    small = without_nodes(model, block)
    assert shape_of(small) == [("MatMul", ["x", "w0"], ["h1"]), ("MatMul", ["h1", "w2"], ["y"])]
    assert [each.name for each in small.graph.initializer] == ["w0", "w2"]
    assert model.SerializeToString() == before
    onnx.checker.check_model(small, full_check=True)


def test_the_last_block_leaves_the_name_of_the_output(by_hand):
    model = by_hand(chain(["/stem", "/body.0"]), {"w0": W, "w1": W})
    assert shape_of(without_nodes(model, "body.0")) == [
        ("MatMul", ["x", "w0"], ["h1"]),
        ("Identity", ["h1"], ["y"]),
    ]


def test_a_block_that_is_not_there_is_refused(by_hand):
    with pytest.raises(InputError) as caught:
        without_nodes(by_hand(chain(["/stem", "/body.0"]), {"w0": W, "w1": W}), "body.7")
    assert str(caught.value) == "the file has no operators of a block 'body.7'; export the smaller module itself."


def test_a_block_of_two_outputs_is_refused(by_hand):
    nodes = [
        node("Relu", ["x"], ["a"], "/body.0"),
        node("Tanh", ["x"], ["b"], "/body.0"),
        node("Add", ["a", "b"], ["y"], ""),
    ]
    with pytest.raises(InputError) as caught:
        without_nodes(by_hand(nodes), "body.0")
    assert str(caught.value) == (
        "block 'body.0' can't be taken out of the file: it must have one output, got 2; export the smaller module "
        "itself."
    )


def test_a_block_of_two_like_inputs_is_refused(by_hand):
    nodes = [
        node("Relu", ["x"], ["a"], ""),
        node("Add", ["a", "x"], ["b"], "/body.0"),
        node("Tanh", ["b"], ["y"], ""),
    ]
    with pytest.raises(InputError) as caught:
        without_nodes(by_hand(nodes), "body.0")
    assert str(caught.value) == (
        "block 'body.0' can't be taken out of the file: it must have one input of its output's shape, got 2; export "
        "the smaller module itself."
    )
