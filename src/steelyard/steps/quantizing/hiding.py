"""Attention masks raised to what the scores on real rows need."""

import onnx

from steelyard.core.wire import Plain
from steelyard.graph.masks import find_masks, floor_of, raise_masks
from steelyard.steps.quantizing.feeding import Feeds, open_model
from steelyard.steps.quantizing.ranges import tapped


def with_raised_masks(model: onnx.ModelProto, feeds: Feeds) -> tuple[onnx.ModelProto, tuple[Plain, ...]]:
    """A copy whose masks hide as before but stretch no range, and what was changed.

    Raises:
        InputError: if ONNX Runtime refuses the model.
    """
    masks = find_masks(model)
    if not masks:
        return model, ()
    names = list(dict.fromkeys(mask.scores for mask in masks))
    session = open_model(tapped(model, names))
    floors = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for name, scores in zip(names, session.run(names, dict(feed)), strict=True):
            floors[name] = min(floors[name], floor_of(scores))
    by_tensor = {mask.tensor: floors[mask.scores] for mask in masks}
    return raise_masks(model, {tensor: floor for tensor, floor in by_tensor.items() if floor > -float("inf")})
