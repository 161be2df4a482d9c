"""Candidates as rows of numbers, for a surrogate."""

import math
from collections.abc import Sequence

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
    starts, width = {}, 0
    for family in space.families:
        starts[family.family] = width
        width += 2 * len(family.knobs)
    groups = [
        [each.family for each in space.families],
        list(space.pipelines),
        list(space.options),
    ]
    knobs = np.full((len(candidates), width), 0.5)
    ones = np.zeros((len(candidates), sum(len(group) for group in groups)))
    places = [{value: place for place, value in enumerate(group)} for group in groups]
    columns = {each.family: [_columns(knob.choices) for knob in each.knobs] for each in space.families}
    names = {each.family: [knob.name for knob in each.knobs] for each in space.families}
    for row, candidate in enumerate(candidates):
        settings = candidate.scale.to_json()
        at = starts[candidate.family]
        for name, column in zip(names[candidate.family], columns[candidate.family], strict=True):
            knobs[row, at : at + 2] = column[settings[name]]
            at += 2
        at = 0
        for value, place in zip((candidate.family, candidate.steps, candidate.options), places, strict=True):
            ones[row, at + place[value]] = 1.0
            at += len(place)
    single = np.concatenate([np.full(len(group), len(group) == 1) for group in groups])
    return np.column_stack([knobs, ones[:, ~single]])


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
