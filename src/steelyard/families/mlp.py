"""Multilayer perceptron."""

from dataclasses import dataclass

import torch
from torch import nn

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.families.inputs import Model, back_of, front_of
from steelyard.families.ranges import feature_count, hidden_widths


@dataclass(frozen=True, slots=True)
class Mlp:
    """Fully connected layers with ReLU. Knobs: `depth` hidden layers of `width` units each."""

    name: str = "mlp"

    def refusal(self, task: Task) -> str | None:
        """Takes every task: images are read as a row of pixels."""
        del task
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """Depth 1 to 3; width five powers of two, the largest about twice the features."""
        return (Knob("depth", (1, 2, 3)), Knob("width", hidden_widths(task)))

    def build(self, scale: Scale, task: Task, seed: int) -> Model:
        """Weights by torch's default for linear layers (uniform, He et al., ICCV 2015), seeded."""
        torch.manual_seed(seed)
        width = scale.integer("width", 64)
        layers: list[nn.Module] = [nn.Flatten()]
        incoming = feature_count(task)
        for _ in range(scale.integer("depth", 1)):
            layers += [nn.Linear(incoming, width), nn.ReLU()]
            incoming = width
        layers.append(nn.Linear(incoming, task.output.width))
        return Model(front_of(task), nn.Sequential(*layers), back_of(task.output))
