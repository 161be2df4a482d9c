"""Candidates as rows of numbers, for a surrogate."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from steelyard.core.candidate import Candidate, Setting, Space


def features_of(space: Space, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """What is known of candidates before they are evaluated, as numbers from 0 to 1.

    A knob has two columns: the place of its setting among the choices, and the setting's logarithm between those of
    the smallest and the largest, where all are positive numbers. Families, pipelines and options have a column each
    that is 1 for the candidate's own, where there is a choice. The knobs of another family stand at one half.

    Args:
        space: the space of the candidates.
        candidates: n of its candidates.

    Returns:
        (n, d).
    """
    places, width = {}, 0
    for family in space.families:
        places[family.family] = slice(width, width + 2 * len(family.knobs))
        width += 2 * len(family.knobs)
    columns = {each.family: {knob.name: _columns(knob.choices) for knob in each.knobs} for each in space.families}
    knobs = np.full((len(candidates), width), 0.5)
    for row, candidate in enumerate(candidates):
        own = columns[candidate.family]
        knobs[row, places[candidate.family]] = [each for name in own for each in own[name][candidate.scale[name]]]
    return np.column_stack(
        [
            knobs,
            _ones([each.family for each in space.families], [each.family for each in candidates]),
            _ones(space.pipelines, [each.steps for each in candidates]),
            _ones(space.options, [each.options for each in candidates]),
        ]
    )


def _ones(group: Sequence[Hashable], values: Sequence[Hashable]) -> NDArray[np.float64]:
    """(n, choices): 1 in the column of each value; no column where there is one choice."""
    width = len(group) if len(group) > 1 else 0
    index = {value: place for place, value in enumerate(group)}
    return np.eye(len(group))[[index[value] for value in values], :width].reshape(len(values), width)


def _columns(choices: tuple[Setting, ...]) -> dict[Setting, tuple[float, float]]:
    """The two columns of each choice."""
    last = max(len(choices) - 1, 1)
    places = [place / last for place in range(len(choices))]
    positive = [float(each) for each in choices if not isinstance(each, str | bool) and each > 0]
    if len(positive) < len(choices) or max(positive) == min(positive):
        return {choice: (place, place) for choice, place in zip(choices, places, strict=True)}
    low, high = math.log(min(positive)), math.log(max(positive))
    logs = [(math.log(each) - low) / (high - low) for each in positive]
    return dict(zip(choices, zip(places, logs, strict=True), strict=True))
