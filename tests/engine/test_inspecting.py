"""Audits and counts of real files, by a process of their own."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from steelyard.core.errors import InputError, MeasurementError
from steelyard.core.quantity import Quantity
from steelyard.engine.inspecting import audit_file, safe_counts
from steelyard.graph.counting import count
from steelyard.graph.fusion import Audit, Leftover
from steelyard.graph.reading import read_model
from steelyard.measure.layers import Layer
from steelyard.runtimes.onnxruntime.export import export


class Residual(nn.Module):
    """Two convolutions and a sum, a depthwise one, a pooled head: what quantizers fuse, or fail to."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1)
        self.c = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        x = torch.relu(self.c(x + self.b(x)))
        return self.head(x.mean((2, 3)))


class Reader(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = iter([{"x": np.random.default_rng(0).random((8, 3, 8, 8), dtype=np.float32)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    export(Residual().eval(), np.zeros((2, 3, 8, 8), np.float32), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


@pytest.fixture
def quantized(source: Path, tmp_path: Path) -> Callable[[str], Path]:
    def write(how: str) -> Path:
        target = tmp_path / f"{how}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prepared = tmp_path / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            if how == "dynamic":
                quantize_dynamic(str(prepared), str(target), weight_type=QuantType.QUInt8)
            else:
                kind = QuantType.QUInt8 if how == "u8s8" else QuantType.QInt8
                skipped = ["/c/Conv"] if how == "partly" else []
                quantize_static(
                    str(prepared),
                    str(target),
                    Reader(),
                    quant_format=QuantFormat.QDQ,
                    activation_type=kind,
                    weight_type=QuantType.QInt8,
                    per_channel=True,
                    nodes_to_exclude=skipped,
                )
        return target

    return write


def test_a_float_file_has_nothing_to_audit(source) -> None:
    assert audit_file(source) is None


@pytest.mark.slow
def test_static_quantization_with_unsigned_activations_runs_every_product_in_integers(quantized) -> None:
    audit = audit_file(quantized("u8s8"))
    assert audit.integers == 4
    assert audit.unfused == audit.floats == ()


@pytest.mark.slow
def test_products_whose_pairs_did_not_fuse_are_named_with_what_they_cost(quantized) -> None:
    # On some processors ONNX Runtime fuses signed activations as well: what the audit says must match its graph.
    path = quantized("s8s8")
    audit = audit_file(path)
    from steelyard.runtimes.onnxruntime.trace import optimised_model

    graph = optimised_model(str(path)).graph
    left = [node.name for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert sorted(each.name for each in audit.unfused) == sorted(left)
    assert audit.integers == 4 - len(left)
    names = [each.name for each in (*audit.unfused, *audit.conversions)]
    layers = tuple(Layer(name, "", "", Quantity(1e-6, "s"), 1 / len(names), 0, 0, None) for name in names)
    assert audit_file(path, layers=layers).lost_share == pytest.approx(1)


@pytest.mark.slow
def test_a_product_that_was_left_out_is_float_by_the_files_own_will(quantized) -> None:
    audit = audit_file(quantized("partly"))
    # Its neighbours are quantized, so what it reads comes out of a DequantizeLinear or not, by the optimiser's choice.
    assert len(audit.floats) + len(audit.unfused) >= 1
    assert not audit.is_clean


@pytest.mark.slow
def test_dynamic_quantization_leaves_a_conversion_before_every_product(quantized) -> None:
    audit = audit_file(quantized("dynamic"))
    assert audit.integers == 4
    assert {each.operator for each in audit.conversions} == {"DynamicQuantizeLinear"}


def test_an_audit_says_what_it_found_in_sentences_and_survives_its_wire_form() -> None:
    audit = Audit(
        integers=1,
        unfused=(Leftover("a", "Conv", 0.1), Leftover("b", "com.microsoft.nchwc.Conv", 0.6)),
        floats=(Leftover("c", "MatMul"),),
        conversions=tuple(Leftover(f"q{index}", "QuantizeLinear", 0.01) for index in range(7)),
    )
    assert audit.sentences() == (
        "2 of 4 products run in float although the file quantizes them (70% of the time): 'b' (Conv), 'a' (Conv).",
        "7 conversions between float and integer are left inside the graph (7% of the time): 'q0' (QuantizeLinear), "
        "'q1' (QuantizeLinear), 'q2' (QuantizeLinear), 'q3' (QuantizeLinear), 'q4' (QuantizeLinear) and 2 more.",
        "1 of 4 products run in float because the file does not quantize them: 'c' (MatMul).",
    )
    assert audit.lost_share == pytest.approx(0.77)
    assert Audit.from_json(audit.to_json()) == audit
    assert Audit(3, (), (), ()).sentences() == ("All 3 products run in integers.",)


def test_counts_of_a_process_of_its_own_are_those_of_this_one(source) -> None:
    assert safe_counts(source, batch=3) == count(read_model(source), 3)
    assert safe_counts(source, shapes={"x": (2, 3, 8, 8)}).macs == count(read_model(source), 2).macs
    with pytest.raises(InputError, match=r"^input 'x' must have shape \(n, 3, 8, 8\), got \(2, 3, 9, 8\)\.$"):
        safe_counts(source, shapes={"x": (2, 3, 9, 8)})


def test_a_file_that_no_runtime_loads_is_refused_in_one_sentence(source) -> None:
    model = read_model(source)
    model.graph.node[0].domain = "org.example"
    model.graph.node[-1].op_type = "DequantizeLinear"
    source.write_bytes(model.SerializeToString())
    with pytest.raises(MeasurementError, match=r"^ONNX Runtime can't load net\.onnx: [^\n]+$"):
        audit_file(source)
