"""The table of operators: every rule against loops or formulas written out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from steelyard.graph.counting import NodeCost, cost_of, count
from steelyard.graph.operators import OPERATORS, operator_name
from steelyard.graph.values import Value

MS, BLOCKED = "com.microsoft", "com.microsoft.nchwc"


def cost(operator, inputs, outputs, domain="", *, stored=(), types="float32", **attributes) -> NodeCost:
    """The cost of one node whose inputs and outputs have the given shapes (None: left out)."""
    names = [f"i{slot}" if shape is not None else "" for slot, shape in enumerate(inputs)]
    node = helper.make_node(operator, names, [f"o{slot}" for slot in range(len(outputs))], domain=domain, **attributes)
    kinds = itertools.repeat(types) if isinstance(types, str) else types
    values = [
        None if shape is None else Value(kind, shape, slot in stored)
        for slot, (shape, kind) in enumerate(zip(inputs, kinds, strict=False))
    ]
    return cost_of(node, values, [Value("float32", shape) for shape in outputs])


@pytest.mark.parametrize(
    ("operator", "domain", "inputs", "output", "attributes", "macs"),
    [
        ("FusedConv", MS, [(1, 3, 8, 8), (5, 3, 3, 3), (5,), (1, 5, 6, 6)], (1, 5, 6, 6), {}, 5 * 36 * 3 * 9),
        ("Conv", BLOCKED, [(1, 16, 8, 8), (32, 16, 3, 3)], (1, 32, 8, 8), {}, 32 * 64 * 16 * 9),
        ("Conv", BLOCKED, [(1, 16, 8, 8), (16, 1, 3, 3)], (1, 16, 8, 8), {"group": 16}, 16 * 64 * 9),
        # Channels last: the weights stay (out, in, height, width).
        ("QLinearConv", MS, [(1, 8, 8, 3), (), (), (5, 3, 3, 3)], (1, 6, 6, 5), {"channels_last": 1}, 5 * 36 * 27),
        ("FusedGemm", MS, [(4, 7), (7, 9), (9,)], (4, 9), {}, 4 * 7 * 9),
        ("QGemm", MS, [(7, 4), (), (), (7, 9)], (4, 9), {"transA": 1}, 4 * 7 * 9),
        ("FusedMatMul", MS, [(2, 3, 4, 5), (2, 3, 5, 6)], (2, 3, 4, 6), {}, 6 * 4 * 5 * 6),
        ("FusedMatMul", MS, [(2, 3, 5, 4), (2, 3, 5, 6)], (2, 3, 4, 6), {"transA": 1}, 6 * 4 * 5 * 6),
        ("FusedMatMul", MS, [(4, 2, 3, 5), (2, 3, 5, 6)], (2, 3, 4, 6), {"transBatchA": 1}, 6 * 4 * 5 * 6),
        ("FusedMatMul", MS, [(5, 2, 3, 4), (2, 3, 5, 6)], (2, 3, 4, 6), {"transBatchA": 1, "transA": 1}, 6 * 4 * 5 * 6),
        ("DynamicQuantizeMatMul", MS, [(2, 4, 5), (5, 6), (), ()], (2, 4, 6), {}, 8 * 5 * 6),
        ("MatMulIntegerToFloat", MS, [(2, 4, 5), (5, 6), (), ()], (2, 4, 6), {}, 8 * 5 * 6),
        ("QLinearMatMul", "", [(4, 5), (), (), (5, 6), (), (), (), ()], (4, 6), {}, 4 * 5 * 6),
        ("MatMulNBits", MS, [(3, 64), (10, 2, 16), (20,)], (3, 10), {"K": 64, "N": 10, "bits": 4}, 3 * 64 * 10),
        ("DynamicQuantizeLSTM", MS, [(7, 2, 6), (1, 6, 20), (1, 5, 20)], (7, 1, 2, 5), {}, 14 * 20 * (6 + 5)),
        ("LSTM", "", [(7, 2, 6), (2, 20, 6), (2, 20, 5)], (7, 2, 2, 5), {}, 14 * 2 * 20 * (6 + 5)),
        ("Attention", MS, [(2, 7, 8), (8, 36), (36,)], (2, 7, 12), {"num_heads": 4}, 2 * 7 * 8 * 36 + 2 * 7 * 7 * 24),
        (
            "Attention",
            MS,
            [(2, 7, 8), (8, 20), (20,)],
            (2, 7, 12),
            {"num_heads": 2, "qkv_hidden_sizes": [4, 4, 12]},
            2 * 7 * 8 * 20 + 2 * 7 * 7 * (4 + 12),
        ),
        (
            "QAttention",
            MS,
            [(2, 7, 8), (8, 36), (36,), (), (), None, None, None, (2, 2, 4, 3, 3)],
            (2, 7, 12),
            {"num_heads": 4},
            2 * 7 * 8 * 36 + 2 * 7 * (7 + 3) * 24,
        ),
        ("MultiHeadAttention", MS, [(2, 7, 8), (2, 9, 8), (2, 9, 12)], (2, 7, 12), {"num_heads": 4}, 14 * 9 * 20),
        ("MultiHeadAttention", MS, [(2, 7, 4, 3, 2)], (2, 7, 8), {"num_heads": 4}, 14 * 7 * 16),
        ("Attention", "", [(2, 4, 7, 2), (2, 4, 9, 2), (2, 4, 9, 3)], (2, 4, 7, 3), {}, 8 * 7 * 9 * 5),
        ("SkipLayerNormalization", MS, [(2, 7, 8), (2, 7, 8), (8,)], (2, 7, 8), {}, 112),
        ("EmbedLayerNormalization", MS, [(2, 7), (2, 7), (50, 8)], (2, 7, 8), {}, 112),
        ("ConvTranspose", "", [(1, 4, 5, 5), (4, 6, 3, 3)], (1, 6, 11, 11), {"strides": [2, 2]}, 4 * 25 * 6 * 9),
        ("Gelu", MS, [(2, 7)], (2, 7), {}, 0),
        ("QLinearAdd", MS, [(2, 7), (), (), (2, 7), (), (), (), ()], (2, 7), {}, 0),
        ("NhwcMaxPool", MS, [(1, 8, 8, 3)], (1, 4, 4, 3), {}, 0),
        ("ReorderOutput", BLOCKED, [(1, 16, 8, 8)], (1, 10, 8, 8), {}, 0),
    ],
)
def test_macs_are_what_the_formula_says(operator, domain, inputs, output, attributes, macs) -> None:  # noqa: PLR0917
    assert cost(operator, inputs, [output], domain, **attributes).macs == macs


@given(
    data=st.data(),
    equation=st.sampled_from(["ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "i,j->ij", "ij,ij->", "bi,bi", "ab,bc"]),
)
@settings(max_examples=40, deadline=None)
def test_einsum_multiplies_once_for_every_combination_of_indices(data, equation) -> None:
    letters = sorted({letter for letter in equation if letter.isalpha()})
    sizes = {letter: data.draw(st.integers(1, 4), label=letter) for letter in letters}
    terms = equation.split("->")[0].split(",")
    combinations = sum(1 for _ in itertools.product(*(range(size) for size in sizes.values())))
    inputs = [tuple(sizes[letter] for letter in term) for term in terms]
    assert cost("Einsum", inputs, [(1,)], equation=equation).macs == combinations


@pytest.mark.parametrize(("equation", "inputs"), [("...i,i->...", 2), ("i,i,i->i", 3), ("ij,ij->i", 2), ("i", 2)])
def test_einsum_that_can_not_be_counted_is_not_guessed(equation, inputs) -> None:
    assert cost("Einsum", [(3,)] * inputs, [(3,)], equation=equation).macs is None


def test_weights_activations_and_outputs_are_weighed_at_their_own_types() -> None:
    found = cost(
        "QLinearConv",
        [(1, 8, 8, 3), (), (), (5, 3, 3, 3), (5,), (5,), (), (), (5,)],
        [(1, 6, 6, 5)],
        MS,
        stored=range(1, 9),
        types=["uint8", "float32", "uint8", "int8", "float32", "int8", "float32", "uint8", "int32"],
    )
    assert found.read_bytes == 8 * 8 * 3
    assert found.weight_bytes == 4 + 1 + 135 + 5 * 4 + 5 + 4 + 1 + 5 * 4
    assert found.written_bytes == 4 * 6 * 6 * 5
    assert found.bytes == found.read_bytes + found.weight_bytes + found.written_bytes
    assert (found.type, found.elements) == ("int8", 180)


def test_a_lookup_reads_the_rows_it_picks_and_not_the_table() -> None:
    found = cost("Gather", [(50_000, 64), (1, 7)], [(1, 7, 64)], stored=(0,), types=("float32", "int64"))
    assert (found.weight_bytes, found.read_bytes, found.written_bytes) == (7 * 64 * 4, 7 * 8, 7 * 64 * 4)


@pytest.mark.parametrize(("operator", "moved"), [("Reshape", 0), ("Squeeze", 0), ("Identity", 0), ("Relu", 80)])
def test_views_move_nothing(operator, moved) -> None:
    assert cost(operator, [(2, 5)], [(2, 5)]).bytes == moved


def test_a_shape_that_is_not_known_leaves_the_bytes_unknown_and_not_zero() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    found = cost_of(node, [None], [None])
    assert (found.macs, found.bytes, found.elements) == (0, None, None)


def test_an_operator_outside_the_table_is_neither_counted_nor_weighed() -> None:
    found = cost("Secret", [(2, 5)], [(2, 5)], "org.example")
    assert (found.operator, found.macs, found.bytes) == ("org.example.Secret", None, None)


def test_no_operator_of_the_table_fails_on_a_node_without_inputs() -> None:
    for name in OPERATORS:
        domain, _, operator = name.rpartition(".")
        node = helper.make_node(operator, [], [], domain=domain)
        assert operator_name(node) == name
        assert cost_of(node, [], []).macs in (None, 0)


def test_shapes_by_name_bind_axes_of_the_same_name_everywhere() -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "w"], ["h"]), helper.make_node("Mul", ["h", "b"], ["y"])],
        "two",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", "t", 4]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", "t", 5]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((4, 5), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    counts = count(model, shapes={"a": (2, 3, 4)})
    assert counts.macs == 2 * 3 * 4 * 5
    assert counts.unsized == ()
    assert counts.bytes == 4 * (24 + 20 + 30) + 4 * (30 + 30 + 30)
    assert counts.activations == 60
    # When the last output is written, the first input is gone.
    assert counts.peak_bytes == 4 * (30 + 30 + 30)
    assert count(model).uncounted == ("MatMul of unknown shape",)
