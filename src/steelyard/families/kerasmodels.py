"""Keras 3 models on its PyTorch backend as torch modules that train, are exported and kept like any other.

Keras is never imported here: only the user's own file brings it.
"""

import sys
from typing import Any

from torch import Tensor, nn

from steelyard.core.errors import InputError

PICTURE_AXES = 4
"""Axes of a batch of pictures."""


def begin(seed: int) -> None:
    """Have Keras, where it is there, name its layers from one again and draw by this seed: models are then the same."""
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)


def as_body(model: Any, address: str) -> Any:
    """A Keras model as a module that takes what other bodies take; anything else as it is.

    Args:
        model: what the user's function returned.
        address: of the function, for messages.

    Raises:
        InputError: if Keras runs on another backend, where its models are no torch modules.
    """
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        return model
    if keras.backend.backend() != "torch":
        raise InputError(
            f"{address} returns a Keras model on {keras.backend.backend()}; set KERAS_BACKEND=torch, which makes it a "
            "torch module.",
            field="model",
        )
    return KerasBody(model)


class KerasBody(nn.Module):
    """A Keras model called in the mode that torch's module is in; pictures are turned where it takes channels last."""

    def __init__(self, model: Any) -> None:
        """Read from the model's input which way it takes pictures; where it says nothing they come channels first."""
        super().__init__()
        self.model = model
        shape = getattr(model, "input_shape", None)
        self.expected = tuple(shape) if isinstance(shape, tuple) and len(shape) == PICTURE_AXES else ()

    def forward(self, x: Tensor) -> Tensor:
        """Turn, then run."""
        if x.ndim == PICTURE_AXES and self.expected and tuple(x.shape[1:]) != self.expected[1:]:
            x = x.permute(0, 2, 3, 1)
        found: Tensor = self.model(x, training=self.training)
        return found
