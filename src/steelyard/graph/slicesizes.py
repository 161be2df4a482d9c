"""Sizes of sliced axes, followed through the computing of shapes while a model runs."""

import math
from collections.abc import Mapping

from steelyard.graph.cutting import Cut, Index, Resists, Sizes

_FEW = 64
"""Elements of a shape, and more than any has."""


def follow_sizes(cut: Cut) -> bool:
    """Follow sizes of sliced axes through the computing of shapes; whether the operator only did that."""
    operator, name = cut.node.operator, cut.node.outputs[0] if cut.node.outputs else ""
    if operator == "Shape":
        rank = len(cut.shape())
        places = range(rank)[slice(cut.get("start", 0), cut.get("end", None))]
        _note(cut, name, tuple(cut.of(0).get(axis) for axis in places))
        return True
    told = {each: cut.sizes[each] for each in cut.node.inputs if each in cut.sizes}
    if operator == "Size" and cut.of(0):
        cut.sizes[name] = (False,)
        return True
    makes_shape = operator in ("Expand", "ConstantOfShape") or (
        operator == "Reshape" and cut.node.inputs[0] not in told
    )
    if not told or name in cut.facts.fed or makes_shape:
        return False
    try:
        _note(cut, name, _followed(cut, told))
    except (Resists, KeyError, IndexError, ValueError):
        count = math.prod(cut.facts.shapes.get(name, (_FEW,)))
        cut.sizes[name] = (False,) * min(count, _FEW)
    return not any(cut.of(slot) for slot in range(len(cut.node.inputs)))


def _note(cut: Cut, name: str, sizes: Sizes) -> None:
    if any(each is not None for each in sizes):
        cut.sizes[name] = sizes


def _followed(cut: Cut, told: Mapping[str, Sizes]) -> Sizes:
    """The elements of a computed shape."""
    first = told.get(cut.node.inputs[0])
    if cut.node.operator in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape") and first is not None:
        return first
    if cut.node.operator == "Gather" and first is not None:
        return tuple(first[each] for each in cut.numbers(1))
    if cut.node.operator == "Slice" and first is not None:
        step = cut.numbers(4, "steps", [1])[0]
        return first[slice(cut.numbers(1, "starts")[0], cut.numbers(2, "ends")[0], step)]
    if cut.node.operator == "Concat":
        found: list[Index | bool | None] = []
        for each in cut.node.inputs:
            found.extend(told.get(each, (None,) * math.prod(cut.facts.shape(each))))
        return tuple(found)
    if cut.node.operator == "Where" and cut.node.inputs[0] not in told:
        count = math.prod(cut.facts.shape(cut.node.outputs[0]))
        sides = [told.get(each, (None,) * count) for each in cut.node.inputs[1:]]
        return tuple(one if one is not None else other for one, other in zip(*sides, strict=True))
    if cut.node.operator == "Equal":
        # Whether a size is -1 is asked before a tensor is expanded: no size is.
        return (None,) * math.prod(cut.facts.shape(cut.node.outputs[0]))
    raise Resists("it computes with sizes")
