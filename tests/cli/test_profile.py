"""`steelyard profile` as a user meets it: tables, JSON, refusals in one sentence with nothing written."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch

from steelyard.runtimes.onnxruntime.export import export

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas" / "profile.schema.json"
MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(20, 4)
        self.last = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.table(x).mean(1))

def net():
    torch.manual_seed(0)
    return Net()
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    path = tmp_path / "net.onnx"
    export(module, np.zeros((2, 6), np.float32), path)
    return path


@pytest.mark.slow
def test_a_model_is_measured_on_real_inputs_and_every_figure_has_its_interval(ask, net, tmp_path) -> None:
    np.savez(tmp_path / "rows.npz", x_test=np.ones((10, 6), np.float32))
    asked = ("--data", "rows.npz", "--compare", net, "--budget", "4s", "--batches", "4", "--json")
    told = ask("profile", net, *asked)
    assert told.status == 0
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    schema.validate(told.json)
    assert told.json["inputs"]["origin"] == "rows.npz"
    assert told.json["compare"][0]["different"] is False
    found = told.json["runtimes"]["onnxruntime"]
    metrics = found["metrics"]
    assert metrics["latency_p50_s"]["value"] > 0
    assert metrics["parameters"]["value"] == 6 * 16 + 16 + 16 * 3 + 3
    assert metrics["macs"]["value"] == 6 * 16 + 16 * 3
    assert metrics["size_bytes"]["value"] == net.stat().st_size
    for name in ("latency_p50_s", "latency_p95_s", "load_s", "peak_memory_bytes", "latency_floor_s"):
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    assert found["parity"]["agreement"] == 1.0
    assert [point["batch"] for point in found["batches"]] == [4]
    assert "energy_j" in metrics or found["notes"]["energy"]
    assert told.written == ()


@pytest.mark.slow
def test_the_table_names_a_runtime_that_can_not_run_the_model_and_goes_on(ask, net) -> None:
    told = ask("profile", net, "--runtime", "onnxruntime,litert", "--budget", "4s", "--batches", "4")
    assert told.status == 0
    assert "litert" in told.out
    assert "latency p50" in told.out
    assert max(map(len, told.out.splitlines())) <= 100


@pytest.mark.bench
def test_a_model_compared_with_itself_is_no_different(ask, net) -> None:
    told = ask("profile", net, "--compare", f"{net},{net}", "--budget", "10s", "--batches", "4", "--json")
    assert [each["different"] for each in told.json["compare"]] == [False, False]
    assert [each["model"] for each in told.json["compare"]] == [f"{net} (model 2)", f"{net} (model 3)"]
    told = ask("profile", net, "--compare", net, "--budget", "4s", "--batches", "4")
    assert "no difference" in " ".join(told.out.split())


@pytest.mark.slow
def test_a_module_is_exported_and_its_indices_lie_below_its_table(ask, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    told = ask("profile", "mine.py:net", "--shape", "1,5", "--budget", "4s", "--batches", "4", "--json")
    assert told.status == 0
    assert told.json["inputs"]["ports"] == [{"name": "x", "type": "int64", "shape": ["n", 5]}]
    assert told.json["runtimes"]["onnxruntime"]["parity"]["source"] == "torch, eager"
    assert told.json["runtimes"]["onnxruntime"]["metrics"]["parameters"]["value"] == 20 * 4 + 4 * 3 + 3


REFUSED = [
    (["none.onnx"], "'model' must be a file or a bundle, got 'none.onnx', which does not exist.", "model"),
    (
        ["net.onnx", "--runtime", "onnxruntim"],
        "runtime 'onnxruntim' is not known; did you mean 'onnxruntime'?",
        "runtime",
    ),
    (["net.onnx", "--shape", "1,x"], "'shape' must be sizes such as 1,3,32,32 or NAME:1,3,32,32, got '1,x'.", "shape"),
    (["net.onnx", "--shape", "1,7"], "'shape' must fit the input x float32 (n, 6), got 1,7.", "shape"),
    (["net.onnx", "--shape", "y:1,6"], "input 'y' is not known; known: x.", "shape"),
    (["net.onnx", "--shape", "1,6", "--data", "x.npz"], "'data' and 'shape' exclude each other", "shape"),
    (
        ["net.onnx", "--data", "none.npz"],
        "'data' must be a file or folder, got 'none.npz', which does not exist",
        "data",
    ),
    (["net.onnx", "--data", "bad.npz"], "bad.npz must fit the input x float32 (n, 6), got an array (4, 5).", "data"),
    (["net.onnx", "--batch", "0"], "'batch' must be at least 1, got 0.", "batch"),
    (["net.onnx", "--threads", "0"], "'threads' must be at least 1, got 0.", "threads"),
    (["net.onnx", "--half-width", "0"], "'half_width' must lie between 0 and 1, such as 0.02, got 0.0.", "half_width"),
    (["net.onnx", "--half-width", "x"], "'half_width' must be a number of at least 0", "half_width"),
    (["net.onnx", "--budget", "5"], "'budget' must be a positive number with a unit", "budget"),
    (["net.onnx", "--batches", "a"], "'batches' must be whole numbers such as 8,32, got 'a'.", "batches"),
    (["net.onnx", "--weights", "w.pt"], "'weights' belong to a file.py:function", "weights"),
    (["net.onnx", "--compare", "none.onnx"], "'model' must be a file or a bundle, got 'none.onnx'", "model"),
    (["cut.onnx"], "model 'cut.onnx' is no ONNX file, or is cut short", None),
    (["mine.py:net"], "mine.py:net does not say what it takes; give --shape or --data.", "shape"),
    (["archive.pt2"], "archive.pt2 is a torch.export archive, which can run code when it is opened", "model"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: " ".join(case[0]))
def test_bad_input_is_one_sentence(refused, net, tmp_path, case) -> None:
    argv, message, field = case
    (tmp_path / "cut.onnx").write_bytes(net.read_bytes()[:100])
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "archive.pt2").write_bytes(b"PK")
    np.savez(tmp_path / "bad.npz", x=np.ones((4, 5), np.float32))
    _, text, named = refused("profile", *argv)
    assert text.startswith(message)
    assert named == field


@pytest.mark.slow
def test_an_operator_that_the_runtime_lacks_is_one_sentence(ask, tmp_path) -> None:
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    node = helper.make_node("Frobnicate", ["x"], ["y"], domain="nowhere")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("nowhere", 1)]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=opsets, ir_version=8
    )
    (tmp_path / "odd.onnx").write_bytes(model.SerializeToString())
    told = ask("profile", "odd.onnx", "--budget", "4s")
    assert told.status == 2
    assert told.out == ""
    assert told.err.count("Frobnicate") >= 1
    assert "Traceback" not in told.err
