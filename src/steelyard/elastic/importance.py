"""How much each channel of each group matters."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.task import Array
from steelyard.elastic.groups import Anatomy, Group
from steelyard.training.lesson import Lesson, first_output

Importance = Literal["random", "magnitude", "taylor", "activation"]
KINDS: tuple[Importance, ...] = ("random", "magnitude", "taylor", "activation")
BATCHES = 24
"""Batches that scores are averaged over; the order of channels was seen to settle well before."""
BATCH = 32
GRADIENT_BATCHES, GRADIENT_BATCH = 96, 8
"""Gradients are squared a few rows at a time: over many rows those of a trained net cancel, and say nothing."""


def scores_of(module: nn.Module, anatomy: Anatomy, lesson: Lesson, kind: Importance) -> dict[str, Array]:
    """Scores (size,) by group, higher is more important; they compare between groups.

    Args:
        module: it is left as it was.
        anatomy: of the module.
        lesson: rows, and the loss where they have labels.
        kind: `random` by the lesson's seed; `magnitude` of the weights and `activation` relative to the group's mean;
            `taylor` the squared first-order change of the loss when the channel goes, or without labels of the outputs.

    References:
        P. Molchanov et al., Importance estimation for neural network pruning, CVPR 2019.
    """
    if kind == "random":
        generator = np.random.default_rng(lesson.seed)
        return {group.name: generator.random(group.size) for group in anatomy.groups}
    if kind == "magnitude":
        return _relative(_summed(module, anatomy, lambda weight: weight.detach().square()), root=True)
    if kind == "activation":
        return _activations(module, anatomy, lesson)
    return _taylor(module, anatomy, lesson)


def _summed(module: nn.Module, anatomy: Anatomy, value: Callable[[Tensor], Tensor]) -> dict[str, Array]:
    """For each channel the sum of `value` over its slices of each weight, absolute, added over the weights.

    Vectors (biases, norms) don't count: what they hold is also in the weights before and behind them.
    """
    found = {group.name: np.zeros(group.size) for group in anatomy.groups}
    weights = dict(module.named_parameters())
    for name, axes in anatomy.axes.items():
        if name not in weights or weights[name].ndim < 2 or value(weights[name]) is None:
            continue
        each = value(weights[name])
        for number, axis in axes.items():
            rest = [other for other in range(each.ndim) if other != number]
            sums = each.sum(dim=rest).double().numpy()
            for group, channels in axis.channels.items():
                if group in found:
                    along = np.zeros(len(found[group]))
                    np.add.at(along, channels[channels >= 0], sums[channels >= 0])
                    found[group] += np.abs(along)
    return found


def _relative(scores: dict[str, Array], *, root: bool = False) -> dict[str, Array]:
    """Scores by the mean of their group, so that groups of large and of small weights compare."""
    found = {name: np.sqrt(each) if root else each for name, each in scores.items()}
    return {name: each / max(float(each.mean()), np.finfo(float).tiny) for name, each in found.items()}


def _taylor(module: nn.Module, anatomy: Anatomy, lesson: Lesson) -> dict[str, Array]:
    """The mean over small batches of (Σ weight · gradient)² over a channel's slices.

    Each channel is seen by the weights that make it and by those that take it, so half of their sum is its part of the
    loss. Without labels the distance to the unchanged outputs has no gradient; random signs of the outputs have: their
    squared gradient is in the mean the squared change of the outputs. On a convolutional net for handwritten digits,
    squares of batches of 8 kept more of the accuracy at 30 % of the work than absolute values of batches of 32.
    """
    was_training = module.training
    module.eval()
    total = {group.name: np.zeros(group.size) for group in anatomy.groups}
    generator = torch.Generator().manual_seed(lesson.seed)
    weights = [each for each in module.parameters() if each.requires_grad]
    count = 0
    for inputs, targets in lesson.batches(GRADIENT_BATCH):
        out = first_output(module(*inputs))
        if lesson.loss is not None and targets is not None:
            loss = lesson.loss(out, targets)
        else:
            signs = torch.randint(0, 2, out.shape, generator=generator) * 2 - 1
            loss = (out * signs).sum() / len(out)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        change = {id(w): w.detach() * g for w, g in zip(weights, gradients, strict=True) if g is not None}
        for name, each in _summed(module, anatomy, lambda w, change=change: change.get(id(w))).items():  # type: ignore[misc]
            total[name] += np.square(each / 2)
        count += 1
        if count == GRADIENT_BATCHES:
            break
    module.train(was_training)
    return {name: each / max(count, 1) for name, each in total.items()}


def _activations(module: nn.Module, anatomy: Anatomy, lesson: Lesson) -> dict[str, Array]:
    """Mean absolute value of each channel where a layer takes it, relative to its group.

    Units that no layer's input shows (heads inside torch's attention, units between layers of a recurrent net) have
    the magnitude of their weights in its stead.
    """
    total = {group.name: np.zeros(group.size) for group in anatomy.groups}
    places = {"in_features": -1, "input_size": -1, "in_channels": 1}
    handles = []
    for held in anatomy.held:
        if held.attribute in places:
            hook = _Seen(total, held.axis.channels, places[held.attribute])
            handles.append(module.get_submodule(held.module).register_forward_pre_hook(hook))
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            for count, (inputs, _) in enumerate(lesson.batches(BATCH), 1):
                module(*inputs)
                if count == BATCHES:
                    break
    finally:
        module.train(was_training)
        for handle in handles:
            handle.remove()
    plain = scores_of(module, anatomy, lesson, "magnitude")
    return _relative({name: each if each.any() else plain[name] for name, each in total.items()})


class _Seen:
    """Adds up the mean absolute inputs of a layer by channel."""

    def __init__(self, total: dict[str, Array], channels: Any, axis: int) -> None:
        self.total, self.channels, self.axis = total, channels, axis

    def __call__(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        x = given[0].abs()
        axis = self.axis % x.ndim
        means = x.mean(dim=[each for each in range(x.ndim) if each != axis]).double().numpy()
        for name, channels in self.channels.items():
            if name in self.total:
                np.add.at(self.total[name], channels[channels >= 0], means[channels >= 0])


def best_of(scores: Array, count: int, group: Group) -> Array:
    """The `count` most important channels of a group, sorted by place; the earlier of equals stays. O(n log n)."""
    order = np.argsort(-scores[: group.size], kind="stable")
    return np.sort(order[:count])
