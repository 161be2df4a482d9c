"""Keras 3 models on the PyTorch backend, where Keras is installed."""

import os

import pytest
import torch
from torch import nn

from steelyard.core.candidate import Scale
from steelyard.families.kerasmodels import as_body
from steelyard.families.own import Own
from steelyard.testing.fakes import FakeTask


def test_a_torch_module_stays_what_it_is():
    module = nn.Linear(2, 1)
    assert as_body(module, "file.py:build") is module


def network(shape, outputs, width=4):
    """A small convolutional network with channels last."""
    import keras

    channels, height, across = shape
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((height, across, channels)),
            layers.Conv2D(width, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(outputs),
        ]
    )


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.usefixtures("keras")
def test_a_model_of_the_same_seed_is_the_same_whatever_was_built_before(channels):
    task, own = FakeTask.image(channels=channels), Own("network", network)
    one, other = (own.build(Scale.of(width=4), task, 3) for _ in range(2))
    first, second = one.body.state_dict(), other.body.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    rows = torch.from_numpy(task.train.x[:5])
    with torch.no_grad():
        torch.testing.assert_close(one.eval()(rows), other.eval()(rows))
        assert one(rows).shape == (5, 3)
        assert not torch.equal(one.train()(rows), one.train()(rows))
