"""Which quantizations are proposed for which graph."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from steelyard.steps.finishes import finishes_for
from steelyard.steps.quantize import Quantize

SERIES = np.random.default_rng(0).standard_normal((64, 20, 12)).astype(np.float32)
PICTURES = np.random.default_rng(0).standard_normal((64, 3, 12, 12)).astype(np.float32)
TOKENS = np.random.default_rng(0).integers(0, 200, (64, 16))


@pytest.mark.parametrize("kind", ["pictures", "lstm", "gru", "tokens"])
def test_every_proposal_is_a_step_that_fits_the_model(kind, write, zoo, tmp_path):
    model, x = {
        "pictures": (zoo.Residual(), PICTURES),
        "lstm": (zoo.Recurrent(), SERIES),
        "gru": (zoo.Recurrent(nn.GRU), SERIES),
        "tokens": (zoo.Attending(), TOKENS),
    }[kind]
    source = write(model, torch.from_numpy(x[:2]))
    found = finishes_for(onnx.load(source))
    assert found
    assert len(set(found)) == len(found)
    for setting in found:
        report = Quantize(**dict(setting.settings)).apply(source, tmp_path / "q.onnx", iter([x]))
        assert report["operators"] > 0


def test_recurrent_graphs_get_no_static_quantization_and_a_gru_small_weights_alone(write, zoo):
    lstm = finishes_for(onnx.load(write(zoo.Recurrent(), torch.from_numpy(SERIES[:2]))))
    assert {dict(each.settings).get("mode", "static") for each in lstm} == {"dynamic", "weights"}
    gru = finishes_for(onnx.load(write(zoo.Recurrent(nn.GRU), torch.from_numpy(SERIES[:2]))))
    assert [dict(each.settings)["mode"] for each in gru] == ["weights"]


def test_convolutions_are_static_first_and_transformers_dynamic_first(write, zoo):
    net = finishes_for(onnx.load(write(zoo.Residual(), torch.from_numpy(PICTURES[:2]))))
    assert dict(net[0].settings) == {"chains": True}
    assert all(dict(each.settings).get("mode") != "dynamic" for each in net)
    tokens = finishes_for(onnx.load(write(zoo.Attending(), torch.from_numpy(TOKENS[:2]))))
    assert dict(tokens[0].settings)["mode"] == "dynamic"


def test_a_model_without_weights_gets_none(write):
    class Nothing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).softmax(1)

    assert finishes_for(onnx.load(write(Nothing(), torch.from_numpy(SERIES[:2])))) == ()


def test_perceptrons_get_packed_weights_and_wide_lstms_their_integer_kernel_first(write):
    perceptron = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    found = finishes_for(onnx.load(write(perceptron, torch.from_numpy(SERIES[:2, 0]))))
    assert {"mode": "weights"} in [dict(each.settings) for each in found]

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.LSTM(12, 128, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)[0][:, -1]

    found = finishes_for(onnx.load(write(Wide(), torch.from_numpy(SERIES[:2]))))
    assert dict(found[0].settings) == {"mode": "dynamic"}
