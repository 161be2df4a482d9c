"""Exports whose stored tensors are the module's, under their names."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from steelyard.core.errors import RuntimeFailureError
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.runtimes.onnxruntime.unfolded import export_unfolded
from steelyard.training.modules import module_outputs

ROWS = np.random.default_rng(0).normal(size=(4, 3, 6, 6)).astype(np.float32)


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def stored(path):
    return {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}


@pytest.fixture
def convolutional():
    # Batch norms of fresh modules hold equal values, which the exporter would store once.
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4),
        nn.Flatten(), nn.Dropout(), nn.Linear(16, 2),
    )  # fmt: skip


def test_every_stored_tensor_is_in_the_file_or_told(convolutional, tmp_path):
    unread = export_unfolded(convolutional, ROWS, tmp_path / "m.onnx")
    assert unread == ("1.num_batches_tracked", "4.num_batches_tracked")
    state, found = convolutional.state_dict(), stored(tmp_path / "m.onnx")
    assert set(state) - set(unread) == set(found)
    assert all(np.array_equal(found[name], state[name]) for name in found)


def test_the_file_gives_what_the_module_gives(convolutional, tmp_path):
    export_unfolded(convolutional.train(), ROWS, tmp_path / "m.onnx")
    wanted = module_outputs(convolutional.eval(), ROWS)
    np.testing.assert_allclose(RUNTIME.load(tmp_path / "m.onnx").run(ROWS), wanted, rtol=1e-5, atol=1e-5)


def test_a_shared_tensor_is_stored_once_under_its_first_name(tmp_path):
    rows = ROWS[:, 0, 0]
    module = Tied()
    assert export_unfolded(module, rows, tmp_path / "m.onnx") == ()
    assert set(stored(tmp_path / "m.onnx")) == {"first.weight", "first.bias", "second.bias"}
    wanted = module_outputs(module, rows)
    np.testing.assert_allclose(RUNTIME.load(tmp_path / "m.onnx").run(rows), wanted, rtol=1e-5, atol=1e-5)


def test_torch_s_encoder_layers_are_written_without_their_fused_kernel(tmp_path):
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    module = nn.Sequential(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)).eval()
    before = torch.backends.mha.get_fastpath_enabled()
    assert export_unfolded(module, ROWS[:, 0], tmp_path / "m.onnx") == ()
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_a_module_that_can_t_be_traced_is_refused(tmp_path):
    with pytest.raises(RuntimeFailureError) as caught:
        export_unfolded(nn.Linear(5, 2), ROWS[:, 0, 0], tmp_path / "m.onnx")
    assert str(caught.value) == (
        "torch can't export the module to ONNX with its parameters as they are: mat1 and mat2 shapes cannot be "
        "multiplied (4x6 and 5x2)"
    )
