"""The smallest member of every study: it does not look at its input."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import ValueOutput
from steelyard.families.inputs import Model


class _Constant(nn.Module):
    """Gives the same outputs for every row."""

    outputs: Tensor

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.register_buffer("outputs", outputs)

    def forward(self, x: Tensor) -> Tensor:
        # The product with zero ties the batch axis to the input's; missing numbers must not spread through it.
        rows = torch.nan_to_num(x.flatten(1)[:, :1]) * 0
        return rows + self.outputs


class _AsIs(nn.Module):
    """Passes its input on; the shape is what the training loop asks of a front."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True, slots=True)
class Baseline:
    """The majority class (scores are the log shares of the classes), or the mean of the target. No weights."""

    name: str = "baseline"

    def refusal(self, task: Task) -> str | None:
        """Takes every task."""
        del task
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """None: it has no scale."""
        del task
        return ()

    def build(self, scale: Scale, task: Task, seed: int) -> Model:
        """Fitted on the training targets here; nothing is left to train."""
        del scale, seed
        y = np.asarray(task.train.y)
        if isinstance(task.output, ValueOutput):
            outputs = torch.tensor([[float(y.mean())]], dtype=torch.float32)
        else:
            counts = np.bincount(y.astype(np.int64), minlength=task.output.width)
            shares = (counts + 1) / (counts.sum() + task.output.width)
            outputs = torch.from_numpy(np.log(shares)[None].astype(np.float32))
        return Model(_AsIs(task.input.shape), _Constant(outputs), nn.Identity())
