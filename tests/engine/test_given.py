"""A model that is there already: opened, its inputs told, its outputs computed apart."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, save

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.core.task import feed_of, structured
from steelyard.core.wire import dumps
from steelyard.engine.given import GivenModel, example_of, opened, run_apart
from steelyard.tasks.given import Material

MODULES = """
import torch
from torch import nn

def pictures():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 4)
        self.last = nn.Linear(5, 3)
    def forward(self, tokens, extra):
        return self.last(torch.cat([self.table(tokens).mean(1), extra], 1))

def words():
    torch.manual_seed(0)
    return Words()

class Letters(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(20, 3)
    def forward(self, tokens):
        return self.table(tokens).mean(1)

def letters():
    torch.manual_seed(0)
    return Letters()

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
    def forward(self, x):
        raise RuntimeError("this module never runs")

def broken():
    return Branching()
"""


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    path = tmp_path / "nets.py"
    path.write_text(MODULES, encoding="utf-8")
    return path


def sum_model(path: Path, *, batch: int | str = "n") -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4]) for name in ("a", "b", "out")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["out"])], "sum", values[:2], values[2:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def known(model: str, arrays: Mapping[str, Any], **options: Any) -> tuple[GivenModel, np.ndarray]:
    """The model, and its outputs on the rows that the arrays hold."""
    with opened(model, Material(arrays, "data"), registry, weights=options.get("weights"), trust=False) as found:
        model_known, given, _ = found
        rows = structured({p.name: np.asarray(arrays[p.name]).astype(p.type) for p in model_known.ports})
        return model_known, given.run(rows)


@pytest.mark.slow
def test_a_modules_inputs_are_told_by_trying(modules: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
    with opened(f"{modules}:pictures", Material({"x": pixels}, "data"), registry, weights=None, trust=False) as found:
        model, _, path = found
        assert path.is_file()
    assert [(port.name, port.type, port.shape) for port in model.ports] == [("x", "float32", ("n", 3, 8, 8))]
    assert model.is_module


@pytest.mark.slow
def test_several_inputs_are_named_as_the_forward_pass_names_them(modules: Path) -> None:
    arrays = {"tokens": np.arange(12).reshape(3, 4), "extra": np.ones((3, 1), np.float32)}
    model, outputs = known(f"{modules}:words", arrays)
    assert [(port.name, port.type) for port in model.ports] == [("tokens", "int64"), ("extra", "float32")]
    assert outputs.shape == (3, 3)


@pytest.mark.slow
def test_a_module_that_does_not_run_is_refused_with_its_own_words(modules: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"nets\.py:broken can't be run with the data's x float32 \(2, 4\): RuntimeError: this module never runs",
    ):
        known(f"{modules}:broken", {"x": np.ones((3, 4), np.float32)})


def test_an_onnx_file_says_its_inputs_itself_and_runs_apart(tmp_path: Path) -> None:
    path = sum_model(tmp_path / "sum.onnx")
    a, b = np.ones((700, 4), np.float32), np.arange(2800, dtype=np.float32).reshape(700, 4)
    model, outputs = known(str(path), {"a": a, "b": b})
    assert np.array_equal(outputs, a + b)
    assert (model.name, model.is_module) == ("sum", False)
    assert GivenModel.from_json(model.to_json()) == model
    assert set(model.files) == {"model"}


def test_a_fixed_batch_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = sum_model(tmp_path / "sum.onnx", batch=1)
    rows = structured({"a": np.ones((9, 4), np.float32), "b": np.ones((9, 4), np.float32)})
    with pytest.raises(InputError, match="ONNX Runtime failed to run the model"):
        run_apart(path, rows, folder=tmp_path)


def test_a_file_of_another_runtime_can_only_be_profiled(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"something")
    with pytest.raises(InputError, match=r"net\.tflite; files made for other runtimes can be profiled only"):
        known(str(path), {"x": np.ones((3, 4))})


def test_an_example_has_two_rows_though_there_is_one() -> None:
    model = GivenModel("net", None, None, None, ())
    example = example_of(model, structured({"x": np.ones((1, 3), np.float32)}))
    assert isinstance(example, Mapping)
    assert example["x"].shape == (2, 3)
    feed = feed_of(structured({"x": np.ones((1, 3), np.float32)}))
    assert isinstance(feed, Mapping)


class InMemory(torch.nn.Module):
    """A module whose class no worker can import."""

    def __init__(self) -> None:
        super().__init__()
        self.last = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x)


def test_a_module_in_memory_travels_by_value_and_its_weights_are_its_identity() -> None:
    module, other = InMemory(), InMemory()
    rows = {"x": np.ones((3, 4), np.float32)}
    found = []
    for each in (module, other):
        with opened(each, Material(rows, "data"), registry, weights=None, trust=False) as (model, given, _):
            again = GivenModel.from_json(json.loads(dumps(model.to_json()))).module()
            assert torch.equal(again.last.weight, each.last.weight)
            assert np.allclose(given.run(structured(rows)), each(torch.ones(3, 4)).detach().numpy(), atol=1e-6)
            found.append(model.files)
    assert found[0] != found[1]
    assert model.name == "inmemory"


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"^'model' must be a file, file\.py:function or a torch module, got int\.$"):
        known(3, {"x": np.ones((3, 4))})  # type: ignore[arg-type]


def test_a_module_that_can_not_leave_the_process_is_refused() -> None:
    module = InMemory()
    module.lock = threading.Lock()
    with pytest.raises(InputError, match="can't be handed to a worker"):
        known(module, {"x": np.ones((3, 4), np.float32)})  # type: ignore[arg-type]


@pytest.mark.slow
def test_columns_of_a_table_are_inputs_by_their_names(modules: Path) -> None:
    columns = {"extra": np.ones((3, 1)), "tokens": np.arange(12).reshape(3, 4), "unused": np.array(["a", "b", "c"])}
    with opened(f"{modules}:words", Material({"x": columns}, "data"), registry, weights=None, trust=False) as found:
        model, given, _ = found
        rows = {"tokens": columns["tokens"], "extra": columns["extra"].astype(np.float32)}
        assert given.run(structured(rows)).shape == (3, 3)
    assert [(port.name, port.type) for port in model.ports] == [("tokens", "int64"), ("extra", "float32")]


@pytest.mark.slow
def test_what_the_users_preprocessing_makes_of_columns_is_what_the_module_takes(modules: Path) -> None:
    def letters(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {"tokens": np.array([[ord(letter) - 97 for letter in text] for text in columns["text"]])}

    text = {"text": np.array(["abc", "bca", "cab"], dtype=object)}
    with opened(
        f"{modules}:letters", Material({"x": text}, "data", preprocess=letters), registry, weights=None, trust=False
    ) as found:
        assert [(port.name, port.type, port.shape) for port in found[0].ports] == [("tokens", "int64", ("n", 3))]


@pytest.mark.slow
def test_an_input_that_the_data_lack_is_named(modules: Path) -> None:
    with pytest.raises(InputError, match=r"data must hold an array 'extra' for .*nets\.py:words, got tokens\."):
        known(f"{modules}:words", {"tokens": np.arange(12).reshape(3, 4)})


def test_a_fixed_batch_is_freed_where_the_graph_allows(tmp_path: Path) -> None:
    rows = np.ones((5, 4), np.float32)
    model, outputs = known(str(sum_model(tmp_path / "sum.onnx", batch=1)), {"a": rows, "b": rows})
    assert outputs.shape == (5, 4)
    assert [port.shape for port in model.ports] == [("n", 4), ("n", 4)]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    four = helper.make_tensor("four", TensorProto.INT64, [2], [1, 4])
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "four"], ["y"])], "g", values[:1], values[1:], [four])
    stiff = tmp_path / "stiff.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), stiff)
    with pytest.raises(
        InputError,
        match=r"the model takes exactly 1 row\(s\) at a time, and its graph allows no other number; export it",
    ):
        known(str(stiff), {"x": rows})
