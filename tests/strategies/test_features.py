"""Candidates as numbers: different ones differ, sizes keep their order, all lie from 0 to 1."""

import numpy as np

from steelyard.core.candidate import FamilySpace, Knob, Space, StepSetting
from steelyard.strategies.features import features_of

SPACE = Space(
    (
        FamilySpace("net", (Knob("width", (8, 16, 64)), Knob("norm", (False, True)))),
        FamilySpace("tree", (Knob("depth", (0, 1)),)),
    ),
    pipelines=((), (StepSetting("quantize"),)),
    options=((), (("threads", 2),)),
)


def test_different_candidates_have_different_rows():
    candidates = list(SPACE.candidates())
    rows = features_of(SPACE, candidates)
    assert len(np.unique(rows, axis=0)) == len(candidates) == SPACE.size
    assert rows.min() == 0.0
    assert rows.max() == 1.0


def test_a_knob_is_its_place_and_its_logarithm():
    rows = features_of(SPACE, list(SPACE.candidates()))[::8]
    np.testing.assert_allclose(rows[:3, 0], [0.0, 0.5, 1.0])
    np.testing.assert_allclose(rows[:3, 1], [0.0, 1 / 3, 1.0])


def test_what_leaves_no_choice_has_no_column():
    space = Space((FamilySpace("net", (Knob("width", (8, 16)),)),))
    np.testing.assert_allclose(features_of(space, list(space.candidates())), [[0.0, 0.0], [1.0, 1.0]])
    assert features_of(space, []).shape == (0, 2)
