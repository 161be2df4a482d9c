import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Scale
from steelyard.core.errors import RuntimeFailureError
from steelyard.engine.conversion import artifact_bytes, convert, floor_model
from steelyard.families.cnn import CNN
from steelyard.families.mlp import MLP
from steelyard.graph.identity import float_port
from steelyard.runtimes.onnxruntime.export import export
from steelyard.testing.fakes import FakeTask
from steelyard.training.modules import module_outputs

IMAGE = FakeTask.image()
X = np.ascontiguousarray(IMAGE.valid.x[:20], dtype=np.float32)
RUNTIMES = ("onnxruntime", "openvino", "torch", "executorch")
"""Runtimes whose exporters are installed wherever the tests run; LiteRT's needs an environment of its own."""


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("family", [MLP, CNN], ids=["mlp", "cnn"])
def test_a_module_is_made_into_a_file_of_every_runtime_in_parity(name, family, tmp_path):
    module = family.build(Scale.of(width=8), IMAGE, 0)
    made = convert(registry, name, module, X, tmp_path, decides=True)
    assert made.parity["max_abs"] < 1e-4
    assert (made.parity["agreement"], made.parity["flips"], made.parity["n"]) == (1.0, 0, 20)
    assert made.path.name == "model" + registry.get("runtime", name).suffix
    assert made.size_bytes == sum(each.stat().st_size for each in tmp_path.glob("model.*"))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_onnx_file_is_made_into_a_file_of_the_runtimes_that_take_it(name, tmp_path):
    export(MLP.build(Scale.of(width=8), IMAGE, 0), X[:2], tmp_path / "source.onnx")
    made = convert(registry, name, tmp_path / "source.onnx", X, tmp_path, decides=True)
    assert made.parity["max_abs"] < 1e-5


@pytest.mark.parametrize("name", ["torch", "executorch"])
def test_a_runtime_that_takes_no_onnx_says_so(name, tmp_path):
    export(MLP.build(Scale.of(width=8), IMAGE, 0), X[:2], tmp_path / "source.onnx")
    with pytest.raises(RuntimeFailureError) as caught:
        convert(registry, name, tmp_path / "source.onnx", X, tmp_path, decides=True)
    assert caught.value.message == f"the runtime {name!r} takes no ONNX file such as source.onnx; give a torch module."


def test_models_of_several_inputs_are_run_by_their_names(tmp_path):
    import torch

    class Sum(torch.nn.Module):
        def forward(self, a, b):
            return a + b.to(torch.float32)

    rows = {"left": np.ones((5, 3), np.float32), "right": np.arange(15, dtype=np.int64).reshape(5, 3)}
    for name in ("onnxruntime", "openvino", "torch"):
        made = convert(registry, name, Sum(), rows, tmp_path, decides=False)
        assert made.parity["max_abs"] == 0, name
    np.testing.assert_array_equal(module_outputs(Sum(), rows), rows["left"] + rows["right"])


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNTIMES)
def test_the_floor_model_gives_back_its_input_and_is_made_once(name, tmp_path):
    runtime = registry.get("runtime", name)
    path = floor_model(registry, name, (float_port((4, 3)),), tmp_path)
    x = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(runtime.load(path, trust=True).run(x), x)
    made = path.stat().st_mtime_ns
    assert floor_model(registry, name, (float_port((4, 3)),), tmp_path).stat().st_mtime_ns == made
    assert artifact_bytes(path, runtime.companions) >= path.stat().st_size
