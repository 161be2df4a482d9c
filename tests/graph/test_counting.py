"""Counting: against formulas written out by hand, and against torch's own count of parameters."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from steelyard.graph.counting import count, count_parameters
from steelyard.graph.operators import OPERATORS
from steelyard.graph.reading import read_model


class Convolutions(nn.Module):
    """Preprocessing in the graph, a strided, a grouped and a folded convolution, a pooled head."""

    def __init__(self, batch_norm: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([4.0, 5.0, 6.0]).view(1, 3, 1, 1))
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8) if batch_norm else nn.Identity()
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.interpolate((x - self.mean) / self.std, size=(12, 12), mode="bilinear")
        x = torch.relu(self.norm(self.first(x)))
        return self.head(self.second(x).mean((2, 3)))


CONVOLUTION_MACS = 6 * 6 * 8 * 3 * 9 + 6 * 6 * 8 * 2 * 9 + 8 * 10


class Table(nn.Module):
    """Missing values filled in, one category one-hot coded, a hidden layer: all in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("numbers", torch.tensor([0, 1]))
        self.register_buffer("codes", torch.tensor([2, 2, 2]))
        self.register_buffer("wanted", torch.tensor([1.0, 2.0, 3.0]))
        self.register_buffer("mean", torch.tensor([5.0, 6.0]))
        self.register_buffer("std", torch.tensor([2.0, 3.0]))
        self.register_buffer("scale", torch.tensor(7.0))
        self.body = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = x.index_select(1, self.numbers)
        values = torch.where(torch.isnan(values), self.mean.expand_as(values), values)
        hot = (x.index_select(1, self.codes) == self.wanted).to(torch.float32)
        return self.body(torch.cat([(values - self.mean) / self.std, hot], 1)) * self.scale + self.scale


def trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_convolutions_count_by_the_formula_and_preprocessing_holds_no_parameters(export) -> None:
    module = Convolutions()
    counts = count(read_model(export(module, torch.rand(2, 3, 24, 24))))
    assert counts.macs == CONVOLUTION_MACS
    assert counts.parameters == trained(module)
    assert counts.uncounted == ()
    assert counts.operators["Resize"] == 0


def test_a_folded_batch_norm_counts_one_bias_a_channel(export) -> None:
    module = Convolutions(batch_norm=True)
    counts = count(read_model(export(module, torch.rand(2, 3, 24, 24))))
    assert counts.macs == CONVOLUTION_MACS
    # Folded: the bias of the convolution stays, scale and shift (8 each) vanish into it.
    assert counts.parameters == trained(module) - 16


def test_filling_one_hot_and_rescaling_hold_no_parameters(export) -> None:
    module = Table()
    counts = count(read_model(export(module, torch.rand(2, 3))))
    assert counts.parameters == trained(module) == 5 * 16 + 16 + 16 + 1
    assert counts.macs == 5 * 16 + 16
    assert counts.uncounted == ()


def test_an_int8_file_counts_what_its_float_source_counts(export, quantize) -> None:
    source = export(Convolutions(), torch.rand(2, 3, 24, 24))
    plain = count(read_model(source))
    small = count(read_model(quantize(source, np.random.default_rng(0).random((8, 3, 24, 24), dtype=np.float32))))
    assert small.parameters == plain.parameters
    assert small.macs == plain.macs
    assert small.uncounted == ()


@pytest.mark.parametrize(
    ("module", "gates"), [(nn.RNN(6, 5, batch_first=True), 1), (nn.GRU(6, 5), 3), (nn.LSTM(6, 5), 4)]
)
def test_recurrent_layers_count_every_gate_of_every_step(export, module, gates) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.recurrent(x if module.batch_first else x.transpose(0, 1))[0]

    counts = count(read_model(export(Last(), torch.rand(2, 7, 6))))
    assert counts.macs == 7 * gates * 5 * (6 + 5)
    assert counts.parameters == trained(module)


def test_attention_counts_both_products_of_activations(export) -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            keys = self.key(x)
            return torch.softmax(x @ keys.transpose(1, 2), -1) @ keys

    module = Attention()
    counts = count(read_model(export(module, torch.rand(2, 5, 8))))
    assert counts.macs == 5 * 8 * 8 + 5 * 5 * 8 + 5 * 5 * 8
    assert counts.parameters == trained(module)


@given(
    batch=st.integers(1, 5),
    rows=st.integers(1, 6),
    inner=st.integers(1, 40),
    columns=st.integers(1, 40),
    transpose=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_gemm_is_rows_times_inner_times_columns(batch, rows, inner, columns, transpose) -> None:
    weight = np.ones((columns, inner) if transpose else (inner, columns), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=int(transpose))],
        "gemm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.ones(columns, np.float32), "b")],
    )
    counts = count(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), batch)
    assert counts.macs == batch * inner * columns
    assert counts.parameters == inner * columns + columns


@given(
    channels=st.integers(1, 4),
    filters=st.integers(1, 4),
    groups=st.integers(1, 3),
    kernel=st.integers(1, 3),
    side=st.integers(3, 9),
    stride=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_conv_counts_every_tap_of_every_output(  # noqa: PLR0917
    channels, filters, groups, kernel, side, stride
) -> None:
    weight = np.ones((filters * groups, channels, kernel, kernel), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], group=groups, strides=[stride, stride])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels * groups, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    taps = 0
    for _top in range(0, side - kernel + 1, stride):
        for _left in range(0, side - kernel + 1, stride):
            taps += filters * groups * channels * kernel * kernel
    counts = count(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert counts.macs == taps


def test_a_transposed_convolution_spreads_every_input(export) -> None:
    module = nn.ConvTranspose2d(4, 6, 3, stride=2)
    assert count(read_model(export(module, torch.rand(2, 4, 5, 5)))).macs == 5 * 5 * 4 * 6 * 9


def test_unknown_operators_are_named_and_not_counted(by_hand) -> None:
    nodes = [
        helper.make_node("FusedSecret", ["x"], ["h"], domain="org.example"),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    counts = count(by_hand(nodes, {"w": np.ones((4, 3), np.float32)}, domains=("", "org.example")))
    assert (counts.parameters, counts.macs, counts.operators) == (12, 12, {"MatMul": 12})
    assert counts.uncounted == counts.unsized == ("org.example.FusedSecret",)


def test_a_product_of_unknown_shape_is_said_to_be_uncounted(by_hand) -> None:
    nodes = [
        helper.make_node("FusedSecret", ["x"], ["h"], domain="org.example"),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    counts = count(by_hand(nodes, {"w": np.ones((4, 3), np.float32)}, domains=("", "org.example")))
    assert counts.macs == 0
    assert counts.uncounted == ("org.example.FusedSecret", "MatMul of unknown shape")


def test_weights_in_constant_nodes_count(by_hand) -> None:
    constant = numpy_helper.from_array(np.ones((4, 3), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=constant),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    assert count_parameters(by_hand(nodes)) == 12


def test_a_weight_read_twice_counts_once_and_a_scalar_in_a_formula_not_at_all(by_hand) -> None:
    weights = {"w": np.ones((4, 4), np.float32), "epsilon": np.float32(1e-5), "bias": np.ones(4, np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Add", ["b", "epsilon"], ["c"]),
        helper.make_node("Add", ["c", "bias"], ["y"]),
    ]
    assert count_parameters(by_hand(nodes, {k: np.asarray(v) for k, v in weights.items()})) == 16 + 4


def test_integer_operators_count_like_their_float_forms(by_hand) -> None:
    weights = {
        "w": np.ones((4, 3), np.int8),
        "zero": np.array(0, np.uint8),
        "zeros": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "zeros"], ["i"]),
        helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
    ]
    counts = count(by_hand(nodes, weights))
    assert (counts.parameters, counts.macs) == (12, 12)


def test_a_product_whose_shapes_contradict_is_said_to_be_uncounted(by_hand) -> None:
    model = by_hand([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": np.ones((5, 3), np.float32)})
    assert count(model).uncounted == ("MatMul of unknown shape",)


def test_every_operator_of_onnx_in_the_table_exists() -> None:
    # Some may be newer than the installed ONNX, one is ONNX Runtime's; the rest must be known to it.
    newer = {"Mish", "Swish", "RMSNormalization", "Attention", "SimplifiedLayerNormalization"}
    known = {schema.name for schema in onnx.defs.get_all_schemas()} | newer
    assert {name for name in OPERATORS if "." not in name} <= known


def test_small_integers_cast_and_scaled_are_the_weights_that_they_stand_for(by_hand) -> None:
    nodes = [
        helper.make_node("Cast", ["q"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    weights = {"q": np.ones((4, 3), np.int8), "scale": np.ones((1, 3), np.float32)}
    assert count(by_hand(nodes, weights)).parameters == 12
