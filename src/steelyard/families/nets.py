"""The torch modules of the families. Families themselves load no torch, so that proposing scales stays cheap."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import TextInput
from steelyard.core.task import Array, TensorOutput, ValueOutput
from steelyard.families.ngrams import ngrams
from steelyard.families.parts import Model, back_of, front_of
from steelyard.tasks.playing import constant_returns

LARGEST_GRID = 4
"""Feature maps larger than this are averaged down to it before the last layer, so that it stays small."""
RANKING_ROWS = 5_000
"""Training rows that features are ranked on."""


def mlp(scale: Scale, task: Task, seed: int) -> Model:
    """Linear layers with ReLU between; torch's default initialisation (uniform, He et al., ICCV 2015), seeded."""
    torch.manual_seed(seed)
    front = front_of(task)
    width = scale.integer("width", 64)
    layers: list[nn.Module] = [nn.Flatten()]
    incoming = math.prod(front.shape)
    for _ in range(scale.integer("depth", 1)):
        layers += [nn.Linear(incoming, width), nn.ReLU()]
        incoming = width
    layers.append(nn.Linear(incoming, task.output.width))
    return Model(front, nn.Sequential(*layers), back_of(task.output))


def linear(scale: Scale, task: Task, seed: int) -> Model:
    """One linear layer that starts at zero: the loss is convex, so every start ends in the same place."""
    torch.manual_seed(seed)
    if isinstance(task.input, TextInput):
        return ngrams(scale, task)
    front = front_of(task, scale.integer("resolution", 0) or None)
    incoming = math.prod(front.shape)
    layers: list[nn.Module] = [nn.Flatten()]
    kept = min(incoming, scale.integer("features", incoming))
    if kept < incoming:
        layers.append(_Selected(np.sort(ranked_features(front, task)[:kept])))
    layer = nn.Linear(kept, task.output.width, bias=bool(scale.integer("bias", 1)))
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    layers.append(layer)
    return Model(front, nn.Sequential(*layers), back_of(task.output))


def cnn(scale: Scale, task: Task, seed: int) -> Model:
    """Blocks of convolution, batch norm, ReLU and pooling; He's normal initialisation (ICCV 2015), seeded."""
    torch.manual_seed(seed)
    front = front_of(task, scale.integer("resolution", 0) or None)
    channels, height, width = front.shape
    kernel, outgoing = scale.integer("kernel", 3), scale.integer("width", 16)
    layers: list[nn.Module] = []
    for _ in range(scale.integer("depth", 2)):
        pools = min(height, width) >= 2
        layers += _block(channels, outgoing, kernel, pools=pools)
        if pools:
            height, width = height // 2, width // 2
        channels, outgoing = outgoing, outgoing * 2
    pool, height, width = _pooled(height, width)
    layers += [pool, nn.Flatten(), nn.Linear(channels * height * width, task.output.width)]
    return Model(front, nn.Sequential(*layers), back_of(task.output))


def constant(task: Task) -> Model:
    """Ignores its input: the log shares of the classes (one added to each count), or the mean of the target.

    In an environment, what each action earns that is taken at every step.
    """
    y = np.asarray(task.train.y)
    if task.environment:
        outputs = torch.from_numpy(constant_returns(task.environment, task.output.width)[None].astype(np.float32))
    elif isinstance(task.input, TextInput) and isinstance(task.output, TensorOutput):
        counts = np.bincount(y.ravel()[y.ravel() >= 0], minlength=task.output.width // y.shape[1])
        shares = np.log((counts + 1) / (counts.sum() + len(counts)))
        outputs = torch.from_numpy(shares[None, None].astype(np.float32).repeat(y.shape[1], 1))
    elif isinstance(task.output, ValueOutput):
        outputs = torch.tensor([[float(y.mean())]], dtype=torch.float32)
    elif y.ndim > 1:
        # Of clusters the first: all rows are one.
        outputs = torch.where(torch.arange(task.output.width)[None] == 0, 0.0, -1.0)
    else:
        counts = np.bincount(y.astype(np.int64), minlength=task.output.width)
        shares = (counts + 1) / (counts.sum() + task.output.width)
        outputs = torch.from_numpy(np.log(shares)[None].astype(np.float32))
    return Model(_AsIs(task.input.shape), _Constant(outputs), nn.Identity())


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


class _Selected(nn.Module):
    """Keeps the features at `index`."""

    index: Tensor

    def __init__(self, index: Array) -> None:
        super().__init__()
        self.register_buffer("index", torch.from_numpy(index))

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, self.index)


class _Constant(nn.Module):
    """Gives the same outputs for every row."""

    outputs: Tensor

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.register_buffer("outputs", outputs)

    def forward(self, x: Tensor) -> Tensor:
        # A comparison that is never true ties the batch axis to the input's; a product with zero would spread NaN.
        rows = (x.flatten(1)[:, :1] > torch.finfo(torch.float32).max).to(torch.float32)
        return rows.view(-1, *(1,) * (self.outputs.ndim - 1)) + self.outputs


class _AsIs(nn.Module):
    """Passes its input on; the shape is what the training loop asks of a front."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x


def _block(incoming: int, outgoing: int, kernel: int, *, pools: bool) -> list[nn.Module]:
    conv = nn.Conv2d(incoming, outgoing, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    block: list[nn.Module] = [conv, nn.BatchNorm2d(outgoing), nn.ReLU()]
    return [*block, nn.MaxPool2d(2)] if pools else block


def _pooled(height: int, width: int) -> tuple[nn.Module, int, int]:
    """Average pooling to at most LARGEST_GRID a side, with fixed windows so that any runtime can run it."""
    to_height, to_width = min(height, LARGEST_GRID), min(width, LARGEST_GRID)
    if (to_height, to_width) == (height, width):
        return nn.Identity(), height, width
    stride = (height // to_height, width // to_width)
    window = (height - (to_height - 1) * stride[0], width - (to_width - 1) * stride[1])
    return nn.AvgPool2d(window, stride), to_height, to_width
