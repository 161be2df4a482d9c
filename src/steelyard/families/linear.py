"""Linear and logistic regression."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.candidate import Knob, Scale
from steelyard.core.protocols import Task
from steelyard.core.task import Array, ImageInput, ValueOutput
from steelyard.families.inputs import Model, back_of, front_of
from steelyard.families.ranges import feature_count, resolutions

FEWEST_TO_SELECT = 8
"""With fewer features than this, leaving some out saves nothing that can be measured."""
RANKING_ROWS = 5_000
"""Training rows that features are ranked on."""


class _Selected(nn.Module):
    """Keeps the features at `index`."""

    index: Tensor

    def __init__(self, index: Array) -> None:
        super().__init__()
        self.register_buffer("index", torch.from_numpy(index))

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.index)


@dataclass(frozen=True, slots=True)
class Linear:
    """One linear layer: linear regression with the squared loss, logistic regression with cross-entropy.

    Knobs: `resolution` on images; on tables `features`, how many features stay (those that correlate most with the
    target on the training split); on a regression `bias`, 0 or 1, whether there is an intercept.
    """

    name: str = "linear"

    def refusal(self, task: Task) -> str | None:
        """Takes every task."""
        del task
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """What the task allows: see the class."""
        knobs: list[Knob] = []
        features = feature_count(task)
        if isinstance(task.input, ImageInput):
            heights = resolutions(task)
            knobs += [Knob("resolution", heights)] if heights else []
        elif features >= FEWEST_TO_SELECT:
            knobs.append(Knob("features", tuple(sorted({features // 4, features // 2, features}))))
        if isinstance(task.output, ValueOutput):
            knobs.append(Knob("bias", (0, 1)))
        return tuple(knobs)

    def build(self, scale: Scale, task: Task, seed: int) -> Model:
        """Weights start at zero: the loss is convex, so any start ends in the same place and none breaks symmetry."""
        torch.manual_seed(seed)
        resolution = scale.integer("resolution", 0) or None
        front = front_of(task, resolution)
        incoming = int(np.prod(front.shape))
        layers: list[nn.Module] = [nn.Flatten()]
        kept = scale.integer("features", incoming)
        if kept < incoming:
            layers.append(_Selected(np.sort(ranked_features(front, task)[:kept])))
        linear = nn.Linear(min(kept, incoming), task.output.width, bias=bool(scale.integer("bias", 1)))
        nn.init.zeros_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
        layers.append(linear)
        return Model(front, nn.Sequential(*layers), back_of(task.output))


def ranked_features(front: nn.Module, task: Task) -> Array:
    """Feature indices, the most correlated with the target first (the largest over classes), on training rows.

    Returns:
        (features,) int64; equal correlations keep their order.
    """
    x = np.ascontiguousarray(task.train.x[:RANKING_ROWS], dtype=np.float32)
    with torch.no_grad():
        features = front(torch.from_numpy(x)).flatten(1).numpy().astype(np.float64)
    y = np.asarray(task.train.y[:RANKING_ROWS])
    targets = y[:, None] if isinstance(task.output, ValueOutput) else y[:, None] == np.arange(task.output.width)
    centred = features - features.mean(axis=0)
    aims = targets - targets.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)[:, None] * np.linalg.norm(aims, axis=0)[None, :]
    correlation = np.abs(centred.T @ aims) / np.where(norms > 0, norms, np.inf)
    return np.argsort(-correlation.max(axis=1), kind="stable")
